"""How far every image moves the figures of a split: what their intervals are made of.

The influence of an image on a figure is the derivative of the figure by the weight of that image. The
influences sum to 0, and the sum of their squares is the variance of the figure over other draws of as
many images. Of images that belong together the influences are added first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.evaluation.metrics import (
    FREQUENCY_GROUPS,
    AttributeFigures,
    Floats,
    Ints,
    Metrics,
    Predictions,
    rare_class,
    ratio,
)
from longtail.evaluation.ranking import by_class, ranking_influence


@dataclass(frozen=True, eq=False)
class Units:
    """What a split is a sample of: its images, or the groups that they come in.

    Attributes:
        of_image: (N,) the unit of every image.
        number: U.
        grouped: whether units are groups.
    """

    of_image: NDArray[np.intp]
    number: int
    grouped: bool

    @classmethod
    def of(cls, predictions: Predictions) -> Units:
        """Groups, where there are two or more: a single one cannot show the spread between groups."""
        if predictions.groups is not None:
            groups, unit = np.unique(predictions.groups, return_inverse=True)
            if len(groups) > 1:
                return cls(unit, len(groups), True)
        images = len(predictions.labels)
        return cls(np.arange(images), images, False)


@dataclass(frozen=True, eq=False)
class Composite:
    """A figure as a weighted mean over classes, θ = Σ_c w_c m_c, and what moves it.

    Attributes:
        weights: (C,) w_c, of the classes that define it; none where θ is undefined.
        values: (C,) m_c.
        units: (C,) images, or groups with images, of the class.
        squares: (C,) sum over units of the squared influence on m_c.
        moved: (U,) influence of every unit on θ.
    """

    weights: Floats
    values: Floats
    units: Floats
    squares: Floats
    moved: Floats

    @classmethod
    def mean(cls, parts: Sequence[Composite]) -> Composite:
        """The mean of those parts that are defined."""
        defined = [part for part in parts if len(part.weights)] or parts[:1]
        return cls(
            np.concatenate([part.weights for part in defined]) / len(defined),
            np.concatenate([part.values for part in defined]),
            np.concatenate([part.units for part in defined]),
            np.concatenate([part.squares for part in defined]),
            np.mean([part.moved for part in defined], axis=0),
        )


def attribute_influence(
    predictions: Predictions, column: int, found: AttributeFigures, units: Units
) -> Metrics[Composite]:
    """What every figure of one attribute is composed of; classes without images are left out.

    Args:
        predictions: scores and labels of the split.
        column: index of the attribute.
        found: its figures.
        units: of the split.
    """
    scores, labels = predictions.of_attribute(column)
    images = _Images(labels, predictions.decided(column), units.of_image[predictions.labelled(column)], units)
    groups = predictions.class_groups(column)
    rare = rare_class(predictions.train_counts[column, : len(groups)])
    every = np.ones(len(groups), dtype=bool)
    by_group = (groups == group for group in FREQUENCY_GROUPS)
    balanced, many, medium, few = _recalls(images, found, [every, *by_group])
    mean, alone = _precisions(images, found, scores, [every, np.arange(len(groups)) == rare])
    return Metrics(balanced, _accuracy(images), _f1(images, found), mean, many, medium, few, alone)


@dataclass(frozen=True, eq=False)
class _Images:
    """The n labelled images of one attribute: class, decision and unit of each."""

    labels: Ints
    decided: NDArray[np.intp]
    unit: NDArray[np.intp]
    units: Units

    @property
    def hit(self) -> NDArray[np.bool_]:
        return self.labels == self.decided

    def units_of(self, classes: int) -> Floats:
        """(C,) units that have images of a class."""
        pairs = np.unique(self.labels * self.units.number + self.unit)
        return np.bincount(pairs // max(1, self.units.number), minlength=classes).astype(np.float64)

    def by_unit(self, influence: Floats) -> Floats:
        """(U,) sums of the influences of images, (n,)."""
        return _sums(self.unit, influence, self.units.number)


def _recalls(
    images: _Images, found: AttributeFigures, chosen: Sequence[NDArray[np.bool_]]
) -> list[Composite]:
    """The mean recall of each choice of classes: influence ([ŷ = y] - m_y) / n_y on the recall of y."""
    influence = (images.hit - found.recall[images.labels]) / found.confusion.sum(1)[images.labels]
    squares = _squares(images, images.labels, images.unit, influence, len(found.recall))
    units = images.units_of(len(found.recall))
    return [
        _composite(found.recall, units, squares, weights, images.by_unit(weights[images.labels] * influence))
        for weights in map(_weights, (units > 0) & np.array(chosen))
    ]


def _accuracy(images: _Images) -> Composite:
    one = np.ones(1)
    accuracy = ratio(images.hit.sum(keepdims=True), one * len(images.hit))
    moved = images.by_unit((images.hit - accuracy) / max(1, len(images.hit)))
    units = one * len(np.unique(images.unit))
    return _composite(accuracy, units, one * (moved**2).sum(), one * (units > 0), moved)


def _f1(images: _Images, found: AttributeFigures) -> Composite:
    """F1_c = 2 hits / (images + predicted): influence ([ŷ = y] - F1_c) / (images + predicted) for y and ŷ.

    A right image is both: it adds the influence twice.
    """
    classes = len(found.f1)
    units = images.units_of(classes)
    weights = _weights(units > 0)
    f1, size = np.nan_to_num(found.f1), np.maximum(1, found.confusion.sum(0) + found.confusion.sum(1))
    each = np.concatenate([images.labels, images.decided])
    unit = np.concatenate([images.unit, images.unit])
    influence = (np.concatenate([images.hit, images.hit]) - f1[each]) / size[each]
    squares = _squares(images, each, unit, influence, classes)
    moved = _sums(unit, weights[each] * influence, images.units.number)
    return _composite(found.f1, units, squares, weights, moved)


def _precisions(
    images: _Images,
    found: AttributeFigures,
    scores: NDArray[np.floating],
    chosen: Sequence[NDArray[np.bool_]],
) -> list[Composite]:
    """The mean average precision of each choice of classes."""
    units = images.units_of(len(found.recall))
    weights = [_weights(one) for one in (units > 0) & np.array(chosen)]
    moved, squares = np.zeros((len(chosen), len(scores))), np.zeros(len(units))
    tested = np.flatnonzero(units)
    for c, own in zip(tested.tolist(), by_class(scores, tested), strict=True):
        influence = ranking_influence(own, images.labels == c)
        squares[c] = (images.by_unit(influence) ** 2).sum() if images.units.grouped else influence @ influence
        for sums, weight in zip(moved, weights, strict=True):
            if weight[c]:
                sums += weight[c] * influence
    return [
        _composite(found.average_precision, units, squares, weight, images.by_unit(sums))
        for weight, sums in zip(weights, moved, strict=True)
    ]


def _weights(chosen: NDArray[np.bool_]) -> Floats:
    return chosen / max(1, chosen.sum())


def _squares(
    images: _Images, classes: NDArray[np.intp], unit: NDArray[np.intp], influence: Floats, number: int
) -> Floats:
    """(C,) sums of the squares of what each unit adds to a class."""
    pairs, place = np.unique(classes * images.units.number + unit, return_inverse=True)
    added = _sums(place, influence, len(pairs))
    return _sums(pairs // max(1, images.units.number), added**2, number)


def _sums(bins: NDArray[np.intp], values: Floats, number: int) -> Floats:
    return np.bincount(bins, values, minlength=number).astype(np.float64)


def _composite(values: Floats, units: Floats, squares: Floats, weights: Floats, moved: Floats) -> Composite:
    kept = weights > 0
    return Composite(weights[kept], values[kept], units[kept], squares[kept], moved)
