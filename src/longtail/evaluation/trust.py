"""How far scores can be trusted: calibration, what a threshold costs, what prediction sets cover."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from longtail.decisions.thresholds import ANALYTIC, Threshold
from longtail.documents import Amount, Count, Part, Share
from longtail.evaluation.metrics import class_f1, decided, defined_mean, ratio

Positive = Annotated[float, Meta(gt=0)]

BINS = 15
"""Bins of equal width that confidences are sorted into."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Bin(Part, frozen=True):
    """Images of about one confidence: the weight of them, their mean confidence, and how many are right."""

    weight: Share
    confidence: Share
    accuracy: Share


class Reliability(Part, frozen=True):
    """How sure scores are, and how right.

    Attributes:
        error: expected calibration error: the mean over images of |confidence - accuracy| of their bin.
        few_error: the same of the images that are decided to be of a class with few training images.
        bins: those with images, from the least confident on.
    """

    error: Share | None
    few_error: Share | None
    bins: tuple[Bin, ...]


class CalibrationResults(Part, frozen=True):
    """One attribute before and after its temperature, on the evaluated images.

    Images are weighted so that classes are as frequent as the scores take them to be: a decision against the
    prior speaks of classes that are equally frequent.

    Attributes:
        temperature: that the scores were brought to.
        images: validation images behind it, in effect.
        before, after: bringing them to it.
    """

    temperature: Positive
    images: Amount
    before: Reliability
    after: Reliability


class RareFigures(Part, frozen=True):
    """How well the rarer of two classes is found, and the mean recall of both."""

    recall: Share | None
    precision: Share | None
    f1: Share | None
    class_balanced_accuracy: Share | None


class ThresholdResults(Part, frozen=True):
    """What a threshold does on the evaluated images.

    Attributes:
        aim: what it was tuned for, on validation images.
        rare: the class that is decided from it on.
        value: of its score.
        positives: validation images of the class.
        kept: why it is the analytic one, ½; empty where it was tuned.
        analytic: figures with ½.
        tuned: figures with `value`.
    """

    aim: str
    rare: str
    value: Share
    positives: Count
    kept: str
    analytic: RareFigures
    tuned: RareFigures


class SetResults(Part, frozen=True):
    """What prediction sets hold, on the evaluated images.

    Attributes:
        coverage: that was asked for.
        covered: share of the images whose class is in their set.
        class_balanced: mean of that share over classes.
        few: mean of it over classes with few training images.
        mean_size: classes in a set.
    """

    coverage: Share
    covered: Share | None
    class_balanced: Share | None
    few: Share | None
    mean_size: Amount | None


def reliability(scores: Floats, labels: Ints, weights: Floats, few: NDArray[np.bool_]) -> Reliability:
    """Confidence against accuracy.

        ECE = Σ_b |Σ_{i ∈ b} w_i ([ŷ_i = y_i] - q_i)|,    q_i = max_k q_ik,  Σ w_i = 1

    Args:
        scores: q, (n, C).
        labels: y, (n,) of those.
        weights: w, (n,).
        few: (C,) whether a class has few training images.

    Example:
        >>> q = np.array([[0.9, 0.1], [0.9, 0.1]])
        >>> found = reliability(q, np.array([0, 1]), np.array([0.5, 0.5]), np.array([False, True]))
        >>> found.error.__round__(3), found.few_error
        (0.4, None)
    """
    if not weights.sum() > 0:
        return Reliability(None, None, ())
    sure, chosen = scores.max(1), scores.argmax(1)
    hit = chosen == labels
    place = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    weight, confident, right = (
        np.bincount(place, values, BINS) for values in (weights, weights * sure, weights * hit)
    )
    bins = tuple(
        Bin(min(1.0, w), min(1.0, c / w), min(1.0, a / w))
        for w, c, a in zip(weight.tolist(), confident.tolist(), right.tolist())
        if w > 0
    )
    own = few[chosen] & (weights > 0)
    gap = hit - sure
    return Reliability(_error(place, weights, gap), _error(place[own], weights[own], gap[own]), bins)


def _error(place: Ints, weights: Floats, gap: Floats) -> float | None:
    if not len(place):
        return None
    return min(1.0, float(np.abs(np.bincount(place, weights * gap, BINS)).sum() / weights.sum()))


def threshold_results(
    scores: Floats, labels: Ints, threshold: Threshold, aim: str, classes: tuple[str, ...]
) -> ThresholdResults:
    """What a threshold does, beside the analytic one.

    Args:
        scores: (n, 2).
        labels: (n,) of those.
        threshold: of the rarer class.
        aim: in words.
        classes: names.
    """
    analytic = Threshold(threshold.rare, ANALYTIC, threshold.positives)
    both = (_rare_figures(decided(scores, one), labels, threshold.rare) for one in (analytic, threshold))
    return ThresholdResults(
        aim, classes[threshold.rare], threshold.value, threshold.positives, threshold.kept, *both
    )


def _rare_figures(chosen: NDArray[np.intp], labels: Ints, rare: int) -> RareFigures:
    matrix = np.bincount(labels * 2 + chosen, minlength=4).reshape(2, 2)
    hits, images, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    recall = ratio(hits, images)
    return RareFigures(
        recall=known(float(recall[rare])),
        precision=known(float(ratio(hits, predicted)[rare])),
        f1=known(float(class_f1(hits, images, predicted)[rare])),
        class_balanced_accuracy=known(float(defined_mean(recall))),
    )


def set_results(
    members: NDArray[np.bool_], labels: Ints, coverage: float, few: NDArray[np.bool_]
) -> SetResults:
    """What prediction sets hold.

    Args:
        members: (n, C) whether a class is in the set of an image.
        labels: (n,) of those.
        coverage: that was asked for.
        few: (C,) whether a class has few training images.
    """
    hit = members[np.arange(len(labels)), labels]
    images = np.bincount(labels, minlength=len(few))
    by_class = ratio(np.bincount(labels, hit, len(few)), images.astype(np.float64))
    return SetResults(
        coverage,
        covered=float(hit.mean()) if len(hit) else None,
        class_balanced=known(float(defined_mean(by_class))),
        few=known(float(defined_mean(by_class[few]))),
        mean_size=float(members.sum(1).mean()) if len(hit) else None,
    )


def known(value: float) -> float | None:
    """None in the place of NaN."""
    return None if np.isnan(value) else value
