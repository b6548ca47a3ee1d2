"""comparison.json: many methods on one data set with paired seeds, and what is computed from it.

Its form is `comparison.schema.json` beside this file (JSON Schema, draft 2020-12), version 1. A cell
is one method with one seed. Methods are compared by the differences of cells that share a seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from longtail.evaluation.document import DocumentForm
from longtail.evaluation.intervals import Estimate, paired_difference
from longtail.evaluation.metrics import METRICS

SCHEMA_VERSION = 1

ADJUSTED = "prior"
"""The decision that `Row.adjusted` shows: scores divided by the classes' shares in training."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One figure of a method over its finished seeds.

    Attributes:
        mean: over the seeds for which it is defined.
        sd: standard deviation over them, with n - 1; None for a single seed.
        difference: mean of method - baseline over the seeds both have, with its 95 % t-interval; None
            for the baseline itself and where fewer than two seeds can be paired.
    """

    mean: float
    sd: float | None
    difference: Estimate | None


Figures = dict[str, Figure | None]
"""A figure for every name in `METRICS`, None where it is defined for no seed."""


@dataclass(frozen=True)
class Row:
    """One method in the comparison table.

    Attributes:
        method: its name.
        own: figures at the method's own decision; differences to the baseline's own decision.
        adjusted: figures at the decision `ADJUSTED`; differences to the baseline adjusted alike. All
            None where the method has no such decision.
        finished: number of finished cells.
        failed: number of failed cells.
        seconds: mean training time of a finished cell, or None.
        images_per_second: mean over finished cells, or None.
        peak_memory_bytes: largest of all finished cells, or None.
    """

    method: str
    own: Figures
    adjusted: Figures
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


def write_comparison(path: str | os.PathLike[str], document: Json) -> None:
    """Write a comparison to a file: all of it or nothing, NaN and infinities as null.

    Raises:
        ValueError: when its form does not accept it; nothing is written then.
        InputError: when the file cannot be written.
    """
    _FORM.write(path, document)


def read_comparison(path: str | os.PathLike[str]) -> Json:
    """The comparison in a file.

    Raises:
        InputError: when the file is missing, is not JSON, has another schema version, or does not fit
            its form; then with the JSON path of the first fault.
    """
    return _FORM.read(path)


def summarise(document: Json) -> list[Row]:
    """A row for every method, in the order of the document.

    Args:
        document: what `read_comparison` gives.
    """
    baseline = method_named(document, document["baseline"])
    return [_row(method, baseline) for method in document["methods"]]


def recall_gains(document: Json, method: str) -> list[list[Gain]]:
    """For every attribute, the gain in recall of each of its classes, in the order of the document.

        gain_k = mean_s (recall_k(method, s) - recall_k(baseline, s)),    imbalance_k = max_i n_i / n_k

    s runs over the seeds that both finished, n are training images; each decides in its own way.

    Raises:
        ValueError: when the document has no such method.
    """
    return [
        [_gain(document, method, c["name"], _rarity(a, k), _recall(j, k)) for k, c in enumerate(a["classes"])]
        for j, a in enumerate(document["attributes"])
    ]


def attribute_gains(document: Json, method: str) -> list[Gain]:
    """The gain in class-balanced accuracy of each attribute, in the order of the document.

    Raises:
        ValueError: when the document has no such method.
    """
    return [
        _gain(document, method, a["name"], a["imbalance_ratio"], _balanced(j))
        for j, a in enumerate(document["attributes"])
    ]


def method_named(document: Json, name: str) -> Json:
    """The document's method of that name.

    Raises:
        ValueError: when there is none.
    """
    for method in document["methods"]:
        if method["name"] == name:
            return method
    raise ValueError(f"expected one of the document's methods, got {name!r}")


Value = Callable[[Json], float | None]
"""Reads a number out of the figures of one decision."""


def _row(method: Json, baseline: Json) -> Row:
    statuses = [cell["status"] for cell in method["cells"]]
    memory = _costs(method, "peak_memory_bytes")
    return Row(
        method=method["name"],
        own=_figures(method, baseline, None),
        adjusted=_figures(method, baseline, ADJUSTED),
        finished=statuses.count("finished"),
        failed=statuses.count("failed"),
        seconds=_mean(_costs(method, "seconds")),
        images_per_second=_mean(_costs(method, "images_per_second")),
        peak_memory_bytes=int(max(memory)) if memory else None,
    )


def _figures(method: Json, baseline: Json, decision: str | None) -> Figures:
    def of(metric: str) -> Figure | None:
        own, other = (_by_seed(m, decision, lambda found: found["mean"][metric]) for m in (method, baseline))
        return _figure(own, {} if method is baseline else other)

    return {metric: of(metric) for metric in METRICS}


def _figure(own: Mapping[int, float], other: Mapping[int, float]) -> Figure | None:
    if not own:
        return None
    shared = [seed for seed in own if seed in other]
    paired = [own[seed] for seed in shared], [other[seed] for seed in shared]
    return Figure(
        mean=fmean(own.values()),
        sd=stdev(own.values()) if len(own) > 1 else None,
        difference=paired_difference(*paired) if len(shared) > 1 else None,
    )


def _by_seed(method: Json, decision: str | None, value: Value) -> dict[int, float]:
    """The value of every finished cell where it is defined; decision None is each cell's own."""
    cells = [(c["seed"], c["decisions"].get(decision or c["own_decision"])) for c in method["cells"]]
    values = {seed: value(figures) for seed, figures in cells if figures is not None}
    return {seed: found for seed, found in values.items() if found is not None}


def _gain(document: Json, method: str, name: str, imbalance: float | None, value: Value) -> Gain:
    own, other = (_by_seed(method_named(document, m), None, value) for m in (method, document["baseline"]))
    differences = [own[seed] - other[seed] for seed in own if seed in other]
    low, high = (min(differences), max(differences)) if differences else (None, None)
    return Gain(name, imbalance, _mean(differences), low, high)


def _rarity(attribute: Json, k: int) -> float | None:
    counts = [c["train_count"] for c in attribute["classes"]]
    return max(counts) / counts[k] if counts[k] else None


def _recall(j: int, k: int) -> Value:
    return lambda figures: figures["attributes"][j]["recall"][k]


def _balanced(j: int) -> Value:
    return lambda figures: figures["attributes"][j]["metrics"]["class_balanced_accuracy"]


def _costs(method: Json, name: str) -> list[float]:
    finished = [c["training"] for c in method["cells"] if c["status"] == "finished" and c["training"]]
    return [training[name] for training in finished if training[name] is not None]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _faults(document: Json) -> Iterator[str]:
    """What a schema cannot say: names and indices that point at something, and lists that fit."""
    names = [method["name"] for method in document["methods"]]
    if len(set(names)) < len(names):
        yield "$.methods: expected distinct names"
    if document["baseline"] not in names:
        yield f"$.baseline: expected the name of a method, got {document['baseline']!r}"
    sizes = [len(attribute["classes"]) for attribute in document["attributes"]]
    for i, method in enumerate(document["methods"]):
        yield from _method_faults(f"$.methods[{i}]", method, sizes)
    if document["features"] is not None:
        yield from _feature_faults(document["features"], names, sizes)


def _method_faults(path: str, method: Json, sizes: list[int]) -> Iterator[str]:
    seeds = [cell["seed"] for cell in method["cells"]]
    if len(set(seeds)) < len(seeds):
        yield f"{path}.cells: expected one cell a seed"
    tuned = method["tuned"]
    if tuned is not None and tuned["chosen"] >= len(tuned["trials"]):
        yield f"{path}.tuned.chosen: expected the index of a trial, got {tuned['chosen']}"
    for i, cell in enumerate(method["cells"]):
        yield from _cell_faults(f"{path}.cells[{i}]", cell, sizes)


def _cell_faults(path: str, cell: Json, sizes: list[int]) -> Iterator[str]:
    failed, decisions = cell["status"] == "failed", cell["decisions"]
    if failed and (cell["error"] is None or decisions or cell["own_decision"] is not None):
        yield f"{path}: expected an error, no decisions and no own_decision in a failed cell"
    if not failed and (cell["error"] is not None or cell["own_decision"] not in decisions):
        yield f"{path}: expected no error, and an own_decision among the decisions of a finished cell"
    for name, figures in decisions.items():
        if [len(attribute["recall"]) for attribute in figures["attributes"]] != sizes:
            yield f"{path}.decisions.{name}.attributes: expected recalls of {sizes} classes, one list each"


def _feature_faults(features: Json, names: list[str], sizes: list[int]) -> Iterator[str]:
    j, labels = features["attribute"], features["labels"]
    if j >= len(sizes):
        yield f"$.features.attribute: expected the index of an attribute, got {j}"
    elif any(label >= sizes[j] for label in labels):
        yield f"$.features.labels: expected class indices below {sizes[j]}"
    for name, points in features["points"].items():
        if name not in names:
            yield f"$.features.points: expected names of methods, got {name!r}"
        elif len(points) != len(labels):
            yield f"$.features.points: expected {len(labels)} points for {name!r}, got {len(points)}"


_FORM = DocumentForm(
    kind="results of a comparison",
    schema="comparison.schema.json",
    version=SCHEMA_VERSION,
    further_faults=_faults,
    source="the comparison.json of a comparison",
    anew="compare again",
)
