"""comparison.json from the runs of a comparison, and the page and tables made of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from msgspec import ValidationError, convert

from longtail import __version__
from longtail.comparing.cells import shown_flags
from longtail.comparing.document import (
    COMPARISON,
    FILE,
    PAGE,
    AttributeFacts,
    AttributeMetrics,
    Budget,
    ComparedMethod,
    ComparisonDocument,
    DecisionFigures,
    FeatureMap,
    Outcome,
    TrainingCost,
    Tuning,
)
from longtail.comparing.feature_map import feature_map
from longtail.comparing.figures import ADJUSTED
from longtail.comparing.latex import to_latex
from longtail.comparing.page import render_comparison
from longtail.comparing.queue import peak_memory
from longtail.comparing.tables import to_csv, to_markdown
from longtail.errors import InputError
from longtail.evaluation.intervals import Estimate
from longtail.evaluation.results import RESULTS, Results, TrainingInfo
from longtail.files import write_text
from longtail.methods.find import is_known, row_of
from longtail.methods.options import DecisionName
from longtail.methods.recipe import check_decision
from longtail.runs.evaluate import evaluate
from longtail.runs.folder import RunFolder
from longtail.threads import cores
from longtail.training.config import TrainConfig
from longtail.training.watcher import Watcher
from longtail.words import count

PICTURED = 4
"""Methods at most whose features are shown: the baseline, then those that rectify, then the others."""


@dataclass(frozen=True)
class CellRun:
    """The run of one cell as it ended.

    Attributes:
        error: why it failed, None where it finished.
        decision: that it is judged by, None for its own.
    """

    path: Path
    config: TrainConfig
    error: str | None = None
    decision: DecisionName | None = None

    def results(self, decision: DecisionName | None = None) -> Results:
        """Its results by a decision; None for its own."""
        return RESULTS.read(self.place(decision))

    def place(self, decision: DecisionName | None) -> Path:
        """The file of its results by a decision."""
        return RunFolder(self.path).results_by(decision)

    def shown_by(self) -> list[DecisionName]:
        """The decisions that it is shown with, beside its own."""
        if self.decision is not None:
            return [self.decision]
        if self.results().decision != ADJUSTED:
            with suppress(InputError):
                full = self.config.recipe
                check_decision(self.config.method, ADJUSTED, full)
                return [ADJUSTED]
        return []


@dataclass(frozen=True)
class Entrant:
    """A method of the comparison: its name in tables, runs with distinct seeds, and what was tried before."""

    label: str
    runs: tuple[CellRun, ...]
    tuned: Tuning | None = None

    @property
    def finished(self) -> tuple[CellRun, ...]:
        """The runs that did not fail."""
        return tuple(run for run in self.runs if run.error is None)


@dataclass(frozen=True)
class Circumstances:
    """What comparison.json says beside the methods: what was typed, where it ran, and with what budget."""

    command: str
    machine: str
    budget: Budget


def publish(
    folder: Path, entrants: Sequence[Entrant], baseline: str, about: Circumstances, watcher: Watcher
) -> ComparisonDocument:
    """Write comparison.json, .html, .md, .csv and .tex, and return the document.

    The runs are also evaluated against the prior, where their method allows that and they are not yet.

    Raises:
        InputError: when no run finished.
    """
    document = document_of(folder, entrants, baseline, about, watcher)
    COMPARISON.write(folder / FILE, document)
    write_text(folder / PAGE, render_comparison(document))
    for ending, written in {"md": to_markdown, "csv": to_csv, "tex": to_latex}.items():
        write_text((folder / FILE).with_suffix(f".{ending}"), written(document))
    return document


def document_of(
    folder: Path, entrants: Sequence[Entrant], baseline: str, about: Circumstances, watcher: Watcher
) -> ComparisonDocument:
    """The comparison as a document; its paths are relative to `folder`."""
    order = sorted(entrants, key=lambda entrant: entrant.label != baseline)  # facts come from the baseline
    first = next((entrant.finished[0].results() for entrant in order if entrant.finished), None)
    if first is None:
        run = entrants[0].runs[0]
        name = f"{entrants[0].label}, seed {run.config.seed}"
        raise InputError(f"every run failed, nothing to compare; {name}: {run.error}")
    return ComparisonDocument(
        schema_version=1,
        longtail_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=about.command,
        machine=about.machine,
        data=first.data,
        attributes=tuple(convert(a, AttributeFacts, from_attributes=True) for a in first.attributes),
        budget=about.budget,
        baseline=baseline,
        methods=tuple(_method(entrant, folder) for entrant in _decided(entrants, watcher)),
        features=_features(order, watcher),
    )


def this_machine() -> str:
    """Where the trainings ran, in words."""
    gpus = [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())]
    return ", ".join([platform.machine(), count(cores(), "core"), *sorted(set(gpus))])


def _decided(entrants: Sequence[Entrant], watcher: Watcher) -> list[Entrant]:
    """The entrants with their finished runs evaluated by all decisions that they are shown with.

    A run that cannot be evaluated by the decision it is judged by has failed.
    """
    runs = [run for entrant in entrants for run in entrant.finished]
    places = {run.place(decision): (run, decision) for run in runs for decision in run.shown_by()}
    waiting = {path: pair for path, pair in places.items() if not path.exists()}
    faults: dict[Path, str] = {}
    for done, (path, (run, decision)) in enumerate(waiting.items(), 1):
        try:
            accelerator, split = run.config.accelerator, run.results().split
            evaluate(run.path, split=split, decision=decision, accelerator=accelerator, output=path)
        except InputError as error:
            watcher.say(f"{run.path.name}: not evaluated by {decision}: {error}")
            faults[path] = str(error)
        watcher.progress("evaluating by other decisions", done, len(waiting))

    def judged(run: CellRun) -> CellRun:
        return run if run.error else replace(run, error=faults.get(run.place(run.decision)))

    return [replace(entrant, runs=tuple(map(judged, entrant.runs))) for entrant in entrants]


def _method(entrant: Entrant, folder: Path) -> ComparedMethod:
    run = entrant.runs[0]
    model = next((found.results().model for found in entrant.finished), None)
    decision = [] if run.decision is None else ["--decision", run.decision]
    return ComparedMethod(
        name=entrant.label,
        flags=(*shown_flags(run.config), *decision),
        backbone=model.backbone if model else run.config.named_backbone or "not known",
        parameters=model.parameters if model else None,
        tuned=entrant.tuned,
        cells=tuple(_outcome(run, folder) for run in entrant.runs),
    )


def _outcome(run: CellRun, folder: Path) -> Outcome:
    seed, place = run.config.seed, Path(os.path.relpath(run.path, folder)).as_posix()
    if run.error is not None:
        return Outcome(seed, place, "failed", run.error, None, None, {})
    results = run.results(run.decision)
    others = [run.results(other) for other in run.shown_by() if run.place(other).exists()]
    decisions: dict[DecisionName, DecisionFigures] = {
        _known(r.decision, run.path): _figures(r) for r in (results, *others)
    }
    return Outcome(
        seed=seed,
        run=place,
        status="finished",
        error=None,
        own_decision=next(iter(decisions)),
        training=_cost(run, results.training),
        faults=results.faults,
        decisions=decisions,
    )


def _known(decision: str, run: Path) -> DecisionName:
    try:
        return convert(decision, DecisionName)
    except ValidationError:
        raise InputError(
            f"{run}: has results of an unknown decision {decision!r}; evaluate it again"
        ) from None


def _cost(run: CellRun, info: TrainingInfo | None) -> TrainingCost | None:
    peak = peak_memory(run.path)
    return info and TrainingCost(info.epochs, info.seconds, info.images_per_second, peak)


def _figures(results: Results) -> DecisionFigures:
    def value(estimate: Estimate | None) -> float | None:
        return estimate and estimate.value  # without its interval over images: here they are over seeds

    attributes = (
        AttributeMetrics(a.metrics.map(value), tuple(c.recall for c in a.classes)) for a in results.attributes
    )
    return DecisionFigures(results.mean.map(value), tuple(attributes), results.caveat)


def _rectifies(method: str) -> bool:
    return is_known(method) and "crl" in row_of(method).reads


def _features(order: Sequence[Entrant], watcher: Watcher) -> FeatureMap | None:
    """Features of a few methods on the test images of one seed; `order` begins with the baseline."""
    baseline, *others = [entrant for entrant in order if entrant.finished]
    others.sort(key=lambda entrant: not _rectifies(entrant.runs[0].config.method))
    seed = baseline.finished[0].config.seed
    shown = {e.label: r.path for e in (baseline, *others) for r in e.finished if r.config.seed == seed}
    try:
        return feature_map(dict(list(shown.items())[:PICTURED]), watcher)
    except InputError as error:
        watcher.say(f"no picture of the features: {error}")
        return None
