"""How suspect each label of an attribute is, and which are listed without throwing rare classes away.

A regression on imbalanced images doubts rare labels for their rarity alone. With p the held-out
probabilities of an image, y its label and π the shares of the classes among the images behind p,

    margin_τ = max_{k ≠ y} log(p_k / π_k^τ) - log(p_y / π_y^τ)

Labels are ranked by margin_½. At most a share of them is listed, those with the largest margin_1, and each
class bounds how many right labels may be among its own. σ(-margin_1) is the chance that a label is right if
all classes were equally frequent. With n_c images of the class and n̄ of a mean class, these chances sum up to
at most

    max(RIGHT · n_c, ½) · min(1, n_c / n̄)

in the order of the list, so that a label of a rare class is listed on strong evidence only. docs/decisions.md
has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.features.held_out import Floats, HeldOut, Ints
from longtail.schema import UNLABELLED

SHARE = 0.05
"""Largest share of the labels that is listed."""

RIGHT = 0.003
"""Right labels that may be listed of a class, by their chances, as a share of its images."""

HALF = 0.5
"""The same in labels, where the share is less: in small data a label is listed if it is more likely wrong."""

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
    """How suspect each of (n,) known labels is; at most `share` of those that were judged are listed."""
    order, suggested = margins(judged, labels, ORDER)
    entry, _ = margins(judged, labels, ENTRY)
    ranked = np.full(len(labels), np.nan)
    first = _largest(entry, int(share * np.isfinite(order).sum() + 1e-9))
    ranked[first] = order[first]
    places = _largest(ranked, len(labels))
    counts = np.bincount(labels[np.isfinite(order)], minlength=judged.shares.shape[1])
    listed = places[within_room(labels[places], _sigmoid(-entry[places]), rooms(counts))]
    return Suspicions(_sigmoid(order), suggested, listed)


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


def rooms(counts: Ints) -> Floats:
    """How much chance of being right the listed labels of each class may sum up to, by its images.

    Example:
        >>> rooms(np.array([10, 100, 190])).round(4).tolist()
        [0.05, 0.5, 0.57]
    """
    mean = counts[counts > 0].mean() if counts.any() else 1.0
    return np.maximum(RIGHT * counts, HALF) * np.minimum(1, counts / mean)


def within_room(labels: Ints, right: Floats, room: Floats) -> NDArray[np.bool_]:
    """Which of (m,) labels, the most suspect first, are listed: their class has room for their chance."""
    kept, left = np.zeros(len(labels), np.bool_), room.tolist()
    for place, (label, chance) in enumerate(zip(labels.tolist(), right.tolist(), strict=True)):
        if chance <= left[label]:
            kept[place] = True
            left[label] -= chance
    return kept


def _sigmoid(x: Floats) -> Floats:
    """σ, which is 0 or 1 where exp overflows."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _largest(values: Floats, most: int) -> Ints:
    """Positions of the largest positive values, the largest first; NaN is none."""
    positive = np.flatnonzero(values > 0)
    return positive[np.argsort(-values[positive], kind="stable")[:most]]
