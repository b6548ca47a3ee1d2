"""Vectors of images on disk, found again by the content of the image and by what made them.

A cache is a folder of folders: one for each maker (network, weights, preprocessing), named after its
digest. In it lie pieces, each two files of the same number of rows: the digests of images and their
vectors in half precision, written aside and renamed, the digests last. A piece without digests does not
count, so that a killed process leaves nothing that is read, and each process writes pieces of its own, so
that several may fill a cache at once. Vectors are mapped, not loaded. A small document says for people what
made them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from longtail.documents import Form, Part
from longtail.errors import InputError
from longtail.files import place_of, written_aside

Halves = NDArray[np.float16]

DIGEST_BYTES = 16

LARGEST = 20 * 2**30
"""Bytes that a cache may take unless $LONGTAIL_CACHE_BYTES says otherwise."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Maker(Part, frozen=True):
    """What made some vectors, for people: the digest is what counts.

    Attributes:
        network: its name.
        image_size: (height, width) of the images.
        mirrored: whether they were mirrored left to right.
        made: when the first vector was kept.
    """

    network: str
    image_size: tuple[int, int]
    mirrored: bool
    made: str

    def __str__(self) -> str:
        height, width = self.image_size
        return f"{self.network}, {height}x{width}{', mirrored' if self.mirrored else ''}"


MAKER = Form(Maker, "description of vectors", "the maker.json of a cache", "train again")
"""maker.json beside the vectors."""

MAKER_FILE = "maker.json"
_OURS = ("*.digests.npy", "*.vectors.npy", MAKER_FILE)


@dataclass(frozen=True)
class Entry:
    """What a cache holds of one maker.

    Attributes:
        maker: its digest.
        images: vectors that are kept.
        bytes: on disk.
        used: seconds since the epoch of its last use.
        about: what it is, where that is known.
    """

    maker: str
    images: int
    bytes: int
    used: float
    about: Maker | None = None

    @property
    def name(self) -> str:
        """What a person types for it."""
        return self.maker[:8]


def digest_of(content: bytes | NDArray[np.uint8]) -> bytes:
    """16 bytes that stand for an image: of the encoded file, or of pixels and their shape.

    Example:
        >>> digest_of(b"a") == digest_of(b"a"), digest_of(b"a") == digest_of(b"b")
        (True, False)
    """
    if isinstance(content, bytes):
        return blake2b(content, digest_size=DIGEST_BYTES).digest()
    hashed = blake2b(repr(content.shape).encode(), digest_size=DIGEST_BYTES)
    hashed.update(content.tobytes())
    return hashed.digest()


def cache_folder() -> Path:
    """Where caches are kept: $LONGTAIL_CACHE, or longtail in the user's cache folder.

    Raises:
        InputError: when there is neither.
    """
    named = os.environ.get("LONGTAIL_CACHE")
    if named:
        return place_of(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "longtail"
    except RuntimeError:  # a user without a home, as in a container
        raise InputError("LONGTAIL_CACHE: there is no home folder; set it to a folder") from None


def cache_bound() -> int:
    """Bytes that all vectors together may take: $LONGTAIL_CACHE_BYTES, as 500M or 50G, or `LARGEST`.

    Raises:
        InputError: when it is no such number.
    """
    said = os.environ.get("LONGTAIL_CACHE_BYTES", "")
    found = re.fullmatch(r"(\d+)([KMGT]?)B?", said.strip().upper())
    if said and found is None:
        raise InputError(f"LONGTAIL_CACHE_BYTES: expected a number of bytes, as 500M or 50G, got {said!r}")
    return LARGEST if found is None else int(found[1]) * _UNITS[found[2]]


class FeatureCache:
    """The vectors that one maker gave, by the digests of images.

    Args:
        root: of all makers, see `cache_folder`.
        maker: digest of network, weights and preprocessing; another digest is another cache.
        size: D, numbers of a vector.
        about: what is said of them in a list, or None.
    """

    def __init__(self, root: Path, maker: str, size: int, about: Maker | None = None) -> None:
        self.folder = root / maker
        self.size = size
        self._about = about
        self._pieces: list[Halves] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._seen: set[Path] = set()
        self.refresh()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places

    def refresh(self) -> None:
        """Take in what other processes have kept since."""
        for file in sorted(set(self.folder.glob("*.digests.npy")) - self._seen):
            self._open(file)

    def missing(self, digests: Sequence[bytes]) -> NDArray[np.int64]:
        """(m,) indices of the digests that have no vector, of equal ones the first."""
        first = {digest: i for i, digest in reversed([*enumerate(digests)]) if digest not in self._places}
        return np.array(sorted(first.values()), dtype=np.int64)

    def add(self, digests: Sequence[bytes], vectors: NDArray[np.floating], *, write: bool = True) -> None:
        """Keep vectors (n, D), as one piece, whole or not at all; in memory alone without `write`.

        Raises:
            InputError: when the disk is full or may not be written.
            ValueError: when there are not as many vectors as digests, or one is not finite.
        """
        halves = vectors.astype(np.float16)
        if halves.shape != (len(digests), self.size) or not np.isfinite(halves).all():
            raise ValueError(f"expected {len(digests)} finite vectors of {self.size}, got {vectors.shape}")
        if not write:
            self._take(digests, halves)
            return
        name = uuid4().hex
        file, vectors_file = (self.folder / f"{name}.{what}.npy" for what in ("digests", "vectors"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._about is not None and not (self.folder / MAKER_FILE).exists():
                MAKER.write(self.folder / MAKER_FILE, self._about)
            _save(vectors_file, halves)
            _save(file, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES))
        except (OSError, InputError) as error:
            with suppress(OSError):
                vectors_file.unlink()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(
                f"vectors cannot be kept ({self.folder}: {reason}); make room with `longtail cache --clear`, "
                "or name another folder, LONGTAIL_CACHE=FOLDER"
            ) from None
        self._open(file)

    def read(self, digests: Sequence[bytes]) -> Halves:
        """(n, D) vectors of images that are there.

        Raises:
            KeyError: when one is not.
        """
        return self.at(self.places(digests))

    def places(self, digests: Sequence[bytes]) -> NDArray[np.int64]:
        """(n, 2) where the vectors of images are, for `at`; raises as `read`."""
        return np.array([self._places[digest] for digest in digests], dtype=np.int64).reshape(-1, 2)

    def at(self, places: NDArray[np.int64]) -> Halves:
        """(n, D) vectors at places."""
        found = np.empty((len(places), self.size), np.float16)
        for piece in np.unique(places[:, 0]).tolist():
            own = places[:, 0] == piece
            found[own] = self._pieces[piece][places[own, 1]]
        return found

    def _open(self, file: Path) -> None:
        """Take a piece in; one that does not fit its vectors, or other sizes, is left alone."""
        self._seen.add(file)
        vectors_file = file.with_name(file.name.replace(".digests.", ".vectors."))
        try:
            digests = cast("NDArray[np.uint8]", np.load(file))
            vectors = cast("Halves", np.load(vectors_file, mmap_mode="r"))
        except (OSError, ValueError, EOFError):
            return  # damaged: its images are looked at again
        if digests.dtype != np.uint8 or digests.shape != (len(vectors), DIGEST_BYTES):
            return
        if vectors.dtype != np.float16 or vectors.shape[1:] != (self.size,):
            return
        self._take([digest.tobytes() for digest in digests], vectors)
        with suppress(OSError):  # it may be shared, and somebody else's
            os.utime(self.folder)  # so that it counts as used

    def _take(self, digests: Sequence[bytes], vectors: Halves) -> None:
        self._places |= {digest: (len(self._pieces), row) for row, digest in enumerate(digests)}
        self._pieces.append(vectors)


def entries(root: Path) -> list[Entry]:
    """What a cache holds, the latest used first; folders of other files are none of it."""
    folders = [folder for folder in root.iterdir() if folder.is_dir()] if root.is_dir() else []
    found = [entry for entry in map(_entry, folders) if entry is not None]
    return sorted(found, key=lambda entry: -entry.used)


def trim(root: Path, largest: int | None = None) -> list[Entry]:
    """Remove whole makers, what was used longest ago first, until the rest fits; what was removed.

    The one that was used last stays, however large it is: it is in use. `largest` is `cache_bound`
    unless it is said.
    """
    removed: list[Entry] = []
    total, most = 0, cache_bound() if largest is None else largest
    for place, entry in enumerate(entries(root)):
        total += entry.bytes
        if total > most and place > 0:
            remove(root, entry)
            removed.append(entry)
    return removed


def remove(root: Path, entry: Entry) -> None:
    """Remove the vectors of a maker; other files in its folder stay."""
    folder = root / entry.maker
    for file in [file for name in reversed(_OURS) for file in folder.glob(name)]:
        file.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _entry(folder: Path) -> Entry | None:
    """None of a folder without vectors, and of one that another process removes right now."""
    try:
        if not any(any(folder.glob(name)) for name in _OURS):
            return None
        files, used = list(_sizes(folder)), folder.stat().st_mtime
    except FileNotFoundError:
        return None
    images = sum(max(size - 128, 0) // DIGEST_BYTES for name, size in files if name.endswith(".digests.npy"))
    return Entry(folder.name, images, sum(size for _, size in files), used, _about(folder / MAKER_FILE))


def _about(file: Path) -> Maker | None:
    try:
        return MAKER.read(file)
    except (OSError, InputError):
        return None  # of another version, or damaged: the vectors are as good as before


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # another process writes aside, and renames
            if file.is_file():
                yield file.name, file.stat().st_size


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with written_aside(path) as aside, aside.open("wb") as file:
        np.save(file, array)
