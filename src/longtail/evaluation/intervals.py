"""How far the figures of one split can be trusted, and differences over seeds.

Every interval over images is Wilson's, for a share θ of n images:

    (θ + z²/2n ± z √(θ(1 - θ)/n + z²/4n²)) / (1 + z²/n)

which is right at 0 and 1 too, and for a single image. Recalls are shares. A figure that is composed of
classes has n = θ(1 - θ)/V, the number of images at which a share would vary as much as the figure does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longtail.documents import Part
from longtail.evaluation.influence import Composite, Units, attribute_influence
from longtail.evaluation.metrics import Evaluation, Floats, Metrics, Predictions

DRAWN_AT_THE_MEAN = 4
"""Images that each class is given beside its own, to guess how much it varies: Agresti and Coull's number."""


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
        recalls: of each attribute those of its classes.
        mean: those of the means over attributes.
    """

    attributes: tuple[Metrics[Estimate | None], ...]
    recalls: tuple[tuple[Estimate | None, ...], ...]
    mean: Metrics[Estimate | None]


def intervals(predictions: Predictions, evaluation: Evaluation) -> Intervals:
    """95 % intervals of all figures, in closed form.

    With m_c, u_c, w_c the value, images and weight of class c, and s_c² the variance of one image's part
    in m_c, a figure θ = Σ w_c m_c has the variance

        V = Σ_i (influence of image i on θ)² + Σ_c w_c² max(0, t_c² - s_c²) / u_c
        t_c² = (u_c s_c² + 4 θ(1 - θ)) / (u_c + 4) + 4 u_c (m_c - θ)² / (u_c + 4)²

    t_c² is the variance of the u_c images together with four more that are right with probability θ: a
    class with one image shows no variance, and one whose images are all right shows none either. For a
    single class the interval is Wilson's, and n = 1 / Σ_c w_c²/u_c where θ is 0 or 1.

    Where the images come in G groups, images of one group say nearly the same: units are then groups, V
    has the factor G / (G - 1) in its first part, and z becomes Student's t of G - 1 degrees of freedom.
    (A single group cannot show the spread between groups: then images are the units.) Below 30 groups the
    intervals are rough.

    Args:
        predictions: scores and labels of the split.
        evaluation: their figures, from `evaluate(predictions)`.
    """
    units = Units.of(predictions)
    composed = [
        attribute_influence(predictions, column, figures, units)
        for column, figures in enumerate(evaluation.attributes)
    ]
    mean = Metrics.each(lambda name: Composite.mean([attribute.of(name) for attribute in composed]))
    both = list(zip(evaluation.attributes, composed, strict=True))
    return Intervals(
        tuple(_estimates(found.figures, parts, units) for found, parts in both),
        tuple(_class_recalls(found.recall, parts.class_balanced_accuracy, units) for found, parts in both),
        _estimates(evaluation.mean, mean, units),
    )


def share_interval(right: int, images: int) -> Estimate:
    """A share of images with Wilson's 95 % interval.

    Raises:
        ValueError: when there is no image, or more are right than there are.

    Example:
        >>> share_interval(3, 5).low.__round__(2), share_interval(3, 5).high.__round__(2)
        (0.23, 0.88)
    """
    from scipy.special import ndtri

    if not 0 <= right <= images or images < 1:
        raise ValueError(f"expected at least one image and at most all right, got {right} of {images}")
    low, high = _wilson(np.array([right / images]), np.array([float(images)]), float(ndtri(0.975)))
    return Estimate(right / images, float(low[0]), float(high[0]))


def paired_difference(
    a: Sequence[float], b: Sequence[float], *, comparisons: int = 1, test_to_train: float = 0.0
) -> Estimate:
    """Mean of a - b over runs that share a seed, with its 95 % t-interval.

        mean(d) ± t(1 - 0.025/M; n - 1) · s(d) · √(1/n + r),   d_i = a_i - b_i

    s with n - 1 in the denominator. What two methods owe to a seed they share drops out of the difference.
    With r = 0 it holds for these images and other seeds. Seeds that split the same images anew share most
    of them, so that for other images of the same kind the interval is too narrow; r = test images /
    training images then makes up for that.

    Args:
        a: n figures of one method, n ≥ 2.
        b: n figures of the other one, in the same order of seeds.
        comparisons: M, how many differences such an interval is taken from: all of them hold together with
            95 % (Bonferroni).
        test_to_train: r.

    Source: Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003, for r.

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
    quantile = stdtrit(len(a) - 1, 1 - 0.025 / comparisons)
    half = float(quantile * differences.std(ddof=1) * np.sqrt(1 / len(a) + test_to_train))
    return Estimate(mean, mean - half, mean + half)


def _quantile(units: Units) -> float:
    """z, or t where units are groups."""
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(units.number - 1, 0.975) if units.grouped else ndtri(0.975))


def _few(units: Units) -> float:
    """G / (G - 1) of G groups, whose spread about their own mean is the smaller the fewer they are."""
    return units.number / (units.number - 1) if units.grouped else 1.0


def _estimates(figures: Metrics[float], parts: Metrics[Composite], units: Units) -> Metrics[Estimate | None]:
    return Metrics.each(lambda name: _estimate(figures.of(name), parts.of(name), units))


def _estimate(value: float, figure: Composite, units: Units) -> Estimate | None:
    if np.isnan(value):
        return None
    variance = _few(units) * (figure.moved**2).sum() + (figure.weights**2 * _unseen(figure, value)).sum()
    spread = value * (1 - value)
    at_the_ends = 1 / (figure.weights**2 / figure.units).sum()
    number = spread / variance if spread > 0 and variance > 0 else at_the_ends
    low, high = _wilson(np.array([value]), np.array([number]), _quantile(units))
    return Estimate(value, float(low[0]), float(high[0]))


def _class_recalls(recalls: Floats, figure: Composite, units: Units) -> tuple[Estimate | None, ...]:
    """Of every class; NaN gives None."""
    values = figure.values
    spread, variance = values * (1 - values), _few(units) * figure.squares + _unseen(figure, values)
    inside = (spread > 0) & (variance > 0)
    number = np.where(inside, spread / np.where(inside, variance, 1.0), figure.units)
    low, high = _wilson(values, number, _quantile(units))
    made = iter(map(Estimate, values.tolist(), low.tolist(), high.tolist()))
    return tuple(None if undefined else next(made) for undefined in np.isnan(recalls).tolist())


def _unseen(figure: Composite, mean: Floats | float) -> Floats:
    """(C,) variance of each class that its own units do not show, max(0, t_c² - s_c²) / u_c."""
    own, more = figure.units, DRAWN_AT_THE_MEAN
    seen = own * figure.squares
    both = (own * seen + more * mean * (1 - mean)) / (own + more)
    both += more * own * (figure.values - mean) ** 2 / (own + more) ** 2
    return np.maximum(0.0, both - seen) / own


def _wilson(values: Floats, number: Floats, z: float) -> tuple[Floats, Floats]:
    """Ends of the interval of a share; they hold the value whatever is rounded."""
    centre = values + z**2 / (2 * number)
    half = z * np.sqrt(values * (1 - values) / number + (z / (2 * number)) ** 2)
    low, high = (centre - half) / (1 + z**2 / number), (centre + half) / (1 + z**2 / number)
    return np.clip(low, 0.0, values), np.clip(high, values, 1.0)
