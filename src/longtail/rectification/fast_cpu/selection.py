"""The smallest few of every row, by sorting keys in vector registers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_INDEX_BITS = 29
"""Lowest bits of a 64-bit key, for the column; above them lie the 32 bits of a float."""

_COLUMN = 2**_INDEX_BITS - 1
"""Takes the column out of a key."""

LAST = np.int32(2**31 - 1)
"""As a whole number that stands for a float: behind all of them."""

_SHORT = 256
"""Most numbers of a row that numpy orders at full speed; of longer rows only some are looked at."""

_BLOCK = 2**16
"""Numbers that are sorted at a time: their keys stay in the cache of a core."""


@torch.library.custom_op("longtail::hardest", mutates_args=(), device_types="cpu")
def hardest(values: Tensor, candidates: Tensor, rows: Tensor, k: int, largest: bool) -> Tensor:
    """`longtail.rectification.mining.hardest` by sorting, only in the rows that are asked for."""
    found = torch.zeros((*values.shape[:-1], k), dtype=torch.int64)
    if found.numel() == 0:
        return found
    asked = rows.numpy().nonzero()
    step = max(1, _BLOCK // values.shape[-1])
    for start in range(0, len(asked[0]), step):
        block = tuple(places[start : start + step] for places in asked)
        order = as_whole_numbers(values.numpy()[block], largest=largest)
        least = np.add(candidates.numpy()[block], LAST, dtype=np.int32)  # for a candidate it runs over
        found.numpy()[block] = smallest(np.maximum(order, least, out=order), k)
    return found


@hardest.register_fake
def _(values: Tensor, _candidates: Tensor, _rows: Tensor, k: int, _largest: bool) -> Tensor:
    return values.new_empty((*values.shape[:-1], k), dtype=torch.int64)


def as_whole_numbers(values: NDArray[np.float32], *, largest: bool) -> NDArray[np.int32]:
    """Whole numbers in the order of the values, or in the opposite one; the values are overwritten.

    The bits of floats that are not negative are, read as whole numbers, in the order of the floats.
    """
    bits = values.view(np.int32)
    return np.invert(bits, out=bits) if largest else bits


def smallest(numbers: NDArray[np.int32], k: int) -> NDArray[np.int64]:
    """Where the k smallest of every row are, the smallest first: (R, n) -> (R, k).

    A long row is laid out as a table of `stacked` lines. The k smallest of all lie in the k columns of
    that table whose smallest are smallest, so that only those columns are looked into.
    """
    rows, n = numbers.shape
    stacked = -(-n // _SHORT)
    width = n // stacked
    columns = np.arange(n)
    if 2 * stacked * k <= n:
        whole = stacked * width
        best = numbers[:, :whole].reshape(rows, stacked, width).min(axis=1)
        best = _smallest_keys(best, columns[:width], k) & _COLUMN
        few = (best[:, None, :] + columns[:whole:width, None]).reshape(rows, stacked * k)
        left = np.broadcast_to(columns[whole:], (rows, n - whole))
        columns = np.concatenate([few, left], axis=1)
        numbers = numbers.take(columns + np.arange(0, rows * n, n)[:, None])
    keys = _smallest_keys(numbers, columns, k)
    keys.sort(axis=-1)
    return keys & _COLUMN


def _smallest_keys(numbers: NDArray[np.int32], columns: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k smallest of every row, in any order: the number above, its column below."""
    keys = numbers.astype(np.int64)
    keys <<= _INDEX_BITS
    keys += columns
    keys.partition(k - 1, axis=-1)
    return keys[:, :k]
