"""Reading every image of a data set once: which cannot be used, how large they are, which are the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS, Dataset, ImageStore
from longtail.errors import InputError
from longtail.schema import UNLABELLED
from longtail.threads import Progress, each

ALMOST_BLACK = 16
"""Largest value of pixels that a person cannot tell from black, of 255; 12 bits in a file of 16 reach it."""

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


@dataclass(frozen=True)
class ImageProblem:
    """An image that cannot be used: its id, where it was looked for, and the reason."""

    id: str
    name: str
    reason: str


@dataclass(frozen=True)
class Spread:
    """The smallest, the median and the largest of some figures."""

    smallest: int
    median: float
    largest: int


@dataclass(frozen=True)
class Conflict:
    """An attribute for which identical images have different labels, one an id (None = unlabelled)."""

    attribute: str
    labels: tuple[str | None, ...]


@dataclass(frozen=True)
class DuplicateSet:
    """Images with the same pixels, or nearly the same.

    Attributes:
        ids: at least two, sorted.
        conflicts: the attributes whose labels contradict each other.
        groups: how many groups the images belong to, None where the data have no groups.
        splits: the given splits that hold one of them, in the order of `SPLITS`.
    """

    ids: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    groups: int | None
    splits: tuple[str, ...]

    @property
    def pairs(self) -> int:
        """n (n − 1) / 2 for n images."""
        return len(self.ids) * (len(self.ids) - 1) // 2


@dataclass(frozen=True)
class ImageDiagnosis:
    """What reading every image once has shown. All tuples are sorted by id.

    Attributes:
        checked: images that were looked for.
        missing: files that are not there.
        unreadable: files that are there, but cannot be read or decoded.
        formats: file format and number of images, most frequent first; "array" = already decoded.
        width: in pixels, None when no image could be read.
        height: in pixels, None when no image could be read.
        duplicates: sets of images with the same pixels.
        almost_black: images without a value above `ALMOST_BLACK`.
        bits: that the largest value of training images of 16 bits has; 0 where there is none, or
            it was said.
    """

    checked: int
    missing: tuple[ImageProblem, ...]
    unreadable: tuple[ImageProblem, ...]
    formats: tuple[tuple[str, int], ...]
    width: Spread | None
    height: Spread | None
    duplicates: tuple[DuplicateSet, ...]
    almost_black: int = 0
    bits: int = 0

    @property
    def conflicting(self) -> tuple[DuplicateSet, ...]:
        """The duplicates whose labels contradict each other."""
        return tuple(d for d in self.duplicates if d.conflicts)

    @property
    def across_splits(self) -> tuple[DuplicateSet, ...]:
        """The duplicates of which at least two given splits hold an image."""
        return tuple(d for d in self.duplicates if len(d.splits) > 1)

    @property
    def across_groups(self) -> tuple[DuplicateSet, ...]:
        """The duplicates of which at least two groups hold an image."""
        return tuple(d for d in self.duplicates if d.groups is not None and d.groups > 1)


@dataclass(frozen=True)
class _Reading:
    """What one image has shown: its format, size and digest, or why it cannot be used."""

    format: str = ""
    height: int = 0
    width: int = 0
    digest: bytes = b""
    brightest: int = 0
    bits: int = 0
    missing: str = ""
    unreadable: str = ""


def check_images(
    dataset: Dataset, on_progress: Progress | None = None, bits: int | None = None
) -> ImageDiagnosis:
    """Read, decode and compare all images of a data set, with a thread a core.

    Two images are duplicates when their decoded pixels are equal: that is what a model sees, so a
    file saved again without loss, or with other metadata, is found too. One that was compressed
    again with loss is not.

    Args:
        dataset: the images; only sizes and digests are kept of them.
        on_progress: called with the images done and all images, in the caller's thread.
        bits: that the values of images of 16 bits use; None where that is to be found.
    """
    readings = list(each(partial(_read, dataset.images, bits), len(dataset.images), on_progress))
    usable = [r for r in readings if r.digest]
    formats = Counter(r.format for r in usable)
    return ImageDiagnosis(
        checked=len(readings),
        missing=_problems(dataset, [r.missing for r in readings]),
        unreadable=_problems(dataset, [r.unreadable for r in readings]),
        formats=tuple(sorted(formats.items(), key=lambda item: (-item[1], item[0]))),
        width=_spread([r.width for r in usable]),
        height=_spread([r.height for r in usable]),
        duplicates=find_duplicates(dataset, [r.digest for r in readings]),
        almost_black=sum(r.brightest <= ALMOST_BLACK for r in usable),
        bits=max((r.bits for r, trained in zip(readings, training_rows(dataset)) if trained), default=0),
    )


def find_duplicates(dataset: Dataset, digests: Sequence[bytes]) -> tuple[DuplicateSet, ...]:
    """Sets of at least two images with the same digest; an empty digest equals no other."""
    rows_of: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        if digest:
            rows_of[digest].append(row)
    sets = [duplicate_set(dataset, rows) for rows in rows_of.values() if len(rows) > 1]
    return tuple(sorted(sets, key=lambda found: found.ids))


def image_format(data: bytes | NDArray[np.uint8]) -> str:
    """The format that the first bytes of a file name, or "array" for a decoded image."""
    if not isinstance(data, bytes):
        return "array"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for start, name in _SIGNATURES.items() if data.startswith(start)), "other")


def _read(store: ImageStore, bits: int | None, index: int) -> _Reading:
    # decoding needs torch, which a look at the labels alone does not
    from longtail.images.bits import bits_used
    from longtail.images.decode import decode, image_size
    from longtail.settings import MOST_BITS

    name = store.name(index)
    try:
        data = store.read(index)
        pixels = decode(data, name, image_size(data, name), bits=bits or MOST_BITS)
    except FileNotFoundError as error:
        return _Reading(missing=_reason(error, name))
    except (OSError, InputError) as error:
        return _Reading(unreadable=_reason(error, name))
    height, width = pixels.shape[:2]
    digest = blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    used = bits_used(data, name) if bits is None else 0
    return _Reading(image_format(data), height, width, digest.digest(), int(pixels.max()), used)


def _reason(error: Exception, name: str) -> str:
    """Why, never empty, and without the name that stands beside it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix(f"{name}: ") or type(error).__name__


def _problems(dataset: Dataset, reasons: Sequence[str]) -> tuple[ImageProblem, ...]:
    found = (
        ImageProblem(dataset.ids[row], dataset.images.name(row), reason)
        for row, reason in enumerate(reasons)
        if reason
    )
    return tuple(sorted(found, key=lambda problem: problem.id))


def _spread(values: list[int]) -> Spread | None:
    return Spread(min(values), float(np.median(values)), max(values)) if values else None


def training_rows(dataset: Dataset) -> NDArray[np.bool_]:
    """(N,) bool: images given to train; all, where the data have no splits or none for training."""
    everything = np.ones(len(dataset), np.bool_)
    if dataset.split is None:
        return everything
    rows = dataset.split == SPLITS.index("train")
    return rows if rows.any() else everything


def duplicate_set(dataset: Dataset, rows: list[int]) -> DuplicateSet:
    """What is to be said of these images, which are the same or nearly so."""
    rows = sorted(rows, key=lambda row: dataset.ids[row])
    held = set() if dataset.split is None else set(dataset.split[rows].tolist())
    return DuplicateSet(
        ids=tuple(dataset.ids[row] for row in rows),
        conflicts=tuple(_conflicts(dataset, rows)),
        groups=None if dataset.groups is None else len(set(dataset.groups[rows].tolist())),
        splits=tuple(name for index, name in enumerate(SPLITS) if index in held),
    )


def _conflicts(dataset: Dataset, rows: list[int]) -> Iterator[Conflict]:
    for attribute, labels in zip(dataset.schema.attributes, dataset.labels[rows].T.tolist(), strict=True):
        # an image without a label contradicts nothing
        if len(set(labels) - {UNLABELLED}) > 1:
            names = (None if k == UNLABELLED else attribute.classes[k] for k in labels)
            yield Conflict(attribute.name, tuple(names))
