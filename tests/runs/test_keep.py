"""The networks of the best and of the last epoch, and a training that ends by its patience."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longtail.errors import InputError, Interrupted
from longtail.evaluation.metrics import METRICS, Metrics
from longtail.evaluation.results import RESULTS
from longtail.runs.evaluate import evaluate
from longtail.runs.journal import RunJournal
from longtail.runs.train import train
from longtail.training.checkpoint import load_model
from longtail.training.data_options import DataOptions
from longtail.training.record import EPOCHS

from .conftest import Listening, drawn

FIGURES = (0.2, 0.9, 0.5, 0.4, 0.3)


@pytest.fixture
def config(config):
    return replace(config, method="ce", epochs=3, keep="best")


@pytest.fixture
def states(monkeypatch):
    """The weights after each epoch, by its number; the second epoch is the best on the validation images."""
    found = {}

    def validate(journal):
        epoch = len(journal._run.epochs) + 1
        found[epoch] = {n: x.clone() for n, x in journal._run.learner.state_dict().items()}
        return Metrics(*[FIGURES[epoch - 1]] * len(METRICS))

    monkeypatch.setattr(RunJournal, "validate", validate)
    return found


def holds(file: Path, state) -> bool:
    weights = load_model(file)[0].state_dict()
    return all(torch.equal(value, weights[name]) for name, value in state.items())


@drawn()
def test_the_best_network_is_used_and_the_last_kept_beside_it(config, states, watcher):
    run = train(config, watcher=watcher)
    assert holds(run / "model.safetensors", states[2])
    assert holds(run / "last.safetensors", states[3])
    assert not (run / "best.safetensors").exists()
    results = RESULTS.read(run / "results.json")
    assert (results.training.judged_epoch, results.training.epochs) == (2, 3)
    assert evaluate(run).mean == results.mean, "the network that is evaluated is the one that is kept"
    assert any(line.startswith("used: the network of epoch 2 of 3") for line in watcher.lines)
    assert "used: epoch 2" in (run / "report.html").read_text()


def test_the_last_network_is_used_where_that_is_asked_for_and_the_best_kept_beside_it(config, states):
    run = train(replace(config, keep="last"))
    assert holds(run / "model.safetensors", states[3])
    assert holds(run / "best.safetensors", states[2])
    assert not (run / "last.safetensors").exists()
    assert RESULTS.read(run / "results.json").training.judged_epoch == 3


@pytest.mark.parametrize(("keep", "other"), [("best", "last"), ("last", "best")])
def test_where_the_network_is_damaged_the_other_is_named(config, keep, other):
    run = train(replace(config, keep=keep, epochs=2, patience=None))
    (run / f"{other}.safetensors").write_bytes((run / "model.safetensors").read_bytes())  # both may be one
    content = bytearray((run / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (run / "model.safetensors").write_bytes(content)
    with pytest.raises(
        InputError, match=rf"damaged, .*\. {other}.safetensors beside it is whole, the network of"
    ):
        evaluate(run)
    (run / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no such file.*copy it over model.safetensors"):
        evaluate(run)
    (run / f"{other}.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"expected a run folder with a trained model in it$"):
        evaluate(run)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_resumed_training_keeps_the_same_two_networks(config, states, keep, tmp_path):
    class Stopper(Listening):
        def step(self, epoch, step, steps, meter):
            if (epoch, step) == (2, 2):
                os.kill(os.getpid(), signal.SIGINT)

    config = replace(config, keep=keep)
    whole = train(replace(config, output=str(tmp_path / "whole")))
    with pytest.raises(Interrupted):
        train(config, watcher=Stopper())
    run = train(config, resume=True)
    other = "last" if keep == "best" else "best"
    for name in ("model.safetensors", f"{other}.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert RESULTS.read(run / "results.json").mean == RESULTS.read(whole / "results.json").mean


def test_patience_ends_a_training_and_leaves_a_whole_run(config, states):
    run = train(replace(config, epochs=5, patience=2))
    assert [record.epoch for record in EPOCHS.read_lines(run / "metrics.jsonl")] == [1, 2, 3, 4]
    assert holds(run / "model.safetensors", states[2])
    assert not (run / "state.pt").exists()
    assert RESULTS.read(run / "results.json").training.epochs == 4


def test_without_validation_images_there_is_one_network(config, watcher):
    options = DataOptions(tail_ratio=20, val_share=0.0)
    run = train(replace(config, epochs=1, keep=None, data_options=options), watcher=watcher)
    assert not [name for name in ("best", "last") if (run / f"{name}.safetensors").exists()]
    assert any(line.startswith("the last epoch is used: 0 validation images") for line in watcher.lines)
    with pytest.raises(InputError, match="--patience: goes by validation images"):
        train(replace(config, keep=None, patience=1, data_options=options), overwrite=True)
