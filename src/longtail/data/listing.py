"""What lies below a folder or in a zip archive: images, manifests, and how many other files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from longtail.data.classes import SPLIT_NAMES
from longtail.data.dataset import ImageStore
from longtail.data.names import Names
from longtail.data.stores import READABLE_METHODS, FileStore, ZipStore
from longtail.errors import InputError
from longtail.words import count, joined

IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm"})
"""Endings of image files, in lower case."""

_IMAGE_ENDINGS = tuple("." + ending for ending in sorted(IMAGE_SUFFIXES))

MANIFEST_SUFFIXES = frozenset({"csv", "tsv", "parquet"})
"""Endings of manifests, in lower case."""


def suffix(name: str) -> str:
    """The ending of a file's name in lower case, without the dot."""
    head, dot, tail = name.rpartition(".")
    return tail.lower() if dot and head and "/" not in tail else ""


def is_image(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    return name.lower().endswith(_IMAGE_ENDINGS)


@dataclass(frozen=True, eq=False)
class Listing:
    """The files below one root, listed once.

    Attributes:
        root: the folder, or the zip file.
        images: paths below the root with forward slashes, sorted.
        manifests: the same of .csv, .tsv and .parquet files.
        others: how many files there are of every other ending.
        members: of an archive, its entry for every path; of a folder, None.
        leaving: images that a symbolic link fetches from outside of the root.
        notes: what to say about the listing itself.
    """

    root: Path
    images: list[str]
    manifests: list[str]
    others: Counter[str]
    members: dict[str, ZipInfo] | None = None
    leaving: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def store(self, names: Iterable[str]) -> ImageStore:
        """Where these images are read from, in this order: files, or members of the archive."""
        if self.members is None:
            return FileStore(self.root, names if isinstance(names, Names) else Names(names))
        return ZipStore(self.root, [self.members[name] for name in names])

    def open(self, name: str) -> BinaryIO:
        """One file, opened for reading; of an archive, its content."""
        if self.members is None:
            return (self.root / name).open("rb")
        return BytesIO(ZipStore(self.root, [self.members[name]]).read(0))

    def below(self, top: str) -> Listing:
        """The part below a folder that everything lies in."""
        start = len(top) + 1
        strip = [[name[start:] for name in names] for names in (self.images, self.manifests)]
        members = self.members and {name[start:]: member for name, member in self.members.items()}
        leaving = frozenset(name[start:] for name in self.leaving)
        root = self.root / top if self.members is None else self.root
        notes = (*self.notes, f"everything lies in {top}/: read from there")
        return Listing(root, strip[0], strip[1], self.others, members, leaving, notes)

    def all_notes(self) -> list[str]:
        """The listing's notes, and how many files are neither image nor manifest."""
        if not self.others:
            return list(self.notes)
        kinds = joined(f"{ending or 'without ending'} {n}" for ending, n in sorted(self.others.items()))
        return [*self.notes, f"{count(self.others.total(), 'other file')} left out, no image: {kinds}"]


def list_source(path: Path) -> Listing:
    """List a folder or a zip archive, from the folder downwards that holds everything.

    Raises:
        InputError: when it is neither, is damaged, or holds no image.
    """
    if path.is_dir():
        found = _list_folder(path)
    elif path.suffix.lower() == ".zip":
        found = _list_zip(path)
    else:
        raise InputError(f"{path}: expected a folder, a .zip archive or a .csv, .tsv or .parquet manifest")
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
            f"{path}: is empty; expected images in one folder a class, or labels.csv with images"
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


def _sort_out(root: Path, names: Iterable[str]) -> Listing:
    found = Listing(root, [], [], Counter())
    for name in names:
        if is_image(name):
            found.images.append(name)
        elif suffix(name) in MANIFEST_SUFFIXES:
            found.manifests.append(name)
        else:
            found.others[suffix(name)] += 1
    found.images.sort()
    found.manifests.sort()
    return found


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _list_folder(root: Path) -> Listing:
    leaving: set[str] = set()
    broken: list[str] = []
    try:
        found = _sort_out(root, _walk(root, leaving, broken))
    except OSError as error:
        raise InputError(f"{error.filename or root}: cannot be listed ({error.strerror})") from error
    notes = (f"{count(len(broken), 'broken link')} left out: {joined(sorted(broken))}",) if broken else ()
    return replace(found, leaving=frozenset(leaving), notes=notes)


def _walk(root: Path, leaving: set[str], broken: list[str]) -> Iterator[str]:
    """Paths of files below the root, hidden ones left out.

    Those that a link fetches from outside go to `leaving` too, links to nothing only to `broken`.

    A link to a folder is followed, except into a folder that the path to it already goes through.
    """
    real_root = os.path.realpath(root)
    todo: list[tuple[str, tuple[str, ...], bool]] = [("", (real_root,), False)]
    while todo:
        below, trail, outside = todo.pop()
        with os.scandir(root / below) as entries:
            for entry in entries:
                if _hidden(entry.name):
                    continue
                path = below + entry.name
                link = os.path.realpath(entry.path) if entry.is_symlink() else ""
                out = outside or (bool(link) and not _inside(link, real_root))
                if link and not entry.is_file() and not entry.is_dir():
                    broken.append(path)
                elif not entry.is_dir():
                    if out:
                        leaving.add(path)
                    yield path
                elif not link:
                    todo.append((path + "/", trail, out))
                elif not any(_inside(passed, link) for passed in (*trail, os.path.realpath(root / below))):
                    todo.append((path + "/", (*trail, link), out))


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _list_zip(path: Path) -> Listing:
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
    except (BadZipFile, OSError, EOFError) as error:
        raise InputError(
            f"{path}: is not a readable zip archive ({error}); copy or download it again"
        ) from error
    members: dict[str, ZipInfo] = {}
    for entry in entries:
        name = entry.filename.replace("\\", "/")
        _check_inside(path, name)
        if entry.is_dir() or any(map(_hidden, name.split("/"))):
            continue
        if name in members:
            raise InputError(f"{path}: holds {name} twice; pack it again with each file once")
        members[name] = entry
    found = _sort_out(path, members)
    for name in found.images + found.manifests:
        _check_readable(path, members[name])
    return replace(found, members=members)


def _check_inside(path: Path, name: str) -> None:
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        raise InputError(
            f"{path}: member {name!r} points out of the archive; pack it again with relative paths"
        )


def _check_readable(path: Path, entry: ZipInfo) -> None:
    if entry.flag_bits & 0x1:
        raise InputError(f"{path}: member {entry.filename} is encrypted; pack it again without a password")
    if entry.compress_type not in READABLE_METHODS:
        raise InputError(
            f"{path}: member {entry.filename} uses compression method {entry.compress_type};"
            " pack it again stored or deflated"
        )
