from __future__ import annotations

import json
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

    def called(self, name: str, **arguments: Any) -> Any:
        call = SimpleNamespace(name=name, **arguments)
        self.calls.append(call)
        return self.act(call)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Job:
    """In place of longtail.runs.train; a training writes results where `act` does not say otherwise."""
    job = Job(act=lambda call: tmp_path)

    def train(config: TrainConfig, *, overwrite: bool, resume: bool, watcher: Any) -> Path:
        return job.called("train", config=config, overwrite=overwrite, resume=resume, watcher=watcher)

    def plan(config: TrainConfig, *, overwrite: bool, watcher: Any) -> list[str]:
        job.called("plan", config=config, overwrite=overwrite, watcher=watcher)
        return ["images: 3 train", "the run would be written to runs/x"]

    def resumed_config(run: Path) -> TrainConfig:
        job.called("resumed_config", run=run)
        return TrainConfig(data="photos", epochs=7)

    _replace(monkeypatch, "train", train=train, plan=plan, resumed_config=resumed_config)
    _replace(monkeypatch, "device", is_first_process=lambda: True)
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


@pytest.fixture
def prediction(monkeypatch: pytest.MonkeyPatch) -> Job:
    """In place of longtail.runs.predict."""
    job = Job(act=lambda call: iter([]))

    def predict(run: Path, images: Any, **arguments: Any) -> Iterator[Any]:
        return job.called("predict", run=run, images=images, **arguments)

    _replace(monkeypatch, "predict", predict=predict)
    return job


def _replace(
    monkeypatch: pytest.MonkeyPatch, name: str, package: ModuleType = longtail.runs, **functions: Any
) -> None:
    module = SimpleNamespace(**functions)
    monkeypatch.setitem(sys.modules, f"{package.__name__}.{name}", module)
    monkeypatch.setattr(package, name, module, raising=False)


def results() -> dict[str, Any]:
    """results.json of a model with two classes."""
    figure = {"value": 0.75, "low": 0.5, "high": 1.0}
    metrics = dict.fromkeys(
        ("class_balanced_accuracy", "accuracy", "macro_f1", "mean_average_precision", "many_recall"), figure
    ) | {"medium_recall": None, "few_recall": figure}
    classes = [
        {
            "name": name,
            "train_count": train,
            "test_count": 2,
            "frequency_group": group,
            "recall": 0.75,
            "precision": 0.75,
            "f1": 0.75,
            "average_precision": 0.75,
        }
        for name, train, group in (("cat", 200, "many"), ("lynx", 4, "few"))
    ]
    attribute = {
        "name": "animal",
        "train_labelled": 204,
        "test_labelled": 4,
        "imbalance_ratio": 50.0,
        "metrics": metrics,
        "classes": classes,
        "confusion": [[2, 0], [1, 1]],
    }
    return {
        "schema_version": 1,
        "longtail_version": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "method": {"name": "crl", "options": {}},
        "model": {"backbone": "convnet", "parameters": 1000},
        "data": {"name": "pets", "images": {"train": 204, "val": 0, "test": 4}, "image_size": [8, 8]},
        "seed": 0,
        "split": "test",
        "decision": "argmax",
        "training": None,
        "groups": {"many_above": 100, "few_below": 20},
        "attributes": [attribute],
        "mean": metrics,
    }


def write_results(folder: Path) -> None:
    """What a training leaves in its folder for the command line to show."""
    (folder / "results.json").write_text(json.dumps(results()))
