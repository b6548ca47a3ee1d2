"""When a training is kept, and that nothing depends on it."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from longtail.errors import InputError
from longtail.runs import journal
from longtail.runs.train import train
from longtail.training.checkpoint import load_model
from longtail.training.config import CONFIG
from longtail.training.record import EPOCHS

from .conftest import drawn


@pytest.fixture
def config(config):
    return replace(config, method="ce", epochs=3, keep="best")


@pytest.fixture
def kept(monkeypatch):
    """(epoch, step) of every state that is written, and how many epochs metrics.jsonl had then."""
    found = []
    save = journal.save_state

    def saved(path, state, before):
        found.append((state.epoch, state.step, len(EPOCHS.read_lines(path.with_name("metrics.jsonl")))))
        save(path, state, before)

    monkeypatch.setattr(journal, "save_state", saved)
    return found


@drawn(pictures=False)
def test_a_short_training_is_kept_at_its_start_and_at_its_end(config, kept):
    run = train(replace(config, checkpoint_every="1h"))
    assert kept == [(0, 0, 0), (3, 0, 3)]
    assert len(EPOCHS.read_lines(run / "metrics.jsonl")) == 3


@drawn(pictures=False)
def test_a_training_is_kept_within_its_epochs_too_and_learns_the_same(config, kept, tmp_path):
    always = train(replace(config, checkpoint_every="0s"))
    epochs = [(epoch, step) for epoch, step, _ in kept]
    steps = max(step for _, step in epochs)
    inner = [(epoch, step) for epoch in range(3) for step in range(1, steps + 1)]
    assert epochs == sorted([(0, 0), *inner, (1, 0), (2, 0), (3, 0)])
    assert all(lines == epoch for epoch, _, lines in kept), "lines tell of what is kept"
    never = train(replace(config, checkpoint_every="1h", output=str(tmp_path / "never")))
    first, second = (load_model(run / "model.safetensors")[0].state_dict() for run in (always, never))
    assert all(torch.equal(first[name], second[name]) for name in first)


KILLED = """
import os, signal, sys
from longtail.runs import journal
from longtail.runs.train import train
from longtail.training.config import CONFIG

keep = journal.RunJournal.save

def killing(self, state):
    keep(self, state)
    if (state.epoch, state.step) == (1, 1):
        os.kill(os.getpid(), signal.SIGKILL)

journal.RunJournal.save = killing
train(CONFIG.decode(sys.argv[1].encode(), "settings"))
"""
"""A training that is killed in its second epoch."""


@drawn(pictures=False)
def test_a_killed_training_goes_on_from_where_it_was_kept(config, tmp_path):
    config = replace(config, checkpoint_every="0s", output=str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", KILLED, CONFIG.encode(config)])
    assert done.returncode == -signal.SIGKILL
    assert len(EPOCHS.read_lines(tmp_path / "killed" / "metrics.jsonl")) == 1
    run, whole = train(config, resume=True), train(replace(config, output=str(tmp_path / "whole")))
    first, second = (load_model(run / "model.safetensors")[0].state_dict() for run in (run, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5m", 90), ("2H", 7200), ("0s", 0)])
def test_a_time_is_a_number_and_a_unit(config, text, seconds):
    assert replace(config, checkpoint_every=text).checkpoint_seconds == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "1d", "1m30s", "nans"])
def test_another_form_of_a_time_is_refused(config, text):
    with pytest.raises(InputError, match="--checkpoint-every: expected a time as 30s, 10m or 2h"):
        replace(config, checkpoint_every=text)
