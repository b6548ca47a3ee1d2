"""How suspect each label of an attribute is, and which are listed without throwing rare classes away.

A regression on imbalanced images doubts rare labels for their rarity alone. With p the held-out
probabilities of an image, y its label and π the shares of the classes among the images behind p,

    margin_τ = max_{k ≠ y} log(p_k / π_k^τ) - log(p_y / π_y^τ)

Labels are ranked by margin_½. A label is listed if it is among those with the largest margin_1, and if its
class has room. With n_c its images and n̄ the mean of all classes, a class has room for

    share · n_c · min(1, √(n_c / n̄))

labels; classes that are too small to have room for one share theirs. docs/decisions.md has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.features.held_out import Floats, HeldOut, Ints
from longtail.schema import UNLABELLED

SHARE = 0.05
"""Largest share of the images, and of a class, that is listed; small classes count together."""

ORDER, ENTRY = 0.5, 1.0
"""τ, how much of the prior is removed: for the order of the list, and for a place on it."""


@dataclass(frozen=True, eq=False)
class Suspicions:
    """How suspect n labels are.

    Attributes:
        values: (n,) σ(margin_½), between 0 and 1; NaN where a label was not judged.
        suggested: (n,) int64, the class that fits best but for the given one; -1 where it was not judged.
        listed: (m,) positions of the suspects, the most suspect first.
    """

    values: Floats
    suggested: Ints
    listed: Ints


def suspicions(judged: HeldOut, labels: Ints, share: float = SHARE) -> Suspicions:
    """How suspect each of (n,) known labels is; at most `share` of the judged images are listed."""
    order, suggested = margins(judged, labels, ORDER)
    entry, _ = margins(judged, labels, ENTRY)
    enters = np.zeros(len(labels), np.bool_)
    enters[_largest(entry, _whole(share * np.isfinite(order).sum()))] = True
    ranked = _largest(np.where(enters, order, np.nan), len(labels))
    listed = ranked[within_room(ranked, order, labels, share)]
    with np.errstate(over="ignore"):
        return Suspicions(1 / (1 + np.exp(-order)), suggested, listed)


def margins(judged: HeldOut, labels: Ints, tau: float) -> tuple[Floats, Ints]:
    """(n,) margin_τ, NaN where a label cannot be judged, and the class that it is the margin of, -1 there.

    A label is not judged if the regression saw no other image of its class, or of no other class.
    """
    each = np.arange(len(labels))
    absent = judged.shares == 0
    scores = np.where(absent, -np.inf, judged.log_p - tau * np.log(np.where(absent, 1, judged.shares)))
    own = scores[each, labels]
    scores[each, labels] = -np.inf
    other = scores.argmax(1)
    unknown = np.isneginf(own) | np.isneginf(scores[each, other])
    with np.errstate(invalid="ignore"):
        margin = np.where(unknown, np.nan, scores[each, other] - own)
    return margin, np.where(unknown, UNLABELLED, other)


def within_room(ranked: Ints, order: Floats, labels: Ints, share: float) -> NDArray[np.bool_]:
    """Which of the ranked positions are listed: the first of each class, as many as it has room for."""
    counts = np.bincount(labels[np.isfinite(order)], minlength=labels.max(initial=0) + 1)
    pool, room = rooms(counts, share)
    kept, left = np.zeros(len(ranked), np.bool_), room.tolist()
    for place, own in enumerate(pool[labels[ranked]].tolist()):
        kept[place] = left[own] > 0
        left[own] -= 1
    return kept


def rooms(counts: Ints, share: float) -> tuple[Ints, Ints]:
    """The pool of each class, and for how many labels each pool has room.

    Classes join, from the smallest on, until their pool has room for one label; the rest that has none joins
    the last pool.

    Example:
        >>> pool, room = rooms(np.array([12, 900, 60, 60]), 0.05)
        >>> pool.tolist(), room.tolist()
        ([0, 2, 0, 1], [1, 1, 45])
    """
    present = counts[counts > 0]
    own = share * counts * np.sqrt(np.minimum(1, counts / (present.mean() if len(present) else 1)))
    pool, sums = np.zeros(len(counts), np.int64), [0.0]
    for c in np.argsort(counts, kind="stable").tolist():
        if _whole(sums[-1]) > 0:
            sums.append(0.0)
        pool[c] = len(sums) - 1
        sums[-1] += own[c]
    if len(sums) > 1 and _whole(sums[-1]) == 0:
        rest = sums.pop()
        pool[pool == len(sums)] -= 1
        sums[-1] += rest
    return pool, np.array([_whole(total) for total in sums], np.int64)


def _whole(number: float) -> int:
    """⌊number⌋, where a sum that should be whole may be a little less."""
    return int(number + 1e-9)


def _largest(values: Floats, most: int) -> Ints:
    """Positions of the largest positive values, the largest first; NaN is none."""
    positive = np.flatnonzero(values > 0)
    return positive[np.argsort(-values[positive], kind="stable")[:most]]
