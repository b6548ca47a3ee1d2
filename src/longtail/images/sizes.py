"""The size to train on, by a sample of the images."""

from __future__ import annotations

from statistics import median

import numpy as np

from longtail.data.dataset import ImageStore
from longtail.errors import InputError
from longtail.images.decode import Size, image_size


def suggest_size(store: ImageStore, limit: int = 128, sample: int = 64) -> Size:
    """H, W to train on, from a sample of images spread evenly over the store.

    If all have one size and no side is above `limit`, that size. Otherwise a square: its side is the
    median short side, at most `limit`, rounded to a multiple of 8. Unreadable images are ignored.

    Raises:
        InputError: when none of the sampled images can be read.
    """
    sizes = _sampled_sizes(store, sample)
    if len(set(sizes)) == 1 and max(sizes[0]) <= limit:
        return sizes[0]
    side = min(round(median(min(size) for size in sizes) / 8), limit // 8) * 8
    return max(side, 8), max(side, 8)


def _sampled_sizes(store: ImageStore, sample: int) -> list[Size]:
    rows = np.linspace(0, len(store) - 1, min(sample, len(store))).astype(int).tolist()
    sizes: list[Size] = []
    failure: Exception = InputError("expected images, found none")
    for row in rows:
        try:
            sizes.append(image_size(store.read(row), store.name(row)))
        except (InputError, OSError) as error:
            failure = error
    if not sizes:
        raise InputError(f"none of {len(rows)} sampled images can be read; the last one: {failure}")
    return sizes
