"""A stopped training goes on with what it began with, or says what has changed."""

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.cli import main
from longtail.data.marks import END, content_mark
from longtail.data.names import Names
from longtail.data.stores import ArrayStore, FileStore
from longtail.errors import InputError, Interrupted
from longtail.evaluation.results import RESULTS
from longtail.runs.evaluate import evaluate
from longtail.runs.predict import notes_on
from longtail.runs.resuming import resumed_config
from longtail.runs.run import Run
from longtail.runs.train import train
from longtail.training.checkpoint import load_model
from longtail.training.data_options import DataOptions
from longtail.training.state import load_state

from .conftest import Listening, drawn


class Stopper(Listening):
    """Sends a signal in the middle of an epoch."""

    def __init__(self, epoch, step, number=signal.SIGINT):
        super().__init__()
        self.place, self.number = (epoch, step), number

    def step(self, epoch, step, steps, meter):
        if (epoch, step) == self.place:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def table(folder, tmp_path):
    """The images of the folder in a manifest."""
    rows = [(f"{path.parent.name}/{path.name}", path.parent.name) for path in sorted(folder.glob("*/*.png"))]
    write(tmp_path / "labels.csv", rows)
    return tmp_path / "labels.csv", rows


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "colour"), *rows])


@pytest.fixture
def stopped(config, table, folder):
    """An unfinished training on the manifest, stopped in its second epoch."""
    options = DataOptions(images=str(folder))
    config = replace(config, data=str(table[0]), data_options=options, batch_size=8, epochs=3)
    with pytest.raises(Interrupted):
        train(config, watcher=Stopper(1, 2))
    return config


def relabelled(config, table, folder):
    write(table[0], [(table[1][0][0], "green"), *table[1][1:]])


def replaced(config, table, folder):
    Image.new("RGB", (12, 10), (1, 2, 3)).save(folder / "red" / "red7.png")


def reordered(config, table, folder):
    write(table[0], table[1][::-1])


def added(config, table, folder):
    Image.new("RGB", (12, 10), (1, 2, 3)).save(folder / "red" / "red99.png")
    write(table[0], [*table[1], ("red/red99.png", "red")])


def resplit(config, table, folder):
    path = folder.parent / "run" / "splits.json"
    splits = json.loads(path.read_text())
    splits["train"].append(splits["test"].pop())
    path.write_text(json.dumps(splits))


def reconfigured(config, table, folder):
    path = folder.parent / "run" / "config.json"
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 2'))


CHANGES = [
    (relabelled, "labels or classes changed"),
    (replaced, "the content of images changed"),
    (reordered, r"the images \(renamed or reordered\) changed"),
    (added, r"the images \(49, were 48\) changed"),
    (resplit, r"splits.json changed"),
    (reconfigured, r"config.json changed"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_what_changed_is_refused_or_goes_on_with_a_sentence(stopped, table, folder, tmp_path, change, what):
    change(stopped, table, folder)
    config = replace(resumed_config(tmp_path / "run"), output=stopped.output)
    with pytest.raises(
        InputError, match=rf"--resume .*run: {what} since .*; put that back, .*--allow-changed"
    ):
        train(config, resume=True)
    watcher = Listening()
    run = train(config, resume=True, allow_changed_data=True, watcher=watcher)
    assert any("goes on all the same" in line for line in watcher.lines)
    again = any("epoch 2 begins again" in line for line in watcher.lines)
    assert again == (change in (reordered, added)), "batches of other rows are not gone on with"
    assert {path.name for path in run.iterdir()} & {"state.pt", "before.pt", ".lock"} == set()


def test_data_that_are_the_same_go_on_without_a_word(stopped):
    watcher = Listening()
    train(stopped, resume=True, watcher=watcher)
    assert not any("changed" in line or "origin" in line for line in watcher.lines)


def test_what_was_made_of_a_stopped_training_does_not_outlive_it(stopped, tmp_path):
    for decision in (None, "prior"):
        evaluate(tmp_path / "run", decision=decision, watcher=Listening())
    assert RESULTS.read(tmp_path / "run" / "results.json").training.epochs == 1
    assert (tmp_path / "run" / "results.prior.json").exists()
    train(stopped, resume=True)
    assert not (tmp_path / "run" / "results.prior.json").exists()
    assert RESULTS.read(tmp_path / "run" / "results.json").training.epochs == 3


def test_a_run_without_checksums_says_that_nothing_is_known(stopped, tmp_path):
    (tmp_path / "run" / "origin.json").unlink()
    watcher = Listening()
    train(stopped, resume=True, watcher=watcher)
    assert any("origin.json is missing" in line for line in watcher.lines)


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [damaged, lambda path: path.unlink()])
def test_the_state_before_a_damaged_one_is_used_and_both_are_named(config, stopped, tmp_path, spoil):
    spoil(tmp_path / "run" / "state.pt")
    watcher = Listening()
    run = train(stopped, resume=True, watcher=watcher)
    assert any("state.pt" in line and "before.pt, from epoch 1, step 1 on" in line for line in watcher.lines)
    whole = train(replace(stopped, output=str(tmp_path / "whole")))
    first, second = (load_model(path / "model.safetensors")[0].state_dict() for path in (run, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_network_without_a_state_is_that_of_a_training_that_is_not_finished(config, monkeypatch):
    def full(*_):
        raise InputError("state.pt: cannot be written")

    monkeypatch.setattr("longtail.runs.journal.save_state", full)
    with pytest.raises(InputError):
        train(config)
    run = Run.open(Path(config.output), "cpu")
    assert "is not finished (0 of 2 epochs); it cannot go on, train again with --overwrite" in run.unfinished
    assert main(["evaluate", config.output, "--accelerator", "cpu"]) == 3


def test_a_training_killed_in_its_first_epoch_goes_on(config, monkeypatch, tmp_path):
    class Killed(Exception):
        pass

    class Killer(Listening):
        def step(self, epoch, step, steps, meter):
            raise Killed  # nothing more is saved

    with pytest.raises(Killed):
        train(config, watcher=Killer())
    state = load_state(tmp_path / "run" / "state.pt")
    assert (state.epoch, state.step) == (0, 0)
    with drawn():
        results = evaluate(tmp_path / "run", watcher=Listening())
    assert results.faults[0].text.startswith("the training is not finished (0 of 2 epochs)")
    image = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(image)
    assert "its training is not finished (0 of 2 epochs)" in notes_on(Run.open(tmp_path / "run", "cpu"))[0]
    commands = (["evaluate", str(tmp_path / "run")], ["predict", str(tmp_path / "run"), str(image)])
    assert [main([*command, "--accelerator", "cpu"]) for command in commands] == [3, 3]
    (tmp_path / "run" / ".state.pt.7.part").write_bytes(b"half")
    run = train(config, resume=True)
    assert not list(run.glob(".*"))
    assert [main([*command, "--accelerator", "cpu"]) for command in commands] == [0, 0]
    whole = train(replace(config, output=str(tmp_path / "whole")))
    first, second = (load_model(path / "model.safetensors")[0].state_dict() for path in (run, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not [fault for fault in RESULTS.read(run / "results.json").faults if fault.name == "unfinished"]


def test_a_claim_that_was_killed_before_the_first_step_says_so(config, tmp_path):
    train(config)
    for name in ("metrics.jsonl", "results.json"):
        (tmp_path / "run" / name).unlink()
    with pytest.raises(InputError, match="no state of its training was kept; start again with --overwrite"):
        resumed_config(tmp_path / "run")


def test_the_signal_that_stopped_a_training_is_told(config):
    with pytest.raises(Interrupted) as caught:
        train(config, watcher=Stopper(0, 1, signal.SIGTERM))
    assert caught.value.number == signal.SIGTERM


def test_a_batch_of_one_image_is_a_mistake_of_one_line(config):
    with pytest.raises(InputError, match="--batch-size 1: batch normalisation needs at least two images"):
        train(replace(config, batch_size=1, backbone="resnet18"))


def test_the_mark_of_an_image_changes_with_its_content(tmp_path):
    for size in (5, END, END + 5, 3 * END):
        content = bytearray(size)
        (tmp_path / "a").write_bytes(content)
        store = FileStore(tmp_path, Names(["a"]))
        whole = content_mark(store, 0)
        assert content_mark(store, 0) == whole
        for place in (0, size - 1):
            content[place] ^= 1
            (tmp_path / "a").write_bytes(content)
            assert content_mark(store, 0) != whole
            content[place] ^= 1
        (tmp_path / "a").write_bytes(content + b"\0")
        assert content_mark(store, 0) != whole
    (tmp_path / "a").unlink()
    assert content_mark(store, 0) == 0
    images = np.zeros((2, 3, 3, 1), np.uint8)
    images[1, 0, 0] = 1
    store = ArrayStore(images, Names("ab"))
    assert content_mark(store, 0) != content_mark(store, 1)
