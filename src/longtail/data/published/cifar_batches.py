"""What a file of CIFAR holds: images and their classes, or the names of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.data.published.inert_pickle import as_bytes_array, as_text, read_pickle
from longtail.errors import InputError

SIDE = 32
"""Height and width."""

PIXELS = 3 * SIDE * SIDE
"""Values of an image: all red, then all green, then all blue."""

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""n images as (n, 3072), and their (n,) classes."""


def from_pickle(data: bytes, where: str, key: str) -> Batch:
    """The images and classes of the python version; the classes lie under `key`.

    Raises:
        InputError: when the pickle is damaged or holds something else.
    """
    batch = read_pickle(data, where)
    pixels = as_bytes_array(batch.get("data"), f"{where}, data")
    labels: Any = batch.get(key)
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise InputError(
            f"{where}: expected a list of numbers from 0 to 255 under {key!r}; download it again"
        )
    if pixels.shape != (len(labels), PIXELS):
        raise InputError(
            f"{where}, data: expected {len(labels)} × {PIXELS} values beside the labels, got"
            f" {' × '.join(map(str, pixels.shape))}; download it again"
        )
    return pixels, np.array(labels, np.int64)


def names_from_pickle(data: bytes, where: str, key: str) -> list[str]:
    """The class names of the python version.

    Raises:
        InputError: when the pickle is damaged or holds something else.
    """
    names: Any = read_pickle(data, where).get(key)
    if not isinstance(names, list):
        raise InputError(f"{where}: expected a list of names under {key!r}; download it again")
    return list(map(as_text, names))


def from_records(data: bytes, where: str, label_bytes: int) -> Batch:
    """The images and classes of the binary version.

    A record is `label_bytes` bytes, of which the last is the class, and 3072 values.

    Raises:
        InputError: when the file does not end with a whole record.
    """
    width = label_bytes + PIXELS
    if not data or len(data) % width:
        raise InputError(
            f"{where}: expected records of {width} bytes, got {len(data)} bytes; download it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, width)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


def names_from_text(data: bytes, _where: str) -> list[str]:
    """The class names of the binary version, one per line."""
    return as_text(data).split()


def as_images(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 32, 32, 3), contiguous."""
    return np.ascontiguousarray(pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
