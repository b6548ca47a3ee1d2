"""What a training tells to loggers, and that none of them can stop it."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

import longtail
from longtail.errors import InputError
from longtail.evaluation.results import RESULTS
from longtail.runs import loggers
from longtail.runs.loggers import LONGEST, figures_of, settings_of
from longtail.runs.train import train
from longtail.training.record import EPOCHS, EpochRecord

from .conftest import Listening, drawn


class Kept:
    """Keeps all that it is told; may fail at one of the calls."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[tuple[str, object]] = []
        self._failing = failing

    def configuration(self, settings):
        self._call("configuration", settings)

    def log(self, figures, step):
        self._call("log", (step, figures))

    def finish(self):
        self._call("finish", None)

    def _call(self, name, what):
        self.calls.append((name, what))
        if name == self._failing:
            raise ConnectionError("no network\nat all")


@pytest.fixture
def config(config):
    return replace(config, method="crl", epochs=2)


@drawn(pictures=False)
def test_settings_epochs_and_results_are_told_in_this_order(config):
    logger = Kept()
    run = train(config, logger=logger)
    assert [name for name, _ in logger.calls] == ["configuration", "log", "log", "log", "finish"]
    settings = dict(logger.calls[0][1])
    assert (settings["method"], settings["epochs"], settings["method_options.crl.kappa"]) == (
        "crl",
        "2",
        "25",
    )
    records = EPOCHS.read_lines(run / "metrics.jsonl")
    for (_, (step, figures)), record in zip(logger.calls[1:3], records, strict=True):
        assert step == record.step
        assert figures["loss/total"] == record.loss["total"]
        assert figures["mined/anchors"] >= 0
        assert figures["validation/accuracy"] == record.validation.accuracy
    step, figures = logger.calls[3][1]
    assert step == records[-1].step
    mean = RESULTS.read(run / "results.json").mean
    assert figures["test/class_balanced_accuracy"] == mean.class_balanced_accuracy.value


@drawn(pictures=False)
@pytest.mark.parametrize("failing", ["configuration", "log", "finish"])
def test_a_logger_that_fails_is_named_and_left_out(config, failing):
    logger, watcher = Kept(failing), Listening()
    with pytest.warns(RuntimeWarning, match="logger: failed"):
        run = train(config, logger=logger, watcher=watcher)
    assert (run / "results.json").exists()
    assert sum(name == failing for name, _ in logger.calls) == 1
    said = [line for line in watcher.lines if "goes on without it" in line]
    assert said == ["logger: failed (no network); the training goes on without it, metrics.jsonl has all"]


@drawn(pictures=False)
def test_one_that_cannot_begin_does_not_stop_the_training_either(config, monkeypatch):
    def failing(folder):
        raise OSError("x" * 1000)

    monkeypatch.setitem(loggers.LOGGERS, "wandb", failing)
    monkeypatch.setattr(loggers, "find_spec", lambda _: True)
    watcher = Listening()
    train(replace(config, log_to="wandb"), watcher=watcher)
    (said,) = (line for line in watcher.lines if line.startswith("--log-to wandb: failed (xx"))
    assert len(said) < LONGEST + 100


@drawn(pictures=False)
def test_a_training_that_stops_before_its_first_step_is_over_for_a_logger_too(config, monkeypatch):
    def stopped(run):
        raise InputError("stopped")

    monkeypatch.setattr("longtail.runs.train.look_beforehand", stopped)
    logger = Kept()
    with pytest.raises(InputError, match="stopped"):
        train(config, logger=logger)
    assert [name for name, _ in logger.calls] == ["configuration", "finish"]


@drawn(pictures=False)
def test_curves_of_a_run_that_is_replaced_go_with_it(config):
    curves = train(config) / "tensorboard" / "events"
    curves.parent.mkdir()
    curves.touch()
    train(config, overwrite=True)
    assert not curves.parent.exists()


@drawn(pictures=False)
def test_tensorboard_has_the_curves(config):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = train(replace(config, log_to="tensorboard"))
    train(replace(config, log_to="tensorboard"), overwrite=True)  # its curves take the place of the others
    found = accumulator.EventAccumulator(str(run / "tensorboard"))
    found.Reload()
    points = [(point.step, point.value) for point in found.Scalars("loss/total")]
    records = EPOCHS.read_lines(run / "metrics.jsonl")
    assert points == [(record.step, pytest.approx(record.loss["total"])) for record in records]
    assert len(found.Scalars("test/accuracy")) == 1
    assert "settings/text_summary" in found.Tags()["tensors"]


@drawn(pictures=False)
def test_wandb_and_trackio_are_called_as_they_want(config, monkeypatch):
    module, calls = ModuleType("wandb"), []
    module.init = lambda **given: calls.append(given)
    module.log = lambda figures, step: calls.append((step, len(figures)))
    module.finish = lambda: calls.append("finish")
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(loggers, "find_spec", lambda _: True)
    train(replace(config, log_to="wandb"))
    assert (calls[0]["project"], calls[0]["name"]) == ("longtail", "run")
    assert calls[0]["config"]["method"] == "crl"
    assert [step for step, _ in calls[1:3]] == sorted(step for step, _ in calls[1:3])
    assert calls[-1] == "finish"


def test_a_package_that_is_not_there_is_named(config, monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="--log-to mlflow: needs the package mlflow; pip install mlflow"):
        train(replace(config, log_to="mlflow"))


def test_figures_of_attributes_are_means_and_unknown_ones_are_left_out():
    record = EpochRecord(
        epoch=1, step=4, learning_rate=0.1, seconds=1.0, images_per_second=2.0, input_wait_share=0.0,
        loss={"total": 1.0, "crl": None}, mined={"kept_share": [[0.5, None], [1.0, None], None]},
        validation=None,
    )  # fmt: skip
    found = figures_of(record)
    assert found["mined/kept_share"] == 0.75
    assert "loss/crl" not in found
    assert not any(name.startswith("validation") for name in found)


def test_settings_are_short_texts(config):
    found = settings_of(replace(config, data="x" * 999))
    assert len(found["data"]) == LONGEST
    assert found["data_options.tail_ratio"] == str(config.data_options.tail_ratio or "")


def test_a_program_gives_its_own(config, monkeypatch):
    given = []
    monkeypatch.setattr("longtail.runs.train.train", lambda *_, logger, **__: given.append(logger) or "run")
    monkeypatch.setattr("longtail.api.jobs.load", lambda *_, **__: None)
    logger = Kept()
    longtail.train("digits", logger=logger)
    assert given == [logger]


@pytest.mark.parametrize("wrong", [object(), Kept, 5, "tensorboard"])
def test_an_object_that_is_no_logger_is_refused_before_the_training(wrong):
    with pytest.raises(InputError, match="logger: expected an object with configuration, log and finish"):
        longtail.train("digits", logger=wrong)
