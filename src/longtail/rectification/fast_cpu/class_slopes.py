"""The relative comparison at class level as a linear function of the probabilities, on a CPU.

Positives and negatives are mined once a class there, so that the hinges of all its anchors depend on a few
numbers a class, and no table of anchors and their pairs is needed. With the n images of a class, p₁ ≤ … ≤ p_κ
the lowest of their probabilities (the positives) and p_q the highest of others (the negatives), an anchor
costs max(0, m + |p_a - p_k| - p_a + p_q):

- above p_k that is max(0, m - p_k + p_q), whichever anchor it is, and n - k anchors are;
- below p_k it can only be another positive p_i, i < k, and costs max(0, m + p_k - 2 p_i + p_q).

The first is the second at i = k, so that all triplets of a class cost

    Σ_{i ≤ k} w_ik Σ_q max(0, m + p_k - 2 p_i + p_q),     w_ik = 1 for i < k,  w_kk = n - k

Which hinges are positive is a matter of counting; with the counts held, the sum is linear in the
probabilities. The general way, over pairs of anchors, is `mine_class_level` and `hinges`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.rectification.comparison import Compared
from longtail.rectification.fast_cpu.selection import LAST, as_whole_numbers, smallest
from longtail.rectification.profiling import MinorityProfile

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

_APART = 5.0
"""Between the numbers of one class and the next, so that one search serves all classes."""

_BEYOND = 3.0
"""Where a class has no negative: no triplet reaches so far."""

_ALL = 1.5
"""Under a margin of more than 1 every triplet costs something: for counting, no other is needed."""


def relative_at_class_level(
    probabilities: Tensor, labels: Tensor, profile: MinorityProfile, margin: Tensor, kappa: int
) -> tuple[Compared, Tensor]:
    """Mine at class level and compare by triplet ranking: `mine_class_level` and `hinges` in one.

        l = Σ_{i,j,c} s_ijc p_ijc + b,     b = 1/|T| Σ_j m_j active_j

    The slopes |T| s are whole numbers: how many positive hinges count p, and with which sign.

    Args:
        probabilities: p, (N, J, K) float32 on the CPU, in any order of memory.
        labels: (N, J) int64, -1 = unlabelled.
        profile: of the batch.
        margin: m_j, (J,).
        kappa: κ.

    Returns:
        The comparison, and what `times_chosen` counts, (2, N) int64.

    Example:
        >>> from longtail.rectification import profile_minorities
        >>> labels = torch.tensor([0, 0, 0, 1, 1])[:, None]
        >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])[:, None]
        >>> batch = p, labels, profile_minorities(labels, 2)
        >>> found, chosen = relative_at_class_level(*batch, torch.tensor([0.5]), 1)
        >>> round(found.loss.item(), 4), found.triplets.item()  # max(0, 0.5 + 0.2 - 0.4)
        (0.3, 1)
        >>> chosen.tolist()
        [[0, 0, 0, 0, 1], [0, 2, 0, 0, 0]]
    """
    slopes, offset, figures, chosen = _class_slopes(
        probabilities.detach(), labels, profile.kept, profile.counts, margin, kappa
    )
    return Compared((slopes * probabilities).sum() + offset, *figures.unbind()), chosen


@torch.library.custom_op("longtail::class_slopes", mutates_args=(), device_types="cpu")
def _class_slopes(
    probabilities: Tensor, labels: Tensor, kept: Tensor, counts: Tensor, margin: Tensor, kappa: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    slopes, offset, figures, chosen = _empty(probabilities, labels)
    classes = _Classes(kept.numpy(), counts.numpy(), kappa)
    zeros = _Zeros(*(part.zero_().numpy() for part in (slopes, offset, figures, chosen)))
    if len(classes.attribute):
        _fill(zeros, probabilities.numpy(), labels.numpy(), margin.numpy(), classes)
    return slopes, offset, figures, chosen


@_class_slopes.register_fake
def _(
    probabilities: Tensor, labels: Tensor, _kept: Tensor, _counts: Tensor, _margin: Tensor, _kappa: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _empty(probabilities, labels)


def _empty(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(probabilities),
        probabilities.new_empty(()),
        labels.new_empty((5, labels.shape[1])),
        labels.new_empty((2, labels.shape[0])),
    )


class _Zeros(NamedTuple):
    """What `_class_slopes` returns, to be filled."""

    slopes: Floats
    offset: Floats
    figures: Whole
    chosen: Whole


class _Classes:
    """The kept classes of all attributes, R rows: how many images, positives and negatives each has."""

    def __init__(self, kept: NDArray[np.bool_], counts: Whole, kappa: int) -> None:
        self.attribute, self.index = kept.nonzero()
        self.row = np.full((kept.shape[0], kept.shape[1] + 1), -1)
        self.row[self.attribute, self.index] = np.arange(len(self.attribute))
        self.images = counts[self.attribute, self.index]
        others = counts.sum(1)[self.attribute] - self.images
        self.positives = np.minimum(self.images, kappa)
        self.negatives = np.minimum(others, kappa)


class _Positives(NamedTuple):
    """The positives of all kept classes, class after class, lowest probability first."""

    row: Whole  # of its class
    image: Whole  # row of the batch
    p: Floats
    rank: Whole  # among the positives of its class, from 0


def _fill(zeros: _Zeros, p: Floats, labels: Whole, margin: Floats, classes: _Classes) -> None:
    """Write what `_class_slopes` returns into tables of zeros."""
    slopes, offset, figures, chosen = zeros
    attribute, index = classes.attribute, classes.index
    table = p.transpose(1, 2, 0)[attribute, index]  # (R, N), of every kept class the probabilities of all
    anchors = _anchors(labels, classes)
    positive = _lowest(table, *anchors, classes)
    negative = _highest(table, anchors, (labels.T < 0)[attribute], int(classes.negatives.max()))

    lower, upper, last = _pairs(positive.rank)
    row = positive.row[upper]
    reach = np.minimum(margin, _ALL)[attribute[positive.row]] + positive.p + _APART * positive.row
    negatives = _apart(table, negative, classes.negatives)
    place = _search(negatives, reach[upper] - 2 * positive.p[lower], row)
    beaten = place - row * negatives.shape[1]
    weight = np.ones(len(row), np.int64)
    weight[last] = classes.images[positive.row] - 1 - positive.rank

    hinges, size = weight * beaten, len(positive.row)
    pull = np.bincount(upper, hinges, size) - 2 * np.bincount(lower, hinges, size)
    push = _push(place, weight, negatives.shape)
    _count(figures, classes, push.sum(1))
    _count_chosen(chosen, classes, positive, negative)
    triplets = max(1, figures[3].sum())
    # What stands behind the negatives of a class may be a positive: positives are written last.
    slopes[negative.T, attribute, index] = push.T / triplets
    slopes[positive.image, attribute[positive.row], index[positive.row]] = pull / triplets
    offset[()] = margin @ figures[4] / triplets


def _anchors(labels: Whole, classes: _Classes) -> tuple[Whole, Whole]:
    """Row and image of everything in a kept class."""
    own = labels.T
    row = classes.row[np.arange(len(own))[:, None], own].ravel()  # an unlabelled -1 points at no class
    anchors = np.flatnonzero(row >= 0)
    return row[anchors], anchors % len(labels)


def _lowest(table: Floats, row: Whole, image: Whole, classes: _Classes) -> _Positives:
    """Of the anchors of every class the κ with the lowest probability."""
    p = table[row, image]
    order = ((row << 32) | p.view(np.uint32)).argsort()  # the bits of a probability are in its order
    row, image, p = row[order], image[order], p[order]
    rank = np.arange(len(row)) - np.repeat(np.cumsum(classes.images) - classes.images, classes.images)
    first = rank < classes.positives[row]
    return _Positives(row[first], image[first], p[first], rank[first])


def _highest(table: Floats, anchors: tuple[Whole, Whole], unlabelled: NDArray[np.bool_], most: int) -> Whole:
    """Of the images of other classes those with the highest probability, (R, most)."""
    order = as_whole_numbers(table.copy(), largest=True)
    order[anchors] = LAST
    order[unlabelled] = LAST
    return smallest(order, most)


def _pairs(rank: Whole) -> tuple[Whole, Whole, Whole]:
    """Places (i, k), i ≤ k, of all pairs of positives of one class, and which of the pairs are i = k."""
    partners = rank + 1
    last = np.cumsum(partners) - 1
    upper = np.repeat(np.arange(len(rank)), partners)
    lower = np.arange(len(upper)) - (last - np.arange(len(rank)))[upper]
    return lower, upper, last


def _apart(table: Floats, negative: Whole, negatives: Whole) -> NDArray[np.float64]:
    """-p_q of the negatives of each class, ascending, and a last place beyond: (R, Q + 1), row after row."""
    rows, most = negative.shape
    found = table[np.arange(rows)[:, None], negative]
    ascending = np.full((rows, most + 1), _BEYOND)
    ascending[:, :most] -= (found + _BEYOND) * (np.arange(most) < negatives[:, None])
    ascending += _APART * np.arange(rows)[:, None]
    return ascending


def _search(negatives: NDArray[np.float64], reach: NDArray[np.float64], row: Whole) -> Whole:
    """The place r = #{q : m + p_k - 2 p_i > -p_q} of every pair, counted from the first row."""
    places = negatives.shape[1]
    found = torch.searchsorted(torch.from_numpy(negatives.ravel()), torch.from_numpy(reach)).numpy()
    return np.minimum(found, row * places + (places - 1))  # NaN is found behind everything


def _push(place: Whole, weight: Whole, shape: tuple[int, int]) -> NDArray[np.float64]:
    """c_q = Σ { w_ik : r_ik > q } of each negative, (R, Q)."""
    at = np.bincount(place, weight, shape[0] * shape[1]).reshape(shape)
    return at[:, :0:-1].cumsum(1)[:, ::-1]


def _count(figures: Whole, classes: _Classes, active: NDArray[np.float64]) -> None:
    """Anchors, positive pairs, negative pairs, triplets and positive hinges of every attribute."""
    images, positives, negatives = classes.images, classes.positives, classes.negatives
    # An anchor is not its own positive: where one positive is mined, that image has none.
    anchors = np.where(positives > 1, images, images - 1) * (negatives > 0)
    pairs = (images - 1) * positives
    found = np.stack([anchors, pairs, images * negatives, pairs * negatives, active])
    place = classes.attribute + np.arange(5)[:, None] * figures.shape[1]
    figures[:] = np.bincount(place.ravel(), found.ravel(), figures.size).reshape(figures.shape)


def _count_chosen(chosen: Whole, classes: _Classes, positive: _Positives, negative: Whole) -> None:
    """Pairs of each image: a positive has all anchors of its class but itself, a negative all of them."""
    images = chosen.shape[1]
    mined = np.arange(negative.shape[1]) < classes.negatives[:, None]
    anchors = np.broadcast_to(classes.images[:, None], negative.shape)
    chosen[0] = np.bincount(positive.image, classes.images[positive.row] - 1, images)
    chosen[1] = np.bincount(negative[mined], anchors[mined], images)
