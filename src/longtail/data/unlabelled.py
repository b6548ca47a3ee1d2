"""Images without labels, a block at a time: files, folders, archives, manifests, and lists of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import ImageStore
from longtail.data.listing import MANIFEST_SUFFIXES, TAR_SUFFIX, list_source, no_image_in, suffix
from longtail.data.names import Names
from longtail.data.sources import existing
from longtail.data.stores import FileStore
from longtail.data.tables.lists import LIST_SUFFIX
from longtail.data.tables.manifest import open_unlabelled
from longtail.data.tables.table import read_table
from longtail.errors import InputError
from longtail.files import place_of

BLOCK = 64
"""Most images of a block: so many are in memory at a time, and what a network makes of them.

More are no faster on a CPU: lite0 at 224 pixels takes 4.6 GB with 256 of them, and 1.7 GB with 64."""

STANDARD_INPUT = "-"
"""Names the list of paths on standard input."""

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".gz", ".7z", ".rar")
"""Endings of archives that are not read."""

_READ_AT_ONCE = 2**16  # bytes of a list


@dataclass(frozen=True, eq=False)
class Block:
    """Images of a store that follow each other; a store itself.

    Attributes:
        store: of all images.
        start, stop: which of them.
    """

    store: ImageStore
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def name(self, index: int) -> str:
        """See `ImageStore`."""
        return self.store.name(self.start + index)

    def read(self, index: int) -> bytes | NDArray[np.uint8]:
        """See `ImageStore`."""
        return self.store.read(self.start + index)

    def without(self, images: int) -> Block:
        """The block without its first images."""
        return Block(self.store, self.start + images, self.stop)

    @property
    def names(self) -> list[str]:
        """Of its images."""
        return [self.name(index) for index in range(len(self))]


def blocks_of(store: ImageStore) -> Iterator[Block]:
    """A store in blocks."""
    for start in range(0, len(store), BLOCK):
        yield Block(store, start, min(start + BLOCK, len(store)))


@dataclass(frozen=True)
class ManifestReading:
    """How manifests name images; what is None is found by looking at them.

    Attributes:
        images: folder or archive with the images; by default the manifest's own folder.
        image_column: column that names them.
        skip_missing: whether to leave out rows whose image is not there.
    """

    images: str | None = None
    image_column: str | None = None
    skip_missing: bool = False

    def refuse(self) -> None:
        """Refuse what is said of manifests where there is none.

        Raises:
            InputError: naming the flag.
        """
        said = next((name for name, value in vars(self).items() if value), None)
        if said is not None:
            flag = f"--{said.replace('_', '-')}"
            raise InputError(f"{flag}: goes with a manifest among IMAGES; leave it out")


def open_images(
    sources: Sequence[str],
    manifests: ManifestReading,
    say: Callable[[str], None],
    standard_input: BinaryIO | None = None,
) -> Iterator[Block]:
    """Blocks of the images of sources, in their order; each source is looked at when its turn comes.

    Args:
        sources: image files, folders, archives, manifests, `STANDARD_INPUT`.
        manifests: how these are read.
        say: hears of what is left out.
        standard_input: a path in every line, relative to the current folder.

    Raises:
        InputError: at once when a source is not there, or nothing fits the flags for manifests; later when
            one cannot be read. An image that cannot be read is no such case.
    """
    if "" in sources:
        raise InputError("an empty path among the images; '.' is the current folder")
    sources = [str(place_of(source)) if source.startswith("~") else source for source in sources]
    missing = next((path for path in sources if path != STANDARD_INPUT and not Path(path).exists()), None)
    if missing is not None:
        raise InputError(
            f"{missing}: no such file; expected images, folders, archives, manifests, or - for a list on "
            "standard input"
        )
    kinds = list(map(_kind, sources))
    if "manifest" not in kinds:
        manifests.refuse()
    if kinds.count("list") > (standard_input is not None):
        raise InputError(
            f"{STANDARD_INPUT}: is standard input; expected it at most once, and where there is one"
        )
    return _opened(sources, manifests, say, standard_input)


def _opened(
    sources: Sequence[str],
    manifests: ManifestReading,
    say: Callable[[str], None],
    standard_input: BinaryIO | None,
) -> Iterator[Block]:
    for kind, group in groupby(sources, key=_kind):
        if kind == "image":
            yield from blocks_of(FileStore(Path(), Names(group)))
            continue
        for source in group:
            if kind == "list":
                for paths in _lines(cast(BinaryIO, standard_input)):
                    yield from blocks_of(FileStore(Path(), Names(paths)))
            elif kind == "manifest":
                yield from blocks_of(_of_manifest(Path(source), manifests, say))
            else:
                yield from blocks_of(_of_place(Path(source), say))


def _kind(source: str) -> str:
    if source == STANDARD_INPUT:
        return "list"
    if Path(source).is_dir() or suffix(source) in ("zip", TAR_SUFFIX):
        return "place"
    if suffix(source) == LIST_SUFFIX:
        raise InputError(f"{source}: a list of paths is read from standard input: - < {source}")
    if source.lower().endswith(COMPRESSED):
        raise InputError(f"{source}: compressed archives are not read; unpack it first")
    return "manifest" if suffix(source) in MANIFEST_SUFFIXES else "image"


def _of_place(path: Path, say: Callable[[str], None]) -> ImageStore:
    found = list_source(path)
    if not found.images:
        raise InputError(f"{path}: {no_image_in(found)}")
    for note in found.all_notes():
        say(f"{path}: {note}")
    return found.store()


def _of_manifest(path: Path, reading: ManifestReading, say: Callable[[str], None]) -> ImageStore:
    with path.open("rb") as file:
        table = read_table(str(path), file)
    place = path.parent if reading.images is None else existing(reading.images, "--images ")
    found = list_source(place)
    if not found.images:
        raise InputError(
            f"{path}: {place} holds no image that it could name; --images names another place, "
            "and - takes paths anywhere, one a line"
        )
    store, notes = open_unlabelled(table, found, reading.image_column, reading.skip_missing)
    for note in (*notes, *table.notes):
        say(note)
    return store


def _lines(file: BinaryIO) -> Iterator[list[str]]:
    """Lists of the lines of a file, as soon as they are there; empty ones are left out."""
    rest = b""
    while read := _available(file):
        *whole, rest = (rest + read).split(b"\n")
        if paths := list(_paths(whole)):
            yield paths
    if paths := list(_paths([rest])):
        yield paths


def _available(file: BinaryIO) -> bytes:
    """What can be read without waiting for more; b"" at the end."""
    read = getattr(file, "read1", file.read)
    return read(_READ_AT_ONCE)


def _paths(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        if path := line.removesuffix(b"\r"):
            yield path.decode("utf-8", "surrogateescape")
