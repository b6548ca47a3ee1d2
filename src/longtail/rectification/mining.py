"""Hard positives and hard negatives for every image of a minority class.

Anchors are all images of the kept minority classes; majority classes only supply negatives.
Mining selects, and no gradient passes through the selection; the distances of what was
selected carry the gradient.

Source: Dong, Gong, Zhu, ICCV 2017, section 3.2; TPAMI 2019, eq. 4-7 (selection), 10-11 (distances).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from longtail.rectification.profiling import MinorityProfile


class Anchors(NamedTuple):
    """The images of kept minority classes, in a table of static size.

    Attributes:
        row: (J, A) int64, row of the batch.
        label: (J, A) int64, its class.
        mask: (J, A) bool, False in the rows that hold no anchor.
    """

    row: Tensor
    label: Tensor
    mask: Tensor


class HardPairs(NamedTuple):
    """Distances of the mined pairs of every anchor: A anchors, P positives, Q negatives at most.

    Attributes:
        positive: (J, A, P) float, d(a, +).
        negative: (J, A, Q) float, d(a, -), ascending along the last dimension.
        positive_mask: (J, A, P) bool, the pairs that exist.
        negative_mask: (J, A, Q) bool, the pairs that exist, in front of those that do not.
    """

    positive: Tensor
    negative: Tensor
    positive_mask: Tensor
    negative_mask: Tensor


def minority_anchors(labels: Tensor, profile: MinorityProfile, capacity: int) -> Anchors:
    """List the images of kept minority classes, `capacity` rows an attribute.

    Args:
        labels: (J, N) int64, -1 = unlabelled.
        profile: of the same batch.
        capacity: A, see `anchor_capacity`.
    """
    is_anchor = profile.kept.gather(1, labels.clamp(min=0)) & (labels >= 0)
    index = is_anchor.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :capacity]
    return Anchors(index, labels.gather(1, index), is_anchor.gather(1, index))


def mine_class_level(
    probabilities: Tensor, labels: Tensor, profile: MinorityProfile, anchors: Anchors, kappa: int
) -> HardPairs:
    """Mine once for each minority class c, on the predicted probability p(c).

    Positives are the κ images of class c with the lowest p(c), negatives the κ images of other
    classes with the highest p(c), and

        d(a, +) = |p_a - p_+|,     d(a, -) = p_a - p_-.

    The negative distance keeps its sign: with an absolute value, a negative scored far above the
    anchor would count as far away and cost nothing. An anchor among the positives of its class is
    left out of its own pairs.

    Args:
        probabilities: (N, J, K) float.
        labels: (J, N) int64, -1 = unlabelled.
        profile: minority classes of the batch.
        anchors: of the batch.
        kappa: κ; with fewer candidates, all are used.
    """
    slots = max(1, min(profile.kept.shape[1], anchors.row.shape[1] // 2))  # a kept class has ≥ 2 anchors
    slot_class = profile.kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :slots]
    slot_of_class = (profile.kept.cumsum(1) - 1).clamp(min=0)

    p = probabilities.permute(1, 2, 0)  # (J, K, N)
    p = p.gather(1, slot_class[:, :, None].expand(-1, -1, p.shape[2]))  # (J, M, N): p(c) of kept classes only
    same = labels[:, None, :] == slot_class[:, :, None]
    other = ~same & (labels >= 0)[:, None, :]

    k = min(kappa, p.shape[2])
    infinity = float("inf")
    hardest_positive = p.detach().masked_fill(~same, infinity).topk(k, largest=False).indices  # (J, M, κ)
    hardest_negative = p.detach().masked_fill(~other, -infinity).topk(k).indices

    slot = slot_of_class.gather(1, anchors.label.clamp(min=0))[:, :, None]  # (J, A, 1)
    rows = slot.expand(-1, -1, k)

    def for_anchors(table: Tensor) -> Tensor:
        return table.gather(1, rows)

    positive_index = for_anchors(hardest_positive)
    positive_exists = for_anchors(same.gather(2, hardest_positive))
    negative_exists = for_anchors(other.gather(2, hardest_negative))
    anchor_p = p.flatten(1).gather(1, slot[:, :, 0] * p.shape[2] + anchors.row)[:, :, None]
    is_anchor = anchors.mask[:, :, None]
    return HardPairs(
        positive=(anchor_p - for_anchors(p.gather(2, hardest_positive))).abs(),
        negative=anchor_p - for_anchors(p.gather(2, hardest_negative)),
        positive_mask=positive_exists & (positive_index != anchors.row[:, :, None]) & is_anchor,
        negative_mask=negative_exists & is_anchor,
    )


def mine_instance_level(features: Tensor, labels: Tensor, anchors: Anchors, kappa: int) -> HardPairs:
    """Mine for each anchor, on Euclidean distances in the feature space of its attribute.

    Positives are the κ images of its class farthest from it, negatives the κ images of other
    classes nearest to it, and d(a, ·) = ‖f_a - f_·‖₂, plain, not squared.

    Args:
        features: (N, J, D) or (N, 1, D) float; one shared vector serves all attributes.
        labels: (J, N) int64, -1 = unlabelled.
        anchors: of the batch.
        kappa: κ; with fewer candidates, all are used.
    """
    squared = _squared_distances(features.transpose(0, 1), anchors.row)  # (J, A, N)
    same = labels[:, None, :] == anchors.label[:, :, None]
    same_but_itself = same.scatter(2, anchors.row[:, :, None], False)
    other = ~same & (labels >= 0)[:, None, :]

    k = min(kappa, labels.shape[1])
    infinity = float("inf")
    hardest_positive = squared.detach().masked_fill(~same_but_itself, -infinity).topk(k).indices
    hardest_negative = squared.detach().masked_fill(~other, infinity).topk(k, largest=False).indices
    is_anchor = anchors.mask[:, :, None]
    return HardPairs(
        positive=_safe_sqrt(squared.gather(2, hardest_positive)),
        negative=_safe_sqrt(squared.gather(2, hardest_negative)),
        positive_mask=same_but_itself.gather(2, hardest_positive) & is_anchor,
        negative_mask=other.gather(2, hardest_negative) & is_anchor,
    )


def _squared_distances(features: Tensor, anchor_index: Tensor) -> Tensor:
    """‖f_a - f_i‖² of every anchor to the whole batch: (1 or J, N, D), (J, A) -> (J, A, N)."""
    # Distances do not change when all features move together; moving them to the origin keeps
    # the differences below from cancelling.
    features = features - features.detach().mean(dim=1, keepdim=True)
    if features.shape[0] == 1 and anchor_index.shape[0] > 1:
        rows = features[0][anchor_index]
    else:
        rows = features.gather(1, anchor_index[:, :, None].expand(-1, -1, features.shape[2]))
    squared_norm = features.square().sum(2)  # (1 or J, N)
    row_norm = rows.square().sum(2)  # (J, A)
    return row_norm[:, :, None] + squared_norm[:, None, :] - 2 * rows @ features.transpose(1, 2)


def _safe_sqrt(squared: Tensor) -> Tensor:
    """√x with value and gradient 0 where rounding left nothing to take a root of."""
    positive = squared > 1e-12
    return torch.where(positive, squared, 1.0).sqrt() * positive
