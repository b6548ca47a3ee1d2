"""results.json: the one document that evaluation hands to reports, tables and other programs."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise, takewhile
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from longtail import __version__
from longtail.documents import Amount, Count, Form, Part, Share
from longtail.evaluation.intervals import Estimate, intervals
from longtail.evaluation.metrics import (
    AttributeFigures,
    FrequencyGroup,
    Metrics,
    Predictions,
    evaluate,
    imbalance_ratio,
)
from longtail.evaluation.trust import CalibrationResults, SetResults, ThresholdResults

Length = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(min_length=1)]
Split = Annotated[str, Meta(pattern="^(train|val|test)$")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$")]
"""ISO 8601 date and time with the offset from UTC."""


class MethodInfo(Part, frozen=True):
    """What was trained: the method's name and the options that shape it, as their flags: "crl.kappa"."""

    name: Text
    options: dict[str, Any]


class ModelInfo(Part, frozen=True):
    """The backbone's name, and the number of parameters of the whole model."""

    backbone: Text
    parameters: Count


class DataInfo(Part, frozen=True):
    """The data's name, images of every split there is, and the height and width that the model sees."""

    name: str
    images: Annotated[dict[Split, Count], Meta(min_length=1)]
    image_size: tuple[Length, Length]


class TrainingInfo(Part, frozen=True):
    """What the training cost; step_shares holds the share of its time that each part took.

    Attributes:
        epochs: that were trained.
        judged_epoch: the one whose network was evaluated.
        linear: class-balanced accuracy on the validation images of the method `linear`, on the vectors of
            the network as published; null where no such network learns.
    """

    epochs: Count
    judged_epoch: Count
    seconds: Amount
    seconds_per_epoch: Amount | None
    images_per_second: Amount | None
    step_shares: dict[str, Amount | None]
    linear: Share | None = None


class Bounds(Part, frozen=True):
    """many: more than many_above training images; few: less than few_below; medium: between."""

    many_above: Count
    few_below: Count


Cell = tuple[Count, Count, Length]
"""True class, predicted class, and how many images: one at least."""


class ClassFacts(Part, frozen=True):
    """A class and how many images there are of it; test_count: in the evaluated split, whatever its name."""

    name: str
    train_count: Count
    test_count: Count
    frequency_group: FrequencyGroup


class ClassResults(ClassFacts, frozen=True):
    """How well one class is recognised; recall_low, recall_high: the 95 % interval of its recall."""

    recall: Share | None
    precision: Share | None
    f1: Share | None
    average_precision: Share | None
    recall_low: Share | None = None
    recall_high: Share | None = None


class AttributeResults(Part, frozen=True):
    """One attribute.

    Attributes:
        train_labelled: training images whose class is known.
        test_labelled: the same in the evaluated split, whatever its name.
        imbalance_ratio: most over fewest training images of a class that has any.
        metrics: its figures.
        classes: in the order of their indices.
        confusion: the cells of the confusion matrix that are not zero, in the order of its rows.
        calibration: null where no validation images were asked.
        threshold: null where the largest score decides.
        sets: null where none were asked for.
    """

    name: str
    train_labelled: Count
    test_labelled: Count
    imbalance_ratio: Annotated[float, Meta(ge=1)] | None
    metrics: Metrics[Estimate | None]
    classes: Annotated[tuple[ClassResults, ...], Meta(min_length=1)]
    confusion: tuple[Cell, ...]
    calibration: CalibrationResults | None = None
    threshold: ThresholdResults | None = None
    sets: SetResults | None = None

    def __post_init__(self) -> None:
        size, places = len(self.classes), [cell[:2] for cell in self.confusion]
        if places and max(map(max, places)) >= size:
            raise ValueError(f"confusion: expected classes below {size}")
        if any(one >= other for one, other in pairwise(places)):
            raise ValueError("confusion: expected each cell once, in the order of true and predicted class")
        sums = [0] * size
        for true, _, images in self.confusion:
            sums[true] += images
        if sums != [entry.test_count for entry in self.classes]:
            raise ValueError("confusion: expected rows that sum to the test_count of their class")

    def row(self, true: int) -> dict[int, int]:
        """Images of a class by the class that was predicted."""
        first = bisect_left(self.confusion, (true, 0, 0))
        own = takewhile(lambda cell: cell[0] == true, islice(self.confusion, first, None))
        return {predicted: images for _, predicted, images in own}


FaultName = Literal[
    "leak",
    "unfinished",
    "collapsed",
    "no-effect",
    "guessing",
    "no-gain",
    "not-fitted",
    "still-falling",
    "memorised",
    "small-validation",
]
"""What can go wrong in a training; see `longtail.training.faults`."""


class Fault(Part, frozen=True):
    """What went wrong, and a sentence about it."""

    name: FaultName
    text: Text


class Results(Part, frozen=True):
    """What one trained model achieves on one split; null stands for a figure that is undefined.

    Attributes:
        created: when it was evaluated.
        split: name of the evaluated split.
        decision: how scores became decisions.
        caveat: why the decision is only near to what it promises after such a training; null where it holds.
        training: None where the model was not trained here.
        faults: what went wrong in the training, the most serious first.
        mean: of each figure the mean over the attributes that define it.
        image_groups: groups that the evaluated images come in, which the intervals treat as one draw each
            where there are two or more; null where images stand for themselves.
    """

    schema_version: Literal[2]
    longtail_version: Text
    created: Time
    method: MethodInfo
    model: ModelInfo
    data: DataInfo
    seed: int
    split: Text
    decision: Text
    training: TrainingInfo | None
    groups: Bounds
    attributes: Annotated[tuple[AttributeResults, ...], Meta(min_length=1)]
    mean: Metrics[Estimate | None]
    faults: tuple[Fault, ...] = ()
    caveat: Text | None = None
    image_groups: Count | None = None


RESULTS = Form(Results, "results", source="the results.json of a run", anew="evaluate again")


@dataclass(frozen=True)
class RunInfo:
    """What the figures belong to; see `Results`."""

    method: MethodInfo
    model: ModelInfo
    data: DataInfo
    seed: int
    split: str
    training: TrainingInfo | None = None
    decision: str = "argmax"
    caveat: str | None = None


def build_results(predictions: Predictions, run: RunInfo) -> Results:
    """The results of one split, as they are read again from a file: None in the place of NaN.

    Args:
        predictions: scores and labels of the split, and the training counts.
        run: what they belong to.

    Raises:
        InputError: when an entry of `run` does not fit.
    """
    evaluation = evaluate(predictions)
    found = intervals(predictions, evaluation)
    attributes = tuple(
        _attribute(predictions, j, *parts)
        for j, parts in enumerate(zip(evaluation.attributes, found.attributes, found.recalls, strict=True))
    )
    results = Results(
        schema_version=2,
        longtail_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        method=run.method,
        model=run.model,
        data=run.data,
        seed=run.seed,
        split=run.split,
        decision=run.decision,
        training=run.training,
        faults=(),
        groups=Bounds(predictions.frequency.many_above, predictions.frequency.few_below),
        attributes=attributes,
        mean=found.mean,
        caveat=run.caveat,
        image_groups=_image_groups(predictions),
    )
    return RESULTS.decode(RESULTS.encode(results), f"results of {run.data.name}")


def _image_groups(predictions: Predictions) -> int | None:
    return None if predictions.groups is None else len(np.unique(predictions.groups))


def _attribute(
    predictions: Predictions,
    column: int,
    figures: AttributeFigures,
    metrics: Metrics[Estimate | None],
    recalls: tuple[Estimate | None, ...],
) -> AttributeResults:
    counts = predictions.train_counts[column]
    return AttributeResults(
        name=predictions.schema.attributes[column].name,
        train_labelled=int(counts.sum()),
        test_labelled=int(predictions.labelled(column).sum()),
        imbalance_ratio=imbalance_ratio(counts),
        metrics=metrics,
        classes=_classes(predictions, column, figures, recalls),
        confusion=cells(figures.confusion),
    )


def cells(confusion: Any) -> tuple[Cell, ...]:
    """The cells of a sparse matrix that are not zero, in the order of its rows.

    Example:
        >>> from scipy.sparse import coo_array
        >>> cells(coo_array([[3, 0], [1, 2]]))
        ((0, 0, 3), (1, 0, 1), (1, 1, 2))
    """
    found = confusion.tocoo()
    return tuple(sorted(zip(found.row.tolist(), found.col.tolist(), found.data.tolist(), strict=True)))


def _classes(
    predictions: Predictions,
    column: int,
    figures: AttributeFigures,
    recalls: tuple[Estimate | None, ...],
) -> tuple[ClassResults, ...]:
    columns = (
        predictions.train_counts[column],
        figures.confusion.sum(1),
        predictions.class_groups(column),
        figures.recall,
        figures.precision,
        figures.f1,
        figures.average_precision,
    )
    names = predictions.schema.attributes[column].classes
    ends = [recall and recall.low for recall in recalls], [recall and recall.high for recall in recalls]
    return tuple(ClassResults(*row) for row in zip(names, *(values.tolist() for values in columns), *ends))
