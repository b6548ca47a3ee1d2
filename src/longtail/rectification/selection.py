"""The hardest few of every row: the smallest or the largest of some candidates."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_INDEX_BITS = 29
"""Lowest bits of a 64-bit key, for the column; above them lie the 32 bits of a float."""

_COLUMN = 2**_INDEX_BITS - 1
"""Takes the column out of a key."""

_SHORT = 256
"""Most numbers of a row that numpy orders at full speed; of longer rows only some are looked at."""

_BLOCK = 2**15
"""Numbers that are sorted at a time: their keys stay in the cache of a core."""


def hardest(values: Tensor, candidates: Tensor, rows: Tensor, k: int, *, largest: bool) -> Tensor:
    """Where the k smallest or largest candidates of every row are, the most extreme first.

    Where a row has fewer candidates, what follows them is arbitrary, and so is a row that is not asked for.
    No gradient passes.

    On a CPU, numpy sorts float32 in vector registers, in a fraction of the time of torch's search, and only
    in the rows that are asked for. Elsewhere `torch.topk` searches.

    Args:
        values: (..., n) float, finite, and not negative but for rounding; n below 2^29.
        candidates: (..., n) bool.
        rows: (...) bool, those that are asked for.
        k: at most n.
        largest: which end.

    Returns:
        (..., k) int64.

    Example:
        >>> values, candidates = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[True, False, True]])
        >>> hardest(values, candidates, torch.tensor([True]), 2, largest=False)
        tensor([[2, 0]])
    """
    values = values.detach()
    if values.dtype == torch.float32 and values.device.type == "cpu":
        return cast(Tensor, _hardest_on_cpu(values, candidates, rows, k, largest))
    worst = -float("inf") if largest else float("inf")
    return values.masked_fill(~candidates, worst).topk(k, largest=largest).indices


# A step of its own, so that `torch.compile` need not look into it.
@torch.library.custom_op("longtail::hardest", mutates_args=(), device_types="cpu")
def _hardest_on_cpu(values: Tensor, candidates: Tensor, rows: Tensor, k: int, largest: bool) -> Tensor:
    found = torch.zeros((*values.shape[:-1], k), dtype=torch.int64)
    if found.numel() == 0:
        return found
    asked = rows.numpy().nonzero()
    found.numpy()[asked] = hardest_few(values.numpy(), candidates.numpy(), asked, k, largest=largest)
    return found


@_hardest_on_cpu.register_fake
def _(values: Tensor, _candidates: Tensor, _rows: Tensor, k: int, _largest: bool) -> Tensor:
    return values.new_empty((*values.shape[:-1], k), dtype=torch.int64)


def hardest_few(
    values: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    rows: tuple[NDArray[np.int64], ...],
    k: int,
    *,
    largest: bool,
) -> NDArray[np.int64]:
    """`hardest` of the R rows at these places of a table (..., n), (R, k)."""
    found = np.empty((len(rows[0]), k), np.int64)
    step = max(1, _BLOCK // values.shape[-1])
    for start in range(0, len(found), step):
        block = tuple(places[start : start + step] for places in rows)
        keys = _keys(values[block], candidates[block], largest)
        found[start : start + step] = _smallest(keys, k) & _COLUMN
    return found


def _smallest(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k smallest of every row, ascending: (R, n) -> (R, k); the keys are put in another order.

    A long row is laid out as a table of `stacked` lines. The k smallest of all lie in the k columns of
    that table whose smallest are smallest, so that only those columns are looked into.
    """
    rows, n = keys.shape
    stacked = -(-n // _SHORT)
    width = n // stacked
    if 2 * stacked * k <= n:
        whole = keys[:, : stacked * width]
        table = whole.reshape(rows, stacked, width)
        best = table.min(axis=1)
        best.partition(k - 1, axis=-1)
        columns = (best[:, None, :k] & _COLUMN) % width
        few = np.take_along_axis(table, columns, axis=2).reshape(rows, -1)
        keys = np.concatenate([few, keys[:, stacked * width :]], axis=1)  # and what was left over
    keys.partition(k - 1, axis=-1)
    first = keys[:, :k]
    first.sort(axis=-1)
    return first


def _keys(values: NDArray[np.float32], candidates: NDArray[np.bool_], largest: bool) -> NDArray[np.int64]:
    """Numbers in the order of the values, candidates before all others; the lowest bits are the column.

    The bits of floats that are not negative are, read as integers, in the order of the floats.
    """
    keys = values.view(np.int32).astype(np.int64)
    if largest:
        np.invert(keys, out=keys)
    keys <<= _INDEX_BITS
    keys += np.arange(values.shape[1])
    keys += np.multiply(candidates, -(2**62), dtype=np.int64)
    return keys
