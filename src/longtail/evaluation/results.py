"""results.json: the one document that evaluation hands to reports, tables and other programs.

Its form is `results.schema.json` beside this file (JSON Schema, draft 2020-12), version 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

import numpy as np

from longtail import __version__
from longtail.evaluation.document import DocumentForm
from longtail.evaluation.intervals import Estimate, Intervals, bootstrap_intervals
from longtail.evaluation.metrics import AttributeFigures, Evaluation, Ints, Predictions, evaluate

SCHEMA_VERSION = 1


class MethodInfo(TypedDict):
    """What was trained: the method's name in the comparison table and its options, as JSON holds them."""

    name: str
    options: dict[str, Any]


class ModelInfo(TypedDict):
    """The backbone's name and the number of parameters of the whole model."""

    backbone: str
    parameters: int


class DataInfo(TypedDict):
    """The data's name, images of every split by name, and the (height, width) the model sees."""

    name: str
    images: dict[str, int]
    image_size: list[int]


class TrainingInfo(TypedDict):
    """What the training cost; a speed that is not finite is written as null."""

    epochs: int
    seconds: float
    seconds_per_epoch: float | None
    images_per_second: float | None
    step_shares: dict[str, float]


@dataclass(frozen=True)
class RunInfo:
    """What the figures belong to.

    Attributes:
        method: name and options.
        model: backbone and size.
        data: name, images of every split, image size.
        seed: of the run.
        split: name of the split the figures are of.
        training: costs, or None where the model was not trained here.
        decision: how scores became decisions.
    """

    method: MethodInfo
    model: ModelInfo
    data: DataInfo
    seed: int
    split: str
    training: TrainingInfo | None = None
    decision: str = "argmax"


def build_results(predictions: Predictions, run: RunInfo, *, resamples: int = 1000) -> dict[str, Any]:
    """The results of one split as a document that `results.schema.json` accepts.

    Args:
        predictions: scores and labels of the split, and the training counts.
        run: what they belong to.
        resamples: bootstrap draws behind the intervals; the draws have a seed of their own, so that
            the same predictions always have the same intervals.

    Raises:
        ValueError: when an entry of `run` does not fit the schema, or there are too few resamples.
    """
    evaluation = evaluate(predictions)
    intervals = bootstrap_intervals(predictions, evaluation, resamples=resamples)
    results = {
        "schema_version": SCHEMA_VERSION,
        "longtail_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **_run_entries(run),
        "groups": {
            "many_above": predictions.frequency.many_above,
            "few_below": predictions.frequency.few_below,
        },
        "attributes": _attributes(predictions, evaluation, intervals),
        "mean": _metrics(intervals.mean),
    }
    return _FORM.checked(results)


def write_results(path: str | os.PathLike[str], results: dict[str, Any]) -> None:
    """Write results to a file: all of it or nothing, NaN and infinities as null.

    Raises:
        ValueError: when the schema does not accept them; nothing is written then.
        InputError: when the file cannot be written.
    """
    _FORM.write(path, results)


def read_results(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The results in a file.

    Raises:
        InputError: when the file is missing, is not JSON, has another schema version, or does not fit
            the schema; then with the JSON path of the first fault.
    """
    return _FORM.read(path)


def _run_entries(run: RunInfo) -> dict[str, Any]:
    return {
        "method": run.method,
        "model": run.model,
        "data": run.data,
        "seed": run.seed,
        "split": run.split,
        "decision": run.decision,
        "training": run.training,
    }


def _attributes(
    predictions: Predictions, evaluation: Evaluation, intervals: Intervals
) -> list[dict[str, Any]]:
    return [
        {
            "name": attribute.name,
            "train_labelled": int(predictions.train_counts[j].sum()),
            "test_labelled": int(predictions.labelled(j).sum()),
            "imbalance_ratio": _imbalance_ratio(predictions.train_counts[j]),
            "metrics": _metrics(intervals.attributes[j]),
            "classes": _classes(predictions, j, evaluation.attributes[j]),
            "confusion": evaluation.attributes[j].confusion.tolist(),
        }
        for j, attribute in enumerate(predictions.schema.attributes)
    ]


def _classes(predictions: Predictions, column: int, figures: AttributeFigures) -> list[dict[str, Any]]:
    groups, images = predictions.class_groups(column), figures.confusion.sum(1)
    return [
        {
            "name": name,
            "train_count": int(predictions.train_counts[column, c]),
            "test_count": int(images[c]),
            "frequency_group": str(groups[c]),
            "recall": float(figures.recall[c]),
            "precision": float(figures.precision[c]),
            "f1": float(figures.f1[c]),
            "average_precision": float(figures.average_precision[c]),
        }
        for c, name in enumerate(predictions.schema.attributes[column].classes)
    ]


def _metrics(estimates: dict[str, Estimate | None]) -> dict[str, dict[str, float] | None]:
    return {name: None if found is None else found._asdict() for name, found in estimates.items()}


def _imbalance_ratio(train_counts: Ints) -> float | None:
    """Most over fewest training images; classes without any have no finite ratio and are left out."""
    counts = train_counts[train_counts > 0]
    return float(np.max(counts) / np.min(counts)) if len(counts) else None


def _confusion_faults(results: dict[str, Any]) -> Iterator[str]:
    """What a schema cannot say: a confusion matrix is square and its rows are the classes' images."""
    for j, attribute in enumerate(results["attributes"]):
        size, rows = len(attribute["classes"]), attribute["confusion"]
        if [len(row) for row in rows] != [size] * size:
            yield f"$.attributes[{j}].confusion: expected {size} rows of {size} numbers, one a class"
        elif [sum(row) for row in rows] != [entry["test_count"] for entry in attribute["classes"]]:
            yield f"$.attributes[{j}].confusion: expected rows that sum to the test_count of their class"


_FORM = DocumentForm(
    kind="results",
    schema="results.schema.json",
    version=SCHEMA_VERSION,
    further_faults=_confusion_faults,
    source="the results.json of a run",
    anew="evaluate again",
)
