"""What is computed from comparison.json: figures of methods over seeds, differences and gains.

Methods are compared by the differences of cells that share a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from longtail.comparing.document import ComparedMethod, ComparisonDocument, DecisionFigures
from longtail.evaluation.intervals import Estimate, paired_difference
from longtail.evaluation.metrics import Metrics
from longtail.methods.options import DecisionName

ADJUSTED: DecisionName = "prior"
"""The decision that `Standing.adjusted` shows: scores divided by the classes' shares in training."""


LEAST_SEEDS = 3
"""Two differences have one degree of freedom: their interval is often wider than 100 points."""


@dataclass(frozen=True)
class Difference:
    """Mean of method - baseline over the seeds both have.

    Attributes:
        value: the mean.
        low, high: its 95 % t-interval; None where fewer than `LEAST_SEEDS` seeds are paired.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Claim:
    """What the best of several methods adds to the baseline, with intervals that bear being the best of many.

    Attributes:
        rivals: methods other than the baseline, by whose number the intervals are corrected (Bonferroni).
        seeds: for these images and other seeds.
        images: for other images of the same kind; None where the number of images is not known.
    """

    rivals: int
    seeds: Estimate
    images: Estimate | None


@dataclass(frozen=True)
class Figure:
    """One figure of a method over its finished seeds.

    Attributes:
        mean: over the seeds for which it is defined.
        sd: standard deviation over them, with n - 1; None for a single seed.
        difference: to the baseline; None for the baseline itself and where fewer than two seeds can be
            paired.
    """

    mean: float
    sd: float | None
    difference: Difference | None


Figures = Metrics[Figure | None]
"""Of every metric its figure, None where it is defined for no seed."""


@dataclass(frozen=True)
class Standing:
    """Where a method stands in the comparison.

    Attributes:
        method: its name.
        own: figures at the method's own decision; differences to the baseline's own decision.
        adjusted: figures at the decision `ADJUSTED`; differences to the baseline adjusted alike. All
            None where the method has no such decision.
        own_caveat: why the own decision is only near to what it promises, or None.
        adjusted_caveat: the same of the decision `ADJUSTED`.
        finished: number of finished cells.
        failed: number of failed cells.
        seconds: mean training time of a finished cell, or None.
        images_per_second: mean over finished cells, or None.
        peak_memory_bytes: largest of all finished cells, or None.
    """

    method: str
    own: Figures
    adjusted: Figures
    own_caveat: str | None
    adjusted_caveat: str | None
    finished: int
    failed: int
    seconds: float | None
    images_per_second: float | None
    peak_memory_bytes: int | None


@dataclass(frozen=True)
class Gain:
    """What a method adds to a figure of the baseline, against how rare a class or skewed an attribute is.

    Attributes:
        name: of the class or the attribute.
        imbalance: largest class / this class, or the attribute's imbalance ratio, in training images;
            None without training images.
        mean: of the differences over the seeds both have; None where there is none.
        low: smallest of these differences, or None.
        high: largest of these differences, or None.
    """

    name: str
    imbalance: float | None
    mean: float | None
    low: float | None
    high: float | None


def standings(document: ComparisonDocument) -> list[Standing]:
    """Every method's standing, in the order of the document."""
    return [_standing(method, document.reference) for method in document.methods]


def ranking(document: ComparisonDocument) -> dict[str, float]:
    """Class-balanced accuracy of each method that has one, by its own decision, over the seeds that all have.

    Another seed is another split, so that means over different seeds cannot be compared. Empty where there is
    no such seed.
    """
    found = {m.name: values for m in document.methods if (values := _by_seed(m, None, _mean_balanced))}
    common = set[int].intersection(*map(set, found.values())) if found else set[int]()
    return {name: fmean(values[seed] for seed in common) for name, values in found.items() if common}


def claim(document: ComparisonDocument, best: str) -> Claim | None:
    """What can be said of the method with the highest class-balanced accuracy, each by its own decision.

    An interval that holds for one difference is too narrow for the largest of many. Those here hold for all
    together, so that of equal methods at most one comparison in 40 seems to show a gain.

    Args:
        document: the comparison.
        best: name of the method.

    Returns:
        None for the baseline, and where fewer than `LEAST_SEEDS` seeds are paired.
    """
    method = next(found for found in document.methods if found.name == best)
    paired = _paired(*(_by_seed(m, None, _mean_balanced) for m in (method, document.reference)))
    if method is document.reference or len(paired[0]) < LEAST_SEEDS:
        return None
    rivals = sum(
        any(cell.finished for cell in m.cells) for m in document.methods if m is not document.reference
    )
    ratio = _test_to_train(document)
    return Claim(
        rivals,
        paired_difference(*paired, comparisons=rivals),
        None if ratio is None else paired_difference(*paired, comparisons=rivals, test_to_train=ratio),
    )


def widening(document: ComparisonDocument) -> float | None:
    """How many times as wide an interval over seeds has to be for other images, √(1 + n r); see
    `paired_difference`. None where the number of images is not known, or too few seeds are paired.
    """
    seeds = max(len({cell.seed for cell in method.cells if cell.finished}) for method in document.methods)
    ratio = _test_to_train(document)
    return None if ratio is None or seeds < LEAST_SEEDS else sqrt(1 + seeds * ratio)


def _test_to_train(document: ComparisonDocument) -> float | None:
    images = document.data.images
    return images["test"] / images["train"] if images.get("test") and images.get("train") else None


def gains(document: ComparisonDocument, method: ComparedMethod) -> list[Gain]:
    """What a method adds to the baseline, over the seeds that both finished; each decides in its own way.

    The gain in class-balanced accuracy of every attribute, or, of a single attribute, the gain in recall
    of every class, in the order of the document:

        gain_k = mean_s (recall_k(method, s) - recall_k(baseline, s)),    imbalance_k = max_i n_i / n_k

    s runs over the seeds, n are training images.
    """
    both, (first, *others) = (method, document.reference), document.attributes
    if others:
        attributes = enumerate(document.attributes)
        return [_gain(*both, a.name, a.imbalance_ratio, _balanced(j)) for j, a in attributes]
    most = max(c.train_count for c in first.classes)
    rarities = [most / c.train_count if c.train_count else None for c in first.classes]
    return [_gain(*both, c.name, rarities[k], _recall(k)) for k, c in enumerate(first.classes)]


Value = Callable[[DecisionFigures], float | None]
"""Reads a number out of the figures of one decision."""


def _standing(method: ComparedMethod, baseline: ComparedMethod) -> Standing:
    costs = [cell.training for cell in method.cells if cell.finished and cell.training]
    speeds = [cost.images_per_second for cost in costs if cost.images_per_second is not None]
    finished = sum(cell.finished for cell in method.cells)
    return Standing(
        method=method.name,
        own=_figures(method, baseline, None),
        adjusted=_figures(method, baseline, ADJUSTED),
        own_caveat=_caveat(method, None),
        adjusted_caveat=_caveat(method, ADJUSTED),
        finished=finished,
        failed=len(method.cells) - finished,
        seconds=_mean([cost.seconds for cost in costs]),
        images_per_second=_mean(speeds),
        peak_memory_bytes=max(
            (cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes is not None), default=None
        ),
    )


def _caveat(method: ComparedMethod, decision: DecisionName | None) -> str | None:
    """That of the first finished cell which has one: cells differ by their seeds alone."""
    found = (cell.by(decision) for cell in method.cells)
    return next((figures.caveat for figures in found if figures is not None and figures.caveat), None)


def _figures(method: ComparedMethod, baseline: ComparedMethod, decision: DecisionName | None) -> Figures:
    def of(metric: str) -> Figure | None:
        own, other = (_by_seed(m, decision, lambda found: found.mean.of(metric)) for m in (method, baseline))
        return _figure(own, {} if method is baseline else other)

    return Metrics.each(of)


def _figure(own: Mapping[int, float], other: Mapping[int, float]) -> Figure | None:
    if not own:
        return None
    return Figure(
        mean=fmean(own.values()),
        sd=stdev(own.values()) if len(own) > 1 else None,
        difference=_difference(*_paired(own, other)),
    )


def _difference(own: Sequence[float], other: Sequence[float]) -> Difference | None:
    if len(own) < 2:
        return None
    found = paired_difference(own, other)
    enough = len(own) >= LEAST_SEEDS
    return Difference(found.value, found.low if enough else None, found.high if enough else None)


def _paired(own: Mapping[int, float], other: Mapping[int, float]) -> tuple[list[float], list[float]]:
    """Those of the seeds that both have."""
    shared = [seed for seed in own if seed in other]
    return [own[seed] for seed in shared], [other[seed] for seed in shared]


def _by_seed(method: ComparedMethod, decision: DecisionName | None, value: Value) -> dict[int, float]:
    """The value of every finished cell where it is defined; decision None is each cell's own."""
    found = {cell.seed: cell.by(decision) for cell in method.cells}
    values = {seed: value(figures) for seed, figures in found.items() if figures is not None}
    return {seed: number for seed, number in values.items() if number is not None}


def _gain(
    method: ComparedMethod, baseline: ComparedMethod, name: str, imbalance: float | None, value: Value
) -> Gain:
    own, other = (_by_seed(m, None, value) for m in (method, baseline))
    differences = [own[seed] - other[seed] for seed in own if seed in other]
    low, high = min(differences, default=None), max(differences, default=None)
    return Gain(name, imbalance, _mean(differences), low, high)


def _mean_balanced(figures: DecisionFigures) -> float | None:
    return figures.mean.class_balanced_accuracy


def _recall(k: int) -> Value:
    return lambda figures: figures.attributes[0].recall[k]


def _balanced(j: int) -> Value:
    return lambda figures: figures.attributes[j].metrics.class_balanced_accuracy


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
