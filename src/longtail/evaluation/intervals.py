"""How far the figures of one split can be trusted, and differences over seeds.

Bootstrap: the split is drawn again many times, with replacement, and the figures are recomputed. An
image drawn w times is one image of weight w, so that nothing is copied: every count behind a figure
is a sum of weights, and all counts of all resamples are one product of a sparse 0/1 matrix
(counts × images) with the weights (images × resamples).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.documents import Part
from longtail.evaluation.metrics import (
    Evaluation,
    Floats,
    Metrics,
    Predictions,
    attribute_figures,
    defined_mean,
    ratio,
)

LEAST_RESAMPLES = 100
"""Fewer say nothing about a 2.5 % tail."""

_WEIGHTS_AT_ONCE = 1 << 20
"""Weights held at a time (8 MiB): small enough to stay near the processor, whatever the split's size."""


class Estimate(Part, frozen=True):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Intervals:
    """For every figure an estimate, or None where the figure is undefined.

    Attributes:
        attributes: those of each attribute.
        mean: those of the means over attributes.
    """

    attributes: tuple[Metrics[Estimate | None], ...]
    mean: Metrics[Estimate | None]


def bootstrap_intervals(
    predictions: Predictions, evaluation: Evaluation, *, resamples: int = 1000, seed: int = 0
) -> Intervals:
    """95 % percentile intervals of all figures: the 2.5 % and 97.5 % quantiles over recentred resamples.

    N images are drawn out of N, or, where the images come in groups, G groups out of G: images of one
    group say nearly the same, and drawing them one by one would promise too much. (A single group
    cannot show the spread between groups: then images are drawn.) All attributes share a draw, and the
    training counts stay. A resample in which a class has no image leaves that class out, and one
    in which a figure is undefined does not count for it.

    Recentred: classes with a handful of images bias the resamples. Badly recalled ones drop out of a
    third of the draws, and copies of an image push each other up in a ranking; both raise the mean.
    So the resampled values of a figure are moved, all by the same amount, until their mean is the
    figure, and cut off at 0 and 1. Where classes have images enough this changes nothing. With few
    images a class, intervals remain somewhat too narrow.

    Args:
        predictions: scores and labels of the split.
        evaluation: their figures, from `evaluate(predictions)`.
        resamples: number of draws, at least 100.
        seed: the same seed and order of images give the same intervals.

    Raises:
        ValueError: when there are fewer than 100 resamples.
    """
    if resamples < LEAST_RESAMPLES:
        raise ValueError(f"resamples: expected at least {LEAST_RESAMPLES}, got {resamples}")
    drawn = _resampled_figures(predictions, resamples, seed)
    attributes = tuple(
        _estimates(attribute.figures, drawn.map(itemgetter((slice(None), j))))
        for j, attribute in enumerate(evaluation.attributes)
    )
    return Intervals(attributes, _estimates(evaluation.mean, drawn.map(defined_mean)))


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Mean of a - b over runs that share a seed, with its 95 % t-interval.

    mean(d) ± t(0.975; n - 1)·s(d)/√n, d_i = a_i - b_i, s with n - 1 in the denominator. What two
    methods owe to a seed they share drops out of the difference.

    Args:
        a: n figures of one method, n ≥ 2.
        b: n figures of the other one, in the same order of seeds.

    Raises:
        ValueError: when the lengths differ, are below 2, or a figure is not finite.

    Example:
        >>> paired_difference([0.5, 0.6, 0.7], [0.4, 0.5, 0.6]).value.__round__(3)
        0.1
    """
    from scipy.special import stdtrit

    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"expected figures of at least 2 paired seeds, got {len(a)} and {len(b)}")
    differences = np.subtract(a, b, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise ValueError("expected finite figures for every seed")
    mean = float(differences.mean())
    half = float(stdtrit(len(a) - 1, 0.975) * differences.std(ddof=1) / np.sqrt(len(a)))
    return Estimate(mean, mean - half, mean + half)


def _estimates(figures: Metrics[float], drawn: Metrics[Floats]) -> Metrics[Estimate | None]:
    return Metrics.each(lambda name: _estimate(figures.of(name), drawn.of(name)))


def _estimate(value: float, drawn: Floats) -> Estimate | None:
    if np.isnan(value):
        return None
    recentred = np.clip(drawn + (value - np.nanmean(drawn)), 0.0, 1.0)
    low, high = np.nanquantile(recentred, (0.025, 0.975))
    # a mean can lie beyond both quantiles: by rounding, or when all the spread is in less than 2.5 %
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _resampled_figures(predictions: Predictions, resamples: int, seed: int) -> Metrics[Floats]:
    """(resamples, J) of every figure."""
    tallies = [_Tally.of(predictions, j) for j in range(predictions.schema.num_attributes)]
    blocks = [
        [tally.figures(weights) for tally in tallies] for weights in _weights(predictions, resamples, seed)
    ]
    return Metrics.each(
        lambda name: np.concatenate([np.stack([f.of(name) for f in block], axis=1) for block in blocks])
    )


def _weights(predictions: Predictions, resamples: int, seed: int) -> Iterator[Floats]:
    """(N, b) how often each image is drawn, for b resamples at a time."""
    images = len(predictions.labels)
    units, unit_of_image = np.arange(images), np.arange(images)
    if predictions.groups is not None:
        groups, group_of_image = np.unique(predictions.groups, return_inverse=True)
        if len(groups) > 1:
            units, unit_of_image = groups, group_of_image
    generator = np.random.default_rng(seed)
    block = max(1, _WEIGHTS_AT_ONCE // max(1, images))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        yield _drawn(generator, len(units), count).astype(np.float64)[unit_of_image]


def _drawn(generator: np.random.Generator, units: int, resamples: int) -> NDArray[np.intp]:
    """(units, resamples) how often each unit comes up in `units` draws with replacement."""
    if units == 0:
        return np.zeros((0, resamples), dtype=np.intp)
    draws = generator.integers(units, size=(resamples, units))
    cells = draws + units * np.arange(resamples)[:, None]
    return np.bincount(cells.ravel(), minlength=units * resamples).reshape(resamples, units).T


@dataclass(frozen=True, eq=False)
class _Tally:
    """The counts behind one attribute's figures, as matrices that sum the weights of images.

    Attributes:
        counts: (3·C, N) hits, images and predictions of every class.
        rankings: for every class what its average precision needs.
        class_groups: (C,) frequency groups.
    """

    counts: Any
    rankings: tuple[_Ranking, ...]
    class_groups: NDArray[np.str_]

    @classmethod
    def of(cls, predictions: Predictions, column: int) -> _Tally:
        rows = np.flatnonzero(predictions.labelled(column))
        scores, labels = predictions.of_attribute(column)
        classes, decisions = scores.shape[1], scores.argmax(axis=1)
        hit = decisions == labels
        bins = np.concatenate([labels[hit], classes + labels, 2 * classes + decisions])
        images = len(predictions.labels)
        counts = _summing(bins, np.concatenate([rows[hit], rows, rows]), (3 * classes, images))
        rankings = tuple(_Ranking.of(scores[:, c], labels == c, rows, images) for c in range(classes))
        return cls(counts, rankings, predictions.class_groups(column))

    def figures(self, weights: Floats) -> Metrics[Floats]:
        """(b,) of every figure, from weights (N, b)."""
        hits, images, predicted = np.split((self.counts @ weights).T, 3, axis=1)
        precisions = np.stack([ranking.average_precision(weights) for ranking in self.rankings], axis=1)
        return attribute_figures(hits, images, predicted, precisions, self.class_groups)


@dataclass(frozen=True, eq=False)
class _Ranking:
    """One class's ranking, reduced to the m distinct scores of its images, highest first.

    Attributes:
        newly: (m, N) which images reach this threshold and none before it.
        newly_positive: (m, N) those among them that are of the class.
    """

    newly: Any
    newly_positive: Any

    @classmethod
    def of(
        cls, scores: NDArray[np.floating], positive: NDArray[np.bool_], rows: NDArray[np.intp], images: int
    ) -> _Ranking:
        thresholds = np.unique(scores[positive])
        order = len(thresholds) - np.searchsorted(thresholds, scores, side="right")
        # images below every image of the class never enter an average precision
        used, shape = order < len(thresholds), (len(thresholds), images)
        newly_positive = _summing(order[positive], rows[positive], shape)
        return cls(_summing(order[used], rows[used], shape), newly_positive)

    def average_precision(self, weights: Floats) -> Floats:
        """(b,) weighted average precision, NaN where the class has weight 0; see `metrics`."""
        steps = self.newly_positive @ weights
        precision = steps.cumsum(0)
        total = precision[-1].copy() if len(precision) else np.zeros(weights.shape[1])
        above = self.newly @ weights
        np.cumsum(above, axis=0, out=above)
        # 0/0 occurs only where nothing has been drawn so far, and then the step is 0 too
        precision /= np.maximum(above, 1.0, out=above)
        return ratio(np.einsum("mb,mb->b", steps, precision), total)


def _summing(bins: NDArray[np.intp], images: NDArray[np.intp], shape: tuple[int, int]) -> Any:
    """Sparse 0/1 matrix (bins, images) whose product with weights sums them by bin."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(bins)), (bins, images)), shape=shape)
