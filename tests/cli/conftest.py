from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import longtail.runs
from longtail.cli import main
from longtail.evaluation.intervals import Estimate
from longtail.evaluation.metrics import Metrics
from longtail.evaluation.results import (
    RESULTS,
    AttributeResults,
    Bounds,
    ClassResults,
    DataInfo,
    MethodInfo,
    ModelInfo,
    Results,
)
from longtail.training.config import TrainConfig


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line that says what was wrong; fails when there is more or less than that."""
        assert (self.code, self.out) == (2, "")
        assert self.err.startswith("longtail: error: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("longtail: error: ").rstrip("\n")


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run one command line in this process, and undo what `main` does for a process of its own."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.delenv("LOCAL_RANK", raising=False)

    def run_it(*arguments: str) -> Ended:
        code = main([*arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    yield run_it
    logging.disable(logging.NOTSET)


@dataclass
class Job:
    """Stands for a module of longtail.runs: keeps what it was called with, does what the test says."""

    calls: list[SimpleNamespace] = field(default_factory=list)
    act: Callable[[SimpleNamespace], Any] = lambda call: None
    stands: str = "new"

    def called(self, name: str, **arguments: Any) -> Any:
        call = SimpleNamespace(name=name, **arguments)
        self.calls.append(call)
        return self.act(call)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Job:
    """In place of longtail.runs.train; a training writes results where `act` does not say otherwise."""
    job = Job(act=lambda call: tmp_path)

    def train(config: TrainConfig, **arguments: Any) -> Path:
        return job.called("train", config=config, **arguments)

    def plan(config: TrainConfig, *, overwrite: bool, watcher: Any) -> list[str]:
        job.called("plan", config=config, overwrite=overwrite, watcher=watcher)
        return ["images: 3 train", "the run would be written to runs/x"]

    def resumed_config(run: Path, method: str | None, devices: int | None) -> TrainConfig:
        job.called("resumed_config", run=run, method=method, devices=devices)
        return TrainConfig(data="photos", epochs=7)

    _replace(monkeypatch, "train", train=train, plan=plan)
    _replace(monkeypatch, "resuming", resumed_config=resumed_config, standing=lambda _: job.stands)
    _replace(monkeypatch, "places", output_of=lambda _: "runs/x")
    _replace(monkeypatch, "launcher", is_first_process=lambda: True)
    return job


@pytest.fixture
def evaluation(monkeypatch: pytest.MonkeyPatch) -> Job:
    """In place of longtail.runs.evaluate."""
    job = Job(act=lambda call: results())
    _replace(
        monkeypatch,
        "evaluate",
        evaluate=lambda run, **arguments: job.called("evaluate", run=run, **arguments),
    )
    return job


def _replace(
    monkeypatch: pytest.MonkeyPatch, name: str, package: ModuleType = longtail.runs, **functions: Any
) -> None:
    module = SimpleNamespace(**functions)
    monkeypatch.setitem(sys.modules, f"{package.__name__}.{name}", module)
    monkeypatch.setattr(package, name, module, raising=False)


def results() -> Results:
    """Results of a model with two classes."""
    figure = Estimate(0.75, 0.5, 1.0)
    metrics = Metrics(figure, figure, figure, figure, figure, None, figure)
    classes = (
        ClassResults("cat", 200, 2, "many", 0.75, 0.75, 0.75, 0.75),
        ClassResults("lynx", 4, 2, "few", 0.75, 0.75, 0.75, 0.75),
    )
    return Results(
        schema_version=2,
        longtail_version="0.1.0",
        created="2026-01-01T00:00:00+00:00",
        method=MethodInfo("crl", {}),
        model=ModelInfo("convnet", 1000),
        data=DataInfo("pets", {"train": 204, "val": 0, "test": 4}, (8, 8)),
        seed=0,
        split="test",
        decision="argmax",
        training=None,
        faults=(),
        groups=Bounds(100, 20),
        attributes=(
            AttributeResults("animal", 204, 4, 50.0, metrics, classes, ((0, 0, 2), (1, 0, 1), (1, 1, 1))),
        ),
        mean=metrics,
    )


def write_results(folder: Path) -> None:
    """What a training leaves in its folder for the command line to show."""
    RESULTS.write(folder / "results.json", results())
