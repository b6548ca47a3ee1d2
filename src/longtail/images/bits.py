"""How many bits the values of images use: sensors of 10 to 14 bits save theirs with 16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import ImageStore
from longtail.errors import InputError
from longtail.images.decode import Pixels, open_image, refusing_damage

_JPEG = b"\xff\xd8\xff"

_USUAL_BITS = (8, 10, 12, 14)
"""Of sensors, whose values are saved with 16."""

_SAMPLED = 16
"""Images that are looked at."""


def bits_used(data: bytes | Pixels, name: str) -> int:
    """How many bits the largest value of an image of 16 bits has; 0 of any other image.

    Raises:
        InputError: as `decode`.
    """
    if not isinstance(data, bytes) or data.startswith(_JPEG):
        return 0
    image = open_image(data, name)
    if not image.mode.startswith("I"):
        return 0
    with refusing_damage(name):
        return int(np.asarray(image).max()).bit_length()


def usual_bits(used: int) -> int | None:
    """The bits of a sensor whose values use so many; None where they may well be of 16 bits, or are not."""
    return next((bits for bits in _USUAL_BITS if 0 < used <= bits), None)


def sampled_bits(store: ImageStore, rows: NDArray[np.int64]) -> int:
    """The most that `bits_used` says of some images spread evenly over rows; 0 where one is of 8 bits."""
    most = 0
    for row in rows[np.linspace(0, len(rows) - 1, min(_SAMPLED, len(rows))).astype(int)].tolist():
        try:
            used = bits_used(store.read(row), store.name(row))
        except (InputError, OSError):
            continue
        if not used:
            return 0
        most = max(most, used)
    return most
