"""What results.json holds; to be merged into `results`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from longtail.documents import Part
from longtail.evaluation.metrics import Metrics

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1)]
FrequencyGroup = Literal["many", "medium", "few"]


class Interval(Part, frozen=True):
    """A figure with its 95 % interval. (Merge with `intervals.Estimate`.)"""

    value: Share
    low: Share
    high: Share


class MethodInfo(Part, frozen=True):
    """What was trained: the method's name and the options that shape it."""

    name: Text
    options: dict[str, Any]


class ModelInfo(Part, frozen=True):
    """The network."""

    backbone: Text
    parameters: Count


class DataInfo(Part, frozen=True):
    """What it was trained and measured on."""

    name: str
    images: dict[str, Count]
    image_size: tuple[int, int]


class TrainingInfo(Part, frozen=True):
    """What the training cost."""

    epochs: Count
    seconds: Annotated[float, Meta(ge=0)]
    seconds_per_epoch: float | None
    images_per_second: float | None
    step_shares: dict[str, float | None]


class Bounds(Part, frozen=True):
    """many: more than many_above training images; few: less than few_below; medium: between."""

    many_above: Count
    few_below: Count


class ClassResults(Part, frozen=True):
    """One class."""

    name: str
    train_count: Count
    test_count: Count
    frequency_group: FrequencyGroup
    recall: Share | None
    precision: Share | None
    f1: Share | None
    average_precision: Share | None


class AttributeResults(Part, frozen=True):
    """One attribute; confusion has a row for each true class and a column for each predicted one."""

    name: str
    train_labelled: Count
    test_labelled: Count
    imbalance_ratio: float | None
    metrics: Metrics[Interval | None]
    classes: tuple[ClassResults, ...]
    confusion: tuple[tuple[int, ...], ...]


class Results(Part, frozen=True):
    """What one trained model achieves on one split; null stands for a figure that is undefined."""

    schema_version: Literal[1]
    longtail_version: Text
    created: Text
    method: MethodInfo
    model: ModelInfo
    data: DataInfo
    seed: int
    split: Text
    decision: Text
    training: TrainingInfo | None
    groups: Bounds
    attributes: tuple[AttributeResults, ...]
    mean: Metrics[Interval | None]
