"""comparison.json from the runs of a comparison, and the page and tables made of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from longtail import __version__
from longtail.comparing.cells import shown_flags
from longtail.comparing.document import ADJUSTED, SCHEMA_VERSION, write_comparison
from longtail.comparing.feature_map import feature_map
from longtail.comparing.launcher import cores
from longtail.comparing.page import write_comparison_page
from longtail.comparing.queue import peak_memory
from longtail.comparing.tables import to_csv, to_latex, to_markdown
from longtail.errors import InputError
from longtail.evaluation.results import read_results
from longtail.files import write_text
from longtail.methods.parts import check_decision
from longtail.methods.rows import METHODS
from longtail.runs.evaluate import evaluate
from longtail.runs.folder import RunFolder
from longtail.runs.watcher import Watcher
from longtail.training.config import TrainConfig
from longtail.words import count

Json = dict[str, Any]

PICTURED = 4
"""Methods at most whose features are shown: the baseline, then those that rectify, then the others."""


@dataclass(frozen=True)
class Run:
    """One cell as it ended.

    Attributes:
        path: folder of the run.
        config: of the run.
        error: why it failed, None where it finished.
        decision: that it is judged by, None for its own.
    """

    path: Path
    config: TrainConfig
    error: str | None = None
    decision: str | None = None

    def results(self) -> Json:
        """Its results.json, by its own decision."""
        return read_results(RunFolder(self.path).results)


@dataclass(frozen=True)
class Entrant:
    """A method of the comparison.

    Attributes:
        label: its name in tables.
        runs: with distinct seeds, at least one.
        tuned: what was tried before, as comparison.json holds it, or None.
    """

    label: str
    runs: tuple[Run, ...]
    tuned: Json | None = None

    @property
    def finished(self) -> tuple[Run, ...]:
        """The runs that did not fail."""
        return tuple(run for run in self.runs if run.error is None)


@dataclass(frozen=True)
class Circumstances:
    """What comparison.json says beside the methods: command, machine, epochs and seconds of a run."""

    command: str
    machine: str
    epochs: int | None
    seconds: float | None


def publish(
    folder: Path, entrants: Sequence[Entrant], baseline: str, about: Circumstances, watcher: Watcher
) -> Json:
    """Write comparison.json, .html, .md, .csv and .tex, and return the document.

    The runs are also evaluated against the prior, where their method allows that and they are not yet.

    Raises:
        InputError: when no run finished.
    """
    document = document_of(folder, entrants, baseline, about, watcher)
    write_comparison(folder / "comparison.json", document)
    write_comparison_page(folder / "comparison.html", document)
    for ending, written in (("md", to_markdown), ("csv", to_csv), ("tex", to_latex)):
        write_text(folder / f"comparison.{ending}", written(document))
    return document


def document_of(
    folder: Path, entrants: Sequence[Entrant], baseline: str, about: Circumstances, watcher: Watcher
) -> Json:
    """The document that `comparison.schema.json` describes; its paths are relative to `folder`."""
    order = sorted(entrants, key=lambda entrant: entrant.label != baseline)  # facts come from the baseline
    first = next((entrant.finished[0].results() for entrant in order if entrant.finished), None)
    if first is None:
        run = entrants[0].runs[0]
        name = f"{entrants[0].label}, seed {run.config.seed}"
        raise InputError(f"every run failed, nothing to compare; {name}: {run.error}")
    entrants = _decided(entrants, watcher)
    return {
        "schema_version": SCHEMA_VERSION,
        "longtail_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": about.command,
        "machine": about.machine,
        "data": first["data"],
        "attributes": [_attribute(attribute) for attribute in first["attributes"]],
        "budget": {"epochs": about.epochs, "seconds": about.seconds},
        "baseline": baseline,
        "methods": [_method(entrant, folder) for entrant in entrants],
        "features": _features(order, watcher),
    }


def this_machine() -> str:
    """Where the trainings ran, in words."""
    gpus = [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())]
    return ", ".join([platform.machine(), count(cores(), "core"), *sorted(set(gpus))])


def _decided(entrants: Sequence[Entrant], watcher: Watcher) -> list[Entrant]:
    """The entrants with their finished runs evaluated by all decisions that they are shown with.

    A run that cannot be evaluated by the decision it is judged by has failed.
    """
    runs = [run for entrant in entrants for run in entrant.finished]
    waiting = {path: (run, d) for run in runs for d in _shown(run) if not (path := _by(run, d)).exists()}
    faults: dict[Path, str] = {}
    for done, (path, (run, decision)) in enumerate(waiting.items(), 1):
        try:
            accelerator, split = run.config.accelerator, run.results()["split"]
            evaluate(run.path, split=split, decision=decision, accelerator=accelerator, output=path)
        except InputError as error:
            watcher.say(f"{run.path.name}: not evaluated by {decision}: {error}")
            faults[path] = str(error)
        watcher.progress("evaluating by other decisions", done, len(waiting))

    def judged(run: Run) -> Run:
        return run if run.error else replace(run, error=faults.get(_by(run, run.decision)))

    return [replace(entrant, runs=tuple(map(judged, entrant.runs))) for entrant in entrants]


def _shown(run: Run) -> list[str]:
    """The decisions that a run is shown with, beside its own."""
    shown = [] if run.decision is None else [run.decision]
    if run.decision is None and run.results()["decision"] != ADJUSTED:
        with suppress(InputError):
            check_decision(run.config.method, ADJUSTED, run.config.method_options)
            shown.append(ADJUSTED)
    return shown


def _by(run: Run, decision: str | None) -> Path:
    return RunFolder(run.path).results_by(decision)


def _attribute(attribute: Json) -> Json:
    kept = ("name", "train_count", "test_count", "frequency_group")
    classes = [{key: entry[key] for key in kept} for entry in attribute["classes"]]
    return {**{key: attribute[key] for key in ("name", "imbalance_ratio")}, "classes": classes}


def _method(entrant: Entrant, folder: Path) -> Json:
    run = entrant.runs[0]
    model = next((found.results()["model"] for found in entrant.finished), None)
    return {
        "name": entrant.label,
        "flags": shown_flags(run.config) + (["--decision", run.decision] if run.decision else []),
        "backbone": model["backbone"] if model else run.config.named_backbone or "not known",
        "parameters": model["parameters"] if model else None,
        "tuned": entrant.tuned,
        "cells": [_cell(run, folder) for run in entrant.runs],
    }


def _cell(run: Run, folder: Path) -> Json:
    place = Path(os.path.relpath(run.path, folder)).as_posix()
    cell: Json = {"seed": run.config.seed, "run": place, "status": "failed", "error": run.error}
    if run.error is not None:
        return {**cell, "own_decision": None, "training": None, "decisions": {}}
    results = read_results(_by(run, run.decision))
    others = [_by(run, decision) for decision in _shown(run)]
    found = [results, *(read_results(path) for path in others if path.exists())]
    figures = {result["decision"]: _figures(result) for result in found}
    decided = {"own_decision": results["decision"], "training": _training(run, results)}
    return {**cell, "status": "finished", **decided, "decisions": figures}


def _training(run: Run, results: Json) -> Json | None:
    training = results["training"]
    if training is None:
        return None
    kept = {key: training[key] for key in ("epochs", "seconds", "images_per_second")}
    return {**kept, "peak_memory_bytes": peak_memory(run.path)}


def _figures(results: Json) -> Json:
    attributes = [
        {"metrics": _values(a["metrics"]), "recall": [entry["recall"] for entry in a["classes"]]}
        for a in results["attributes"]
    ]
    return {"mean": _values(results["mean"]), "attributes": attributes}


def _values(metrics: Json) -> dict[str, float | None]:
    """The figures without their intervals over images: here intervals are over seeds."""
    return {name: None if metric is None else metric["value"] for name, metric in metrics.items()}


def _features(order: Sequence[Entrant], watcher: Watcher) -> Json | None:
    """Features of a few methods on the test images of one seed; `order` begins with the baseline."""
    baseline, *others = [entrant for entrant in order if entrant.finished]
    others.sort(key=lambda entrant: METHODS[entrant.runs[0].config.method].objective != "crl")
    seed = baseline.finished[0].config.seed
    shown = {e.label: r.path for e in (baseline, *others) for r in e.finished if r.config.seed == seed}
    try:
        return feature_map(dict(list(shown.items())[:PICTURED]), watcher)
    except InputError as error:
        watcher.say(f"no picture of the features: {error}")
        return None
