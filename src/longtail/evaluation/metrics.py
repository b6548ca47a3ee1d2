"""Figures of merit of a classifier, from its scores on one split.

One attribute at a time, over the images of the split whose value of that attribute is known; then
the mean over attributes. Everything is float64, and NaN stands for "undefined": a class that no
image of the split belongs to has no recall and is left out of every mean, never counted as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from longtail.decisions.thresholds import Threshold
from longtail.documents import Part
from longtail.errors import InputError
from longtail.evaluation.ranking import average_precision, by_class
from longtail.schema import UNLABELLED, LabelSchema
from longtail.settings import FEW_BELOW, MANY_ABOVE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int64] | NDArray[np.float64]

T = TypeVar("T")
U = TypeVar("U")


class Metrics(Part, Generic[T], frozen=True, omit_defaults=True):
    """One thing, a number or an estimate, for every figure of an attribute, in the order of tables."""

    class_balanced_accuracy: T
    accuracy: T
    macro_f1: T
    mean_average_precision: T
    many_recall: T
    medium_recall: T
    few_recall: T
    rare_average_precision: T | None = None  # left out of documents where no attribute has two classes

    @staticmethod
    def each(make: Callable[[str], U]) -> Metrics[U]:
        """What `make` gives for the name of each figure."""
        return Metrics(*map(make, METRICS))

    def of(self, name: str) -> T:
        """That of one figure."""
        return getattr(self, name)

    def map(self, change: Callable[[T], U]) -> Metrics[U]:
        """The same figures, each of them changed."""
        return Metrics.each(lambda name: change(self.of(name)))


METRICS: tuple[str, ...] = Metrics.__struct_fields__
"""Names of the figures of an attribute, in the order of tables."""

FrequencyGroup = Literal["many", "medium", "few"]

FREQUENCY_GROUPS: tuple[FrequencyGroup, ...] = get_args(FrequencyGroup)
"""Names of the groups that classes fall into by their number of training images."""


@dataclass(frozen=True)
class FrequencyBounds:
    """Where frequent classes begin and rare ones end, in training images.

    many: more than `many_above`; few: less than `few_below`; medium: between.

    Example:
        >>> FrequencyBounds().group_of(np.array([101, 100, 20, 19])).tolist()
        ['many', 'medium', 'medium', 'few']
    """

    many_above: int = MANY_ABOVE
    few_below: int = FEW_BELOW

    def group_of(self, train_counts: Ints) -> NDArray[np.str_]:
        """The group's name for every class, from its number of training images."""
        few_or_medium = np.where(train_counts < self.few_below, "few", "medium")
        return np.where(train_counts > self.many_above, "many", few_or_medium)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The scores of one split, and what they are judged by.

    Attributes:
        scores: (N, J, K) floating point; the decision is the class of the largest score, the lowest
            index at a tie. Entries of classes that an attribute does not have are never read.
        labels: (N, J) int64, -1 = unlabelled: such an entry counts for nothing.
        schema: the J attributes.
        train_counts: (J, K) int64 training images of every class.
        frequency: where many, medium and few part.
        groups: (N,) int64, images that belong together (one photographer, one object), or None.
        thresholds: of the attributes of two classes that are decided by one, by column.

    Raises:
        InputError: when shapes do not fit, a label is no class, or a labelled image has a score that
            is not finite.
        TypeError: when labels are not int64.
    """

    scores: NDArray[np.floating]
    labels: Ints
    schema: LabelSchema
    train_counts: Ints
    frequency: FrequencyBounds = FrequencyBounds()
    groups: Ints | None = None
    thresholds: Mapping[int, Threshold] = field(default_factory=dict[int, Threshold])

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int64:
            raise TypeError(
                f"labels: expected int64 (class indices, -1 = unlabelled), got {self.labels.dtype}"
            )
        n, j, k = len(self.labels), self.schema.num_attributes, self.schema.max_classes
        _expect_shape("labels", self.labels.shape, (n, j))
        _expect_shape("scores", self.scores.shape, (n, j, k))
        _expect_shape("train_counts", self.train_counts.shape, (j, k))
        if self.groups is not None:
            _expect_shape("groups", self.groups.shape, (n,))
        for column in range(j):
            _check_labels(self, column)
            _check_scores(self, column)

    def labelled(self, column: int) -> NDArray[np.bool_]:
        """(N,) whether the attribute's value is known."""
        return self.labels[:, column] != UNLABELLED

    def of_attribute(self, column: int) -> tuple[NDArray[np.floating], Ints]:
        """Scores (n, C) and labels (n,) of the n images labelled in one attribute; views where all are."""
        known = self.labelled(column)
        rows = slice(None) if known.all() else known
        return self.scores[rows, column, : self.schema.num_classes[column]], self.labels[rows, column]

    def decided(self, column: int) -> NDArray[np.intp]:
        """(n,) the class decided for each image labelled in one attribute."""
        return decided(self.of_attribute(column)[0], self.thresholds.get(column))

    def class_groups(self, column: int) -> NDArray[np.str_]:
        """(C,) frequency group of every class of one attribute."""
        return self.frequency.group_of(self.train_counts[column, : self.schema.num_classes[column]])


def decided(scores: NDArray[np.floating], threshold: Threshold | None = None) -> NDArray[np.intp]:
    """(n,) the class of the largest of the scores (n, C), or the rarer of two from a threshold on."""
    if threshold is None:
        return scores.argmax(axis=1)
    return np.where(scores[:, threshold.rare] >= threshold.value, threshold.rare, 1 - threshold.rare)


@dataclass(frozen=True, eq=False)
class AttributeFigures:
    """How well one attribute with C classes is recognised.

    Attributes:
        confusion: (C, C) int64 images, a `scipy.sparse.csr_array`; rows: true class, columns: predicted.
        recall: (C,) confusion[c, c] / row sum; NaN for a class without images in the split.
        precision: (C,) confusion[c, c] / column sum; NaN for a class that is never predicted.
        f1: (C,) 2·confusion[c, c] / (row sum + column sum); NaN for a class without images.
        average_precision: (C,) one class against the rest; NaN for a class without images.
        figures: NaN where undefined.
    """

    confusion: Any
    recall: Floats
    precision: Floats
    f1: Floats
    average_precision: Floats
    figures: Metrics[float]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of every attribute, and of each figure the mean over the attributes that define it."""

    attributes: tuple[AttributeFigures, ...]
    mean: Metrics[float]


def evaluate(predictions: Predictions) -> Evaluation:
    """All figures of one split.

    Example:
        >>> scores = np.array([[[0.9, 0.1]], [[0.2, 0.8]], [[0.6, 0.4]]])
        >>> schema = LabelSchema.single("animal", ["cat", "dog"])
        >>> labels = np.array([[0], [1], [1]])
        >>> result = evaluate(Predictions(scores, labels, schema, train_counts=np.array([[1, 2]])))
        >>> result.mean.class_balanced_accuracy
        0.75
    """
    columns = range(predictions.schema.num_attributes)
    attributes = tuple(_evaluate_attribute(predictions, column) for column in columns)
    mean = Metrics.each(lambda name: float(defined_mean(np.array([a.figures.of(name) for a in attributes]))))
    return Evaluation(attributes, mean)


def rare_class(train_counts: Ints) -> int | None:
    """Of two classes the one with fewer training images, the second at a tie; None for another number.

    Example:
        >>> rare_class(np.array([9, 1])), rare_class(np.array([1, 9])), rare_class(np.array([1, 2, 3]))
        (1, 0, None)
    """
    return int(train_counts[0] < train_counts[1]) ^ 1 if len(train_counts) == 2 else None


def attribute_figures(
    recall: Floats,
    accuracy: Floats,
    f1: Floats,
    precisions: Floats,
    class_groups: NDArray[np.str_],
    rare: int | None,
) -> Metrics[float]:
    """The figures of an attribute of C classes.

    - class_balanced_accuracy: mean of the recalls of the classes that have images;
    - accuracy: share of images whose class was predicted;
    - macro_f1, mean_average_precision: means over the classes that have images. An attribute of two
      classes is no exception: the mean is over both of them;
    - many_recall, medium_recall, few_recall: mean recall of the classes of one frequency group;
    - rare_average_precision: of the rarer one of two classes alone, which is what the literature on
      attributes reports; undefined for an attribute of more classes.

    Args:
        recall, f1, precisions: (C,) of each class, the last its average precision; NaN where undefined.
        accuracy: see above.
        class_groups: (C,) names from `FREQUENCY_GROUPS`.
        rare: see `rare_class`.
    """
    many, medium, few = (defined_mean(recall[class_groups == group]) for group in FREQUENCY_GROUPS)
    figures = Metrics(
        defined_mean(recall),
        accuracy,
        defined_mean(f1),
        defined_mean(precisions),
        many,
        medium,
        few,
        np.asarray(np.nan if rare is None else precisions[rare]),
    )
    return figures.map(float)


def imbalance_ratio(counts: Ints) -> float | None:
    """Images of the largest class over those of the smallest that has any; None where none has."""
    present = counts[counts > 0]
    return float(present.max() / present.min()) if len(present) else None


def ratio(numerator: Counts, denominator: Counts) -> Floats:
    """numerator / denominator of one shape, NaN where the denominator is 0."""
    undefined = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) != 0)


def class_f1(hits: Counts, images: Counts, predicted: Counts) -> Floats:
    """2·hits / (images + predicted) of every class, NaN for a class without images."""
    return np.where(np.equal(images, 0), np.nan, ratio(2 * hits, images + predicted))


def defined_mean(values: Floats) -> Floats:
    """Mean over the last axis of the values that are not NaN; NaN where there is none."""
    defined = ~np.isnan(values)
    return ratio(values.sum(-1, where=defined), defined.sum(-1))


def _evaluate_attribute(predictions: Predictions, column: int) -> AttributeFigures:
    scores, labels = predictions.of_attribute(column)
    classes = np.arange(scores.shape[1])
    confusion = _confusion(labels, predictions.decided(column), len(classes))
    hits, images, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    columns = zip(classes.tolist(), by_class(scores, classes), strict=True)
    precisions = np.array([average_precision(own, labels == c) for c, own in columns])
    rare = rare_class(predictions.train_counts[column, : len(classes)])
    recall, f1 = ratio(hits, images), class_f1(hits, images, predicted)
    accuracy = ratio(hits.sum(), images.sum())
    return AttributeFigures(
        confusion=confusion,
        recall=recall,
        precision=ratio(hits, predicted),
        f1=f1,
        average_precision=precisions,
        figures=attribute_figures(recall, accuracy, f1, precisions, predictions.class_groups(column), rare),
    )


def _confusion(labels: Ints, decisions: Ints, classes: int) -> Any:
    from scipy.sparse import csr_array

    once = np.ones(len(labels), np.int64)
    return csr_array((once, (labels, decisions)), shape=(classes, classes))  # adds up what is in one place


def _expect_shape(what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise InputError(
            f"{what}: expected shape {expected}, got {shape}; check images, attributes and classes"
        )


def _check_labels(predictions: Predictions, column: int) -> None:
    attribute, labels = predictions.schema.attributes[column], predictions.labels[:, column]
    wrong = np.flatnonzero((labels < UNLABELLED) | (labels >= len(attribute.classes)))
    if len(wrong):
        raise InputError(
            f"labels, row {wrong[0]}, attribute {attribute.name!r}: expected a class index below "
            f"{len(attribute.classes)} or -1 (unlabelled), got {labels[wrong[0]]}; check the labels' schema"
        )


def _check_scores(predictions: Predictions, column: int) -> None:
    attribute = predictions.schema.attributes[column]
    scores, _ = predictions.of_attribute(column)
    wrong = np.argwhere(~np.isfinite(scores))
    if len(wrong):
        row, index = wrong[0]
        raise InputError(
            f"scores, row {np.flatnonzero(predictions.labelled(column))[row]}, attribute {attribute.name!r}: "
            f"expected finite scores, got {scores[row, index]} for class {attribute.classes[index]!r}; "
            "the model has diverged: lower the learning rate and train again"
        )
