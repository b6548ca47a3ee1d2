"""Average precision of the ranking of one class, and what every image moves in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


_BLOCK = 64
"""Classes whose scores are copied at a time."""


def by_class(scores: NDArray[np.floating], classes: Ints) -> Iterator[NDArray[np.floating]]:
    """The scores (n,) of each of some classes, from those of all (n, C).

    A column of a wide table is spread over all memory; a few side by side are read as fast as one.
    """
    for start in range(0, len(classes), _BLOCK):
        yield from np.ascontiguousarray(scores[:, classes[start : start + _BLOCK]].T)


def average_precision(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Average precision of a ranking: the area under its precision-recall steps.

    AP = (1/P) Σ_{i positive} (positives scored ≥ s_i) / (images scored ≥ s_i), which is
    Σ_t (R_t - R_{t-1})·precision_t over the distinct scores t: images with equal scores enter
    together, and there is no interpolation. NaN without a positive.

    Args:
        scores: (n,) finite.
        positive: (n,) which images are of the class.

    Example:
        >>> round(average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])), 3)
        0.833
    """
    if not positive.any():
        return float("nan")
    found = Ranking.of(scores, positive)
    return float((found.steps * found.precision).sum() / found.steps.sum())


@dataclass(frozen=True, eq=False)
class Ranking:
    """One class's ranking, reduced to the m distinct scores of its images, lowest first.

    Attributes:
        reached: (n,) how many of these scores an image reaches.
        steps: (m,) images of the class with this score.
        above: (m,) images with at least this score.
        precision: (m,) the share of them that is of the class.
    """

    reached: NDArray[np.intp]
    steps: Ints
    above: Ints
    precision: Floats

    @classmethod
    def of(cls, scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Ranking:
        """The ranking of images by their scores (n,), at least one of them positive."""
        # only at the score of a positive does recall step, so only these thresholds matter
        thresholds = np.unique(scores[positive])
        reached = np.searchsorted(thresholds, scores, side="right")
        steps = np.bincount(reached[positive], minlength=len(thresholds) + 1)[1:]
        above = _from_the_top(np.bincount(reached, minlength=len(thresholds) + 1)[1:])
        return cls(reached, steps, above, _from_the_top(steps) / above)


def ranking_influence(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Floats:
    """Influence of every image on the average precision of a ranking, see `average_precision`.

    With A_t positives and B_t images at or above the score t, n_t positives at it, P positives, and y
    whether image k is one:

        P · influence_k = y (A_k / B_k - AP) + Σ_{t ≤ s_k} n_t (y / B_t - A_t / B_t²)

    Args:
        scores: (n,) finite.
        positive: (n,) which images are of the class, at least one.
    """
    found = Ranking.of(scores, positive)
    images = found.steps.sum()
    mean = (found.steps * found.precision).sum() / images
    below = np.append(0.0, -(found.steps * found.precision / found.above).cumsum())[found.reached]
    own = found.precision - mean + (found.steps / found.above).cumsum()
    below[positive] += own[found.reached[positive] - 1]
    return below / images


def _from_the_top(counts: Ints) -> Ints:
    """Sums of an entry and all behind it."""
    return counts[::-1].cumsum()[::-1]
