"""What lies below a folder or in a zip archive: images, manifests, and how many other files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
from longtail.data.tars import TarMembers, root_of
from longtail.data.tars import read_members as read_tars
from longtail.data.walk import Walk, hidden
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

TAR_SUFFIX = "tar"
"""Ending of archives that hold a label beside each image, or folders of images."""

MANIFEST_SUFFIXES = frozenset({"csv", "tsv", "parquet"})
"""Endings of manifests, in lower case."""

MANY_OTHERS = 200_000
"""So many other files with hardly an image between them are a disk or a home, not a data set."""


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
        tars: paths of the tar archives among them.
        packed: the archive's members; of a folder, None.
        inside: the folder in the archive that all paths are below, '' where that is the archive itself.
        leaving: images that a symbolic link fetches from outside of the root.
        hollow: folders without an image in them or below them.
        notes: what to say about the listing itself.
    """

    root: Path
    images: list[str]
    manifests: list[str]
    others: Counter[str]
    tars: tuple[str, ...] = ()
    packed: Packed | None = None
    inside: str = ""
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
            inside="" if self.packed is None else f"{self.inside}/{top}".lstrip("/"),
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
            kinds = joined(f"{ending or 'without ending'} {n:,}" for ending, n in sorted(self.others.items()))
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
    elif path.suffix.lower() == f".{TAR_SUFFIX}":
        return list_tars(read_tars([path]))
    else:
        raise InputError(
            f"{path}: expected a folder, a .zip or .tar archive, a .csv, .tsv or .parquet manifest, or a .txt"
            " list"
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
    raise InputError(
        f"{path}: {no_image_in(found)} (where images lie elsewhere, name the place with --images)"
    )


def no_image_in(found: Listing) -> str:
    """What is to be said of a place without images."""
    seen = found.others.total() + len(found.manifests)
    what = f"holds no image among {count(seen, 'file')}" if seen else "is empty"
    return f"{what}; expected one of {', '.join(sorted(IMAGE_SUFFIXES))}"


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
    """The listing of these files; `folders` are all those that are there, once the files are read.

    Raises:
        InputError: when there are many files and hardly an image among them.
    """
    images: list[str] = []
    manifests: list[str] = []
    others: Counter[str] = Counter()
    tars: list[str] = []
    seen = 0
    for name in names:
        if is_image(name):
            images.append(name)
        elif suffix(name) in MANIFEST_SUFFIXES:
            manifests.append(name)
        else:
            others[suffix(name)] += 1
            seen += 1
            if suffix(name) == TAR_SUFFIX:
                tars.append(name)
            if seen % MANY_OTHERS == 0 and len(images) < seen / 100:
                raise InputError(
                    f"{root}: holds {len(images):,} images among its first {seen + len(images):,} files;"
                    " name the folder that the images lie in"
                )
    images.sort()
    manifests.sort()
    hollow = frozenset(folders - _folders_of(images))
    return Listing(root, images, manifests, others, tuple(sorted(tars)), hollow=hollow)


def _folders_of(names: Iterable[str]) -> set[str]:
    """All folders on the way to these files."""
    folders: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _list_folder(root: Path) -> Listing:
    walk = Walk(root)
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


def _list_zip(path: Path) -> Listing:
    members = read_members(path)
    found = _list_packed(path, members, members.names)
    if found.packed is not None:
        for numbers in (found.packed.images, found.packed.manifests):
            _check_readable(members, numbers)
    return found


def list_tars(members: TarMembers) -> Listing:
    """List tar archives as one, from the folder in them downwards that holds everything.

    Raises:
        InputError: when they hold a file of the same name twice.
    """
    root = members.paths[0] if len(members.paths) == 1 else root_of(members.paths)
    return _descend(_list_packed(root, members, members.names))


def _list_packed(root: Path, members: Members, names: list[str]) -> Listing:
    """The listing of an archive, or of several below one root, whose members have these names.

    Raises:
        InputError: when a name leads out of the archive, or is that of two members.
    """
    places: dict[str, int] = {}
    folders: set[str] = set()
    for number, name in enumerate(names):
        if ".." in name or name[:1] == "/" or name[1:2] == ":":
            _check_inside(root, name)
        if hidden(name):
            continue
        if name.endswith("/"):
            folders.add(name.rstrip("/"))
            continue
        if places.setdefault(name, number) != number:
            raise InputError(f"{root}: holds {name} twice; pack it again with each file once")
    found = _sort_out(root, places, folders | _folders_of(places))
    images, manifests = (_numbers(own, places) for own in (found.images, found.manifests))
    return replace(found, packed=Packed(members, images, manifests))


def _numbers(names: list[str], places: dict[str, int]) -> NDArray[np.int64]:
    return np.fromiter(map(places.__getitem__, names), np.int64, len(names))


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
