"""The fingerprints of all images of a data set: from the cache, or computed once and kept there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import Dataset, ImageStore
from longtail.errors import InputError
from longtail.features.cache import FeatureCache, Maker, cache_folder, digest_of, trim
from longtail.features.similar import Fingerprints, check_amount, near_duplicates, united
from longtail.images.fingerprint import COLOURS, EDGES, SIDE, fingerprint
from longtail.settings import MOST_BITS
from longtail.threads import Progress, each
from longtail.words import count

VERSION = "1"
"""Changes with what a fingerprint is, so that older ones do not count."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What the images of a data set look like.

    Attributes:
        prints: (N, EDGES + COLOURS) float16, NaN where an image cannot be read or decoded.
        files: (N,) int64, a number for each content: equal files or pixels share it.
    """

    prints: Fingerprints
    files: NDArray[np.int64]

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) near duplicates share a group, and so do equal files."""
        return united(near_duplicates(self.prints), self.files)


def looks(dataset: Dataset, bits: int = MOST_BITS, on_progress: Progress | None = None) -> Looks:
    """The fingerprints of all images; decoded are those whose files the cache does not know.

    Args:
        dataset: whose images they are.
        bits: that the values of images of 16 bits use.
        on_progress: hears how many images were looked at.
    """
    cache = _cache(bits)
    look = partial(_one, dataset.images, cache, bits)
    prints = np.full((len(dataset), EDGES + COLOURS), np.nan, np.float16)
    digests: list[bytes] = []
    new: dict[bytes, int] = {}
    for row, (digest, own) in enumerate(each(look, len(dataset), on_progress)):
        digests.append(digest or f"row {row}".encode())
        if own is not None:
            prints[row] = own
            new.setdefault(digest, row)
        elif digest:
            prints[row] = cache.read([digest])[0]
    if new:
        with suppress(InputError, OSError):  # kept or not, they are the same
            cache.add(list(new), prints[list(new.values())])
            trim(cache_folder())
    places: dict[bytes, int] = {}
    return Looks(prints, np.array([places.setdefault(digest, len(places)) for digest in digests], np.int64))


def grouped(dataset: Dataset, bits: int = MOST_BITS, on_progress: Progress | None = None) -> Dataset:
    """The data set with near duplicates in one group, joined with the groups that it has.

    Who or what an image shows stays what it was.

    Raises:
        InputError: as `check_amount`.
    """
    check_amount(len(dataset))
    near, own = looks(dataset, bits, on_progress).groups, dataset.groups
    sizes = np.bincount(near)
    several = sizes[sizes > 1]
    whole, parts = count(len(dataset), "image"), count(len(several), "group")
    note = f"near duplicates: {several.sum():,} of {whole}, in {parts}"
    return replace(
        dataset,
        groups=near if own is None else united(own, near),
        identities=own if dataset.identities is None else dataset.identities,
        notes=(*dataset.notes, note + ("" if own is None else ", joined with the given groups")),
    )


def _cache(bits: int) -> FeatureCache:
    kind = repr(("fingerprint", VERSION, bits)).encode()
    made = datetime.now(UTC).isoformat(timespec="seconds")
    maker = Maker("fingerprint", (SIDE, SIDE), False, made)
    digest = blake2b(kind, digest_size=16).hexdigest()
    return FeatureCache(cache_folder(), digest, EDGES + COLOURS, maker)


_Found = tuple[bytes, NDArray[np.float16] | None]
"""The digest of an image, empty where it cannot be read, and its fingerprint unless the cache has it."""


def _one(store: ImageStore, cache: FeatureCache, bits: int, row: int) -> _Found:
    # an image that cannot be used is said by name where images are loaded or checked
    with suppress(OSError, InputError):
        data = store.read(row)
        digest = digest_of(data)
        return digest, None if digest in cache else fingerprint(data, store.name(row), bits)
    return b"", None
