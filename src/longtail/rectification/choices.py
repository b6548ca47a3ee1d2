"""Which images the mining chose: the method's own view of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.rectification.comparison import HardPairs


def times_chosen(pairs: HardPairs, images: int) -> Tensor:
    """In how many pairs each image of the batch is the hard positive, and in how many the hard negative.

    Args:
        pairs: mined with their rows.
        images: N, of the batch.

    Returns:
        (2, N) int64; row 0 sums to the number of positive pairs, row 1 to that of negative pairs.
    """
    sides = (pairs.positive_row, pairs.positive_mask), (pairs.negative_row, pairs.negative_mask)
    return torch.stack([_times(row, mask, images) for row, mask in sides])


def _times(row: Tensor | None, mask: Tensor, images: int) -> Tensor:
    if row is None:
        raise ValueError("rows: expected pairs that were mined with their rows")
    return row.new_zeros(images).index_add_(0, row.flatten(), mask.flatten().to(row.dtype))
