"""Which classes are minorities in this batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

COUNT_TOLERANCE = 1e-3
"""ρ·n is compared with whole numbers; this keeps 0.29·100 from ending just below 29."""


class MinorityProfile(NamedTuple):
    """What `profile_minorities` found in a batch.

    Attributes:
        counts: (J, K) int64, labelled images of every class.
        kept: (J, K) bool, minority classes with at least two images: they are rectified.
        skipped: (J, K) bool, minority classes with one image: no positive pair exists.
    """

    counts: Tensor
    kept: Tensor
    skipped: Tensor


def minority_classes(counts: Tensor, rho: float) -> Tensor:
    """The smallest classes that together hold at most a share ρ of the labelled images.

    With the classes in ascending order of their count h (ties by class index),

        minority = { k : Σ_{i ≤ k} h_i ≤ ρ n },     n = Σ h

    Args:
        counts: (B, K) int64, images of each class, for each of B attributes or batches.
        rho: ρ, in (0, 1).

    Returns:
        (B, K) bool; a class without images is always among them.

    Source: Dong, Gong, Zhu: their ICCV 2017 poster, on batch-wise minority profiling; TPAMI 2019, eq. 3 as
    reviewed.

    Example:
        >>> minority_classes(torch.tensor([[5, 2, 1], [2, 2, 0]]), rho=0.5).tolist()
        [[False, True, True], [True, False, True]]
    """
    ascending, order = counts.sort(dim=1, stable=True)
    together = ascending.cumsum(1)  # the last one is n
    in_order = together <= rho * together[:, -1:] + COUNT_TOLERANCE
    return torch.empty_like(in_order).scatter_(1, order, in_order)


def profile_minorities(labels: Tensor, num_classes: int, rho: float = 0.5) -> MinorityProfile:
    """Find the minority classes of every attribute in a batch, see `minority_classes`.

    n is the number of labelled images of the attribute. Classes with fewer than two images are
    left out after the cumulative sum, not before it, so that they use up their part of ρ n.

    Args:
        labels: (N, J) int64, -1 = unlabelled.
        num_classes: K.
        rho: ρ, in (0, 1).

    Source: as for `minority_classes`; that classes with one image are left out is stated in reviews.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])[:, None]
        >>> profile = profile_minorities(labels, num_classes=3)
        >>> profile.kept.tolist(), profile.skipped.tolist()
        ([[False, True, False]], [[False, False, True]])
    """
    counts = labels.new_zeros(labels.shape[1], num_classes + 1)
    one = labels.new_ones(()).expand(labels.shape[1], labels.shape[0])
    counts = counts.scatter_add_(1, labels.t() + 1, one)[:, 1:]  # the first column counts the unlabelled
    minority = minority_classes(counts, rho)
    return MinorityProfile(counts, minority & (counts >= 2), minority & (counts == 1))


def anchor_capacity(batch_size: int, rho: float) -> int:
    """The most anchors an attribute can have, ⌊ρN⌋: it makes every shape of the loss static."""
    return int(rho * batch_size + COUNT_TOLERANCE)
