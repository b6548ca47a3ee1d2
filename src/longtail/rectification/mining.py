"""Hard positives and hard negatives for every image of a minority class.

Anchors are all images of the kept minority classes; majority classes only supply negatives.
Mining selects, and no gradient passes through the selection; the distances of what was
selected carry the gradient.

Source: Dong, Gong, Zhu: their ICCV 2017 poster, on hard mining; TPAMI 2019, eq. 4-7 (selection) and 10-11
(distances), as reviewed.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor

from longtail.rectification import fast_cpu
from longtail.rectification.comparison import HardPairs
from longtail.rectification.profiling import MinorityProfile
from longtail.rectification.share import ALONE, Share


class Anchors(NamedTuple):
    """The images of kept minority classes, in a table of static size.

    Attributes:
        order: (J, N) int64, rows of the batch, those of anchors first.
        place: which of the first A of them are mined here: all, or the share of a process.
        row: (J, A) int64, those rows of the batch; with a share fewer than A, and so below.
        label: (J, A) int64, its class.
        mask: (J, A) bool, False in the rows that hold no anchor.
    """

    order: Tensor
    place: slice
    row: Tensor
    label: Tensor
    mask: Tensor

    def sides(self, profile: MinorityProfile) -> tuple[Tensor, Tensor]:
        """Images of an anchor's class, itself included, and of others; (J, A) int64, 0 for no anchor."""
        of_class = profile.counts.gather(1, self.label.clamp(min=0))
        labelled = profile.counts.sum(1, keepdim=True)
        return of_class * self.mask, (labelled - of_class) * self.mask


def minority_anchors(
    labels: Tensor, profile: MinorityProfile, capacity: int, share: Share = ALONE
) -> Anchors:
    """List the images of kept minority classes, `capacity` rows an attribute.

    Args:
        labels: (J, N) int64, -1 = unlabelled.
        profile: of the same batch.
        capacity: A, see `anchor_capacity`.
        share: which of them are mined here.
    """
    is_anchor = profile.kept.gather(1, labels.clamp(min=0)) & (labels >= 0)
    order = is_anchor.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    place = slice(share.rank, capacity, share.processes)
    row = order[:, place]
    return Anchors(order, place, row, labels.gather(1, row), is_anchor.gather(1, row))


def mine_class_level(
    probabilities: Tensor,
    labels: Tensor,
    profile: MinorityProfile,
    anchors: Anchors,
    kappa: int,
    rows: bool = False,
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
        rows: whether to say which images were mined.
    """
    # a kept class has at least two anchors, and the largest class is never a minority
    slots = max(1, min(profile.kept.shape[1] - 1, anchors.row.shape[1] // 2))
    slot_class = profile.kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :slots]

    p = probabilities.permute(1, 2, 0)  # (J, K, N)
    p = p.gather(1, slot_class[:, :, None].expand(-1, -1, p.shape[2]))  # (J, M, N): p(c) of kept classes only
    same = labels[:, None, :] == slot_class[:, :, None]
    other = ~same & (labels >= 0)[:, None, :]

    k = min(kappa, p.shape[2])
    used = torch.arange(slots, device=p.device) < profile.kept.sum(1, keepdim=True)
    hardest_positive = hardest(p, same, used, k, largest=False)  # (J, M, κ)
    hardest_negative = hardest(p, other, used, k, largest=True)

    slot = (profile.kept.cumsum(1) - 1).clamp(min=0).gather(1, anchors.label.clamp(min=0))  # (J, A)
    whole_rows = (slot + torch.arange(len(slot), device=slot.device)[:, None] * slots).flatten()

    def for_anchors(table: Tensor) -> Tensor:
        return table.flatten(0, 1)[whole_rows].unflatten(0, slot.shape)

    anchor_p = p.flatten(1).gather(1, slot * p.shape[2] + anchors.row)[:, :, None]
    of_class, others = anchors.sides(profile)
    positive_row = for_anchors(hardest_positive)
    itself = positive_row == anchors.row[:, :, None]
    return HardPairs(
        positive=(anchor_p - for_anchors(p.gather(2, hardest_positive))).abs(),
        negative=anchor_p - for_anchors(p.gather(2, hardest_negative)),
        positive_mask=_first(of_class, k) & ~itself,
        negative_mask=_first(others, k),
        positive_row=positive_row if rows else None,
        negative_row=for_anchors(hardest_negative) if rows else None,
    )


def mine_instance_level(
    features: Tensor,
    labels: Tensor,
    profile: MinorityProfile,
    anchors: Anchors,
    kappa: int,
    rows: bool = False,
) -> HardPairs:
    """Mine for each anchor, on Euclidean distances in the feature space of its attribute.

    Positives are the κ images of its class farthest from it, negatives the κ images of other
    classes nearest to it, and d(a, ·) = ‖f_a - f_·‖₂, plain, not squared.

    Args:
        features: (N, J, D) or (N, 1, D) float; one shared vector serves all attributes.
        labels: (J, N) int64, -1 = unlabelled.
        profile: minority classes of the batch.
        anchors: of the batch.
        kappa: κ; with fewer candidates, all are used.
        rows: whether to say which images were mined.
    """
    # With the anchors in front, they are views: of the images, of their classes and of the positives.
    points = _in_order(features.transpose(0, 1), anchors.order)  # (J, N, D)
    squared = _squared_distances(points, anchors.place)  # (J, A, N)
    chosen = _hardest_of_each(squared, labels.gather(1, anchors.order), anchors, kappa)
    # one gather for both: its gradient fills a table as large as all distances
    distances = _root(squared.gather(2, torch.cat(chosen, 2)))
    positive, negative = distances.split([found.shape[2] for found in chosen], 2)
    of_class, others = anchors.sides(profile)
    positive_row, negative_row = (_rows(found, anchors.order) if rows else None for found in chosen)
    return HardPairs(
        positive=positive,
        negative=negative,
        positive_mask=_first(of_class - 1, positive.shape[2]),
        negative_mask=_first(others, negative.shape[2]),
        positive_row=positive_row,
        negative_row=negative_row,
    )


def hardest(values: Tensor, candidates: Tensor, rows: Tensor, k: int, *, largest: bool) -> Tensor:
    """Where the k smallest or largest candidates of every row are, the most extreme first.

    Where a row has fewer candidates, what follows them is arbitrary, and so is a row that is not asked for.
    No gradient passes.

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
    if fast_cpu.serves(values):
        return cast(Tensor, fast_cpu.hardest(values, candidates, rows, k, largest))
    worst = -float("inf") if largest else float("inf")
    return values.masked_fill(~candidates, worst).topk(k, largest=largest).indices


def _hardest_of_each(squared: Tensor, labels: Tensor, anchors: Anchors, kappa: int) -> tuple[Tensor, Tensor]:
    """Columns (J, A, ·) of the farthest of an anchor's class and of the nearest of others.

    The columns of the squared distances (J, A, N) and of the labels (J, N) have all anchors in front.
    """
    capacity, images = anchors.place.stop, squared.shape[2]
    column = torch.arange(capacity, device=labels.device)
    same = labels[:, anchors.place, None] == labels[:, None, :]
    mates = same[:, :, :capacity] & (column[anchors.place, None] != column)  # not itself
    farthest = hardest(squared[:, :, :capacity], mates, anchors.mask, min(kappa, capacity), largest=True)
    other = same.logical_not_() & (labels >= 0)[:, None, :]
    return farthest, hardest(squared, other, anchors.mask, min(kappa, images), largest=False)


def _rows(columns: Tensor, order: Tensor) -> Tensor:
    """Rows of the batch for columns (J, A, k) of images in an order (J, N)."""
    return order.gather(1, columns.flatten(1)).view_as(columns)


def _first(number: Tensor, of: int) -> Tensor:
    """The first few columns of each row: (J, A) int64 -> (J, A, of) bool."""
    return torch.arange(of, device=number.device) < number[:, :, None]


def _in_order(points: Tensor, order: Tensor) -> Tensor:
    """Points (1 or J, N, D) of every attribute in its own order (J, N), in memory of their own."""
    if points.shape[0] == 1:
        return points[0][order]
    return points.gather(1, order[:, :, None].expand(-1, -1, points.shape[2]))


def _squared_distances(points: Tensor, anchors: slice) -> Tensor:
    """‖f_a - f_i‖² of some of the points to all of them: (J, N, D) -> (J, A, N); moves the points."""
    # Distances do not change when all points move together; moving them to the origin keeps the
    # differences below from cancelling. In place, as the sums: both are large.
    points.sub_(points.detach().mean(dim=1, keepdim=True))
    norms = points.square().sum(2)  # (J, N)
    sums = norms[:, anchors, None] + norms[:, None, :]
    return sums.baddbmm_(points[:, anchors], points.transpose(1, 2), alpha=-2)


def _root(squared: Tensor) -> Tensor:
    """√x with value and gradient 0 where rounding left nothing to take a root of; NaN stays and shows."""
    nothing = squared <= 1e-12
    return torch.where(nothing, 1.0, squared).sqrt() * ~nothing
