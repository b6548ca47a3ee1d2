"""What lies below a folder or in a zip archive: images, manifests, and how many other files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from longtail.data.classes import SPLIT_NAMES
from longtail.data.dataset import ImageStore
from longtail.data.names import Names
from longtail.data.stores import FileStore
from longtail.data.zips import READABLE_METHODS, ZipMembers, read_members
from longtail.errors import InputError
from longtail.words import count, joined

IMAGE_SUFFIXES = frozenset(
    {
        "jpg", "jpeg", "jpe", "jfif", "png", "apng", "bmp", "gif", "tif", "tiff", "webp", "avif", "avifs",
        "ppm", "pgm", "pbm", "pnm", "pfm", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx",
    }
)  # fmt: skip
"""Endings of the formats that are decoded, in lower case."""

MANIFEST_SUFFIXES = frozenset({"csv", "tsv", "parquet"})
"""Endings of manifests, in lower case."""


def suffix(name: str) -> str:
    """The ending of a file's name in lower case, without the dot."""
    head, dot, tail = name.rpartition(".")
    return tail.lower() if dot and head and "/" not in tail else ""


def is_image(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    dot = name.rfind(".")
    return dot >= 0 and name[dot + 1 :].lower() in IMAGE_SUFFIXES


class PackedStore(ImageStore, Protocol):
    """Members of an archive."""

    def read(self, index: int) -> bytes:
        """The content of a member.

        Raises:
            OSError: when it cannot be read.
        """
        ...


class Members(Protocol):
    """The members of an archive, by numbers."""

    def store(self, numbers: NDArray[np.int64]) -> PackedStore:
        """Where the members of these numbers are read from."""
        ...


@dataclass(frozen=True, eq=False)
class Packed:
    """An archive, and which of its members are what a listing names.

    Attributes:
        members: all of them.
        images: the number of each image among them.
        manifests: the same of the manifests.
    """

    members: Members
    images: NDArray[np.int64]
    manifests: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Listing:
    """The files below one root, listed once.

    Attributes:
        root: the folder, or the zip file.
        images: paths below the root with forward slashes, sorted.
        manifests: the same of .csv, .tsv and .parquet files.
        others: how many files there are of every other ending.
        packed: the archive's members; of a folder, None.
        leaving: images that a symbolic link fetches from outside of the root.
        hollow: folders without an image in them or below them.
        notes: what to say about the listing itself.
    """

    root: Path
    images: list[str]
    manifests: list[str]
    others: Counter[str]
    packed: Packed | None = None
    leaving: frozenset[str] = frozenset()
    hollow: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def store(self, positions: NDArray[np.int64] | None = None) -> ImageStore:
        """Where images are read from: all of them, or those at these positions, in this order."""
        rows = np.arange(len(self.images)) if positions is None else positions
        if self.packed is not None:
            return self.packed.members.store(self.packed.images[rows])
        return FileStore(self.root, Names(self.images[row] for row in rows.tolist()))

    def open(self, name: str) -> BinaryIO:
        """One of the manifests, opened for reading; of an archive, its content.

        Raises:
            InputError: when it cannot be read.
        """
        try:
            if self.packed is None:
                return (self.root / name).open("rb")
            place = self.manifests.index(name)
            content = self.packed.members.store(self.packed.manifests[[place]]).read(0)
        except OSError as error:
            raise InputError(f"{self.root / name}: cannot be read ({error.strerror or error})") from error
        return BytesIO(content)

    def below(self, top: str) -> Listing:
        """The part below a folder that everything lies in."""
        start = len(top) + 1
        beside = sorted(folder for folder in self.hollow if "/" not in folder)
        without = f" (no image in {joined(beside)})" if beside else ""
        return replace(
            self,
            root=self.root / top if self.packed is None else self.root,
            images=[name[start:] for name in self.images],
            manifests=[name[start:] for name in self.manifests],
            leaving=frozenset(name[start:] for name in self.leaving),
            hollow=frozenset(name[start:] for name in self.hollow if name.startswith(f"{top}/")),
            notes=(*self.notes, f"everything lies in {top}/: read from there{without}"),
        )

    def all_notes(self) -> list[str]:
        """The listing's notes, how many files links fetch, and how many are neither image nor manifest."""
        notes = list(self.notes)
        if self.leaving:
            notes.append(f"{count(len(self.leaving), 'file')} fetched from outside by symbolic links")
        if self.others:
            kinds = joined(f"{ending or 'without ending'} {n}" for ending, n in sorted(self.others.items()))
            notes.append(f"{count(self.others.total(), 'other file')} left out, no image: {kinds}")
        return notes


def list_source(path: Path) -> Listing:
    """List a folder or a zip archive, from the folder downwards that holds everything.

    Raises:
        InputError: when it is neither, or cannot be read.
    """
    if path.is_dir():
        found = _list_folder(path)
    elif path.suffix.lower() == ".zip":
        found = _list_zip(path)
    else:
        raise InputError(
            f"{path}: expected a folder, a .zip archive, a .csv, .tsv or .parquet manifest, or a .txt list"
        )
    return _descend(found)


def require_images(found: Listing, path: Path) -> None:
    """Refuse a place without images.

    Raises:
        InputError: when there is none.
    """
    if found.images:
        return
    if not found.others and not found.manifests:
        raise InputError(
            f"{path}: is empty; expected images in one folder per class, or labels.csv with images"
        )
    seen = count(found.others.total() + len(found.manifests), "file")
    raise InputError(
        f"{path}: holds no image among {seen}; expected one of {', '.join(sorted(IMAGE_SUFFIXES))}"
        " (where images lie elsewhere, name the place with --images)"
    )


def _descend(found: Listing) -> Listing:
    """Go down while one folder holds everything and is neither a class nor a split."""
    while True:
        names = found.images + found.manifests
        tops = {name.partition("/")[0] for name in names}
        if len(tops) != 1 or any("/" not in name for name in names):
            return found
        top = tops.pop()
        nested = any(name.count("/") > 1 for name in found.images) or found.manifests
        if top.lower() in SPLIT_NAMES or not nested:
            return found
        found = found.below(top)


def _sort_out(root: Path, names: Iterable[str], folders: set[str]) -> Listing:
    """The listing of these files; `folders` are all those that are there, once the files are read."""
    images: list[str] = []
    manifests: list[str] = []
    others: Counter[str] = Counter()
    for name in names:
        if is_image(name):
            images.append(name)
        elif suffix(name) in MANIFEST_SUFFIXES:
            manifests.append(name)
        else:
            others[suffix(name)] += 1
    images.sort()
    manifests.sort()
    return Listing(root, images, manifests, others, hollow=frozenset(folders - _folders_of(images)))


def _folders_of(names: Iterable[str]) -> set[str]:
    """All folders on the way to these files."""
    folders: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _list_folder(root: Path) -> Listing:
    walk = _Walk(root)
    try:
        found = _sort_out(root, walk, walk.folders)
    except OSError as error:
        raise InputError(f"{error.filename or root}: cannot be listed ({error.strerror})") from error
    odd = (
        (("broken link",), walk.broken),
        (("pipe, socket or device", "pipes, sockets or devices"), walk.special),
    )
    notes = tuple(
        f"{count(len(paths), *what)} left out: {joined(sorted(paths))}" for what, paths in odd if paths
    )
    return replace(found, leaving=frozenset(walk.leaving), notes=notes)


class _Walk:
    """Paths of files below the root, hidden ones left out; gathers on the way what else is there.

    A link to a folder is followed, except into a folder that the path to it already goes through.

    Attributes:
        folders: paths of folders.
        leaving: files that a link fetches from outside.
        broken: links to nothing.
        special: what is neither file nor folder; to open a pipe would wait for ever.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: set[str] = set()
        self.leaving: set[str] = set()
        self.broken: list[str] = []
        self.special: list[str] = []

    def __iter__(self) -> Iterator[str]:
        real_root = os.path.realpath(self.root)
        todo: list[tuple[str, tuple[str, ...], bool]] = [("", (real_root,), False)]
        while todo:
            below, trail, outside = todo.pop()
            with os.scandir(self.root / below) as entries:
                for entry in entries:
                    if _hidden(entry.name):
                        continue
                    path = below + entry.name
                    link = os.path.realpath(entry.path) if entry.is_symlink() else ""
                    out = outside or (bool(link) and not _inside(link, real_root))
                    if entry.is_file():
                        if out:
                            self.leaving.add(path)
                        yield path
                    elif not entry.is_dir():
                        (self.special if Path(entry.path).exists() else self.broken).append(path)
                    elif not link:
                        self.folders.add(path)
                        todo.append((path + "/", trail, out))
                    elif not any(_inside(p, link) for p in (*trail, os.path.realpath(self.root / below))):
                        self.folders.add(path)
                        todo.append((path + "/", (*trail, link), out))


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _list_zip(path: Path) -> Listing:
    members = read_members(path)
    places: dict[str, int] = {}
    folders: set[str] = set()
    for number, name in enumerate(members.names):
        if ".." in name or name[:1] == "/" or name[1:2] == ":":
            _check_inside(path, name)
        if _in_hidden(name):
            continue
        if name.endswith("/"):
            folders.add(name.rstrip("/"))
            continue
        if places.setdefault(name, number) != number:
            raise InputError(f"{path}: holds {name} twice; pack it again with each file once")
    found = _sort_out(path, places, folders | _folders_of(places))
    images, manifests = (_numbers(names, places) for names in (found.images, found.manifests))
    for numbers in (images, manifests):
        _check_readable(members, numbers)
    return replace(found, packed=Packed(members, images, manifests))


def _numbers(names: list[str], places: dict[str, int]) -> NDArray[np.int64]:
    return np.fromiter(map(places.__getitem__, names), np.int64, len(names))


def _in_hidden(name: str) -> bool:
    """Whether a file, or a folder on the way to it, is hidden."""
    looks = name[:1] == "." or "/." in name or "__MACOSX" in name  # most names do not
    return looks and any(map(_hidden, name.split("/")))


def _check_inside(path: Path, name: str) -> None:
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        raise InputError(
            f"{path}: member {name!r} points out of the archive; pack it again with relative paths"
        )


def _check_readable(members: ZipMembers, numbers: NDArray[np.int64]) -> None:
    encrypted = np.flatnonzero(members.encrypted[numbers])
    if len(encrypted):
        name = members.names[numbers[encrypted[0]]]
        raise InputError(f"{members.path}: member {name} is encrypted; pack it again without a password")
    odd = np.flatnonzero(~np.isin(members.method[numbers], READABLE_METHODS))
    if len(odd):
        number = numbers[odd[0]]
        raise InputError(
            f"{members.path}: member {members.names[number]} uses compression method"
            f" {members.method[number]}; pack it again stored or deflated"
        )
