"""comparison.json: many methods on one data set with paired seeds. null stands for undefined or unknown."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from longtail.documents import Amount, Count, Form, Part, Share
from longtail.evaluation.metrics import Metrics
from longtail.evaluation.results import ClassFacts, DataInfo, Fault, Text, Time
from longtail.methods.options import DecisionName


class AttributeFacts(Part, frozen=True):
    """What is recognised.

    `imbalance_ratio` is most over fewest training images of a class that has any; null without training
    images.
    """

    name: str
    imbalance_ratio: Annotated[float, Meta(ge=1)] | None
    classes: Annotated[tuple[ClassFacts, ...], Meta(min_length=1)]


class Budget(Part, frozen=True):
    """What every training was given; null where it was not limited."""

    epochs: Count | None
    seconds: Amount | None


class Trial(Part, frozen=True):
    """Settings that were tried; `validation` is class-balanced accuracy, null where the training failed."""

    flags: tuple[str, ...]
    validation: Share | None


class Tuning(Part, frozen=True):
    """What was tried for a method, and the index of the trial that was chosen."""

    trials: Annotated[tuple[Trial, ...], Meta(min_length=1)]
    chosen: Count

    def __post_init__(self) -> None:
        if self.chosen >= len(self.trials):
            raise ValueError(f"expected chosen to be the index of a trial, got {self.chosen}")


class TrainingCost(Part, frozen=True):
    """What one training took; the peak is that of its process meanwhile, null where that is not known."""

    epochs: Count
    seconds: Amount
    images_per_second: Amount | None
    peak_memory_bytes: Count | None


class AttributeMetrics(Part, frozen=True):
    """Figures of one attribute, and the recall of every class; null for a class without test images."""

    metrics: Metrics[Share | None]
    recall: tuple[Share | None, ...]


class DecisionFigures(Part, frozen=True, omit_defaults=True):
    """Figures on the test images by one decision; `mean` is over the attributes that define a figure.

    `caveat` says why the decision is only near to what it promises after such a training; it is left out
    where the decision holds.
    """

    mean: Metrics[Share | None]
    attributes: tuple[AttributeMetrics, ...]
    caveat: Text | None = None


class Outcome(Part, frozen=True, omit_defaults=True):
    """How one method ended with one seed.

    Attributes:
        seed: of the run.
        run: its folder, relative to the document.
        status: whether the run and its own decision were made.
        error: one line; null where it finished.
        own_decision: how the method itself decides, a key of `decisions`; null where it failed.
        training: null where it failed, or the model was not trained here.
        decisions: by how scores became decisions; empty where it failed.
        faults: what went wrong in the training; left out where nothing did.
    """

    seed: int
    run: str
    status: Literal["finished", "failed"]
    error: str | None
    own_decision: DecisionName | None
    training: TrainingCost | None
    decisions: dict[DecisionName, DecisionFigures]
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if not self.finished and (self.error is None or self.decisions or self.own_decision is not None):
            raise ValueError("expected an error, no decisions and no own_decision in a failed cell")
        if self.finished and (self.error is not None or self.own_decision not in self.decisions):
            raise ValueError("expected no error, and an own_decision among the decisions of a finished cell")

    @property
    def finished(self) -> bool:
        """Whether there are figures."""
        return self.status == "finished"

    def by(self, decision: DecisionName | None) -> DecisionFigures | None:
        """Figures by a decision, by the method's own where it is None; None where that was not made."""
        name = decision or self.own_decision
        return None if name is None else self.decisions.get(name)


class ComparedMethod(Part, frozen=True):
    """A method: its label in tables, the flags it was trained with, and its runs, one cell a seed."""

    name: Text
    flags: tuple[str, ...]
    backbone: Text
    parameters: Count | None
    tuned: Tuning | None
    cells: tuple[Outcome, ...]

    def __post_init__(self) -> None:
        if len({cell.seed for cell in self.cells}) < len(self.cells):
            raise ValueError(f"expected one cell a seed for {self.name!r}")


class FeatureMap(Part, frozen=True):
    """Test images in the plane, by their features.

    Attributes:
        attribute: index of the attribute whose classes are shown.
        labels: class index of every image; all images are labelled.
        points: by method, the x and y of every image.
    """

    attribute: Count
    labels: tuple[Count, ...]
    points: dict[str, tuple[tuple[float, float], ...]]

    def __post_init__(self) -> None:
        for name, points in self.points.items():
            if len(points) != len(self.labels):
                raise ValueError(f"expected {len(self.labels)} points for {name!r}, got {len(points)}")


class ComparisonDocument(Part, frozen=True):
    """Methods trained on one data set with paired seeds; all are compared with the baseline."""

    schema_version: Literal[1]
    longtail_version: Text
    created: Time
    command: str
    machine: str
    data: DataInfo
    attributes: Annotated[tuple[AttributeFacts, ...], Meta(min_length=1)]
    budget: Budget
    baseline: Text
    methods: Annotated[tuple[ComparedMethod, ...], Meta(min_length=1)]
    features: FeatureMap | None

    def __post_init__(self) -> None:
        names = {method.name for method in self.methods}
        if len(names) < len(self.methods):
            raise ValueError("expected distinct names of methods")
        if self.baseline not in names:
            raise ValueError(f"expected the baseline to be the name of a method, got {self.baseline!r}")
        sizes = [len(attribute.classes) for attribute in self.attributes]
        for cell in (cell for method in self.methods for cell in method.cells):
            for decision, figures in cell.decisions.items():
                if [len(attribute.recall) for attribute in figures.attributes] != sizes:
                    where = f"in {cell.run} by {decision}"
                    raise ValueError(f"expected recalls of {sizes} classes, one list each, {where}")
        if self.features is not None:
            _check_features(self.features, names, sizes)

    @property
    def reference(self) -> ComparedMethod:
        """The baseline."""
        return next(method for method in self.methods if method.name == self.baseline)


def _check_features(features: FeatureMap, names: set[str], sizes: list[int]) -> None:
    """Refuse features whose method, attribute or classes are not among those compared."""
    if features.attribute >= len(sizes):
        raise ValueError(f"expected the features' attribute to be the index of one, got {features.attribute}")
    if any(label >= sizes[features.attribute] for label in features.labels):
        expected = f"class indices below {sizes[features.attribute]}"
        raise ValueError(f"expected the features' labels to be {expected}")
    unknown = next((name for name in features.points if name not in names), None)
    if unknown is not None:
        raise ValueError(f"expected the features' points by names of methods, got {unknown!r}")


FILE, PAGE = "comparison.json", "comparison.html"
"""Names of the files in the folder of a comparison."""

COMPARISON = Form(
    type=ComparisonDocument,
    kind="results of a comparison",
    source="the comparison.json of a comparison",
    anew="compare again",
)
