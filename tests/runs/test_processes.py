import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from longtail.errors import InputError, Interrupted
from longtail.evaluation.results import RESULTS
from longtail.models.lite0 import PACKAGE
from longtail.runs.evaluate import evaluate
from longtail.runs.other_processes import other_processes, with_devices
from longtail.runs.resuming import resumed_config
from longtail.runs.train import train
from longtail.sampling.epochs import ShuffledSampler
from longtail.training.checkpoint import load_model
from longtail.training.config import CONFIG, DataOptions, TrainConfig
from longtail.training.watcher import Silent

from .conftest import of_colours

SMALL = "--epochs 1 --accelerator cpu --devices 2"
DIGITS = f"train digits --backbone convnet --batch-size 64 --features 8 --tail-ratio 20 {SMALL}"
COLOURS = f"train colours --batch-size 16 --image-size 32 {SMALL}"
ONE_AFTER_ANOTHER = """
import json
import os
import signal
import sys

from torch.distributed import barrier, get_rank, get_world_size

from longtail.cli import main
from longtail.training import fit

seen, agree = [], fit._agree


def stopping(*arguments):
    # the second process alone is interrupted, in the second step
    seen.append(arguments)
    if len(seen) == 2 and get_rank() == 1:
        os.kill(os.getpid(), signal.SIGINT)
    return agree(*arguments)


for command in json.loads(sys.argv[1]):
    stopped = "stopped" in command and "--resume" not in command
    fit._agree = stopping if stopped else agree
    seen.clear()
    assert main(command.split()) == (130 if stopped else 0)
    assert get_world_size() == 2
    barrier()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of runs of two processes, and what they said.

    A package that is started as longtail is trains all of them: to start the processes takes longer.
    """
    folder = tmp_path_factory.mktemp("trained")
    of_colours(folder / "colours")
    (folder / "several").mkdir()
    (folder / "several" / "__main__.py").write_text(ONE_AFTER_ANOTHER)
    commands = [f"{DIGITS} --method {method} --output {method}" for method in ("crl", "lmle", "deepid2")]
    commands += [f"{DIGITS} --method crl --output stopped", "train --resume stopped"]
    commands += [f"{DIGITS} --method crl --output stopped-for-one"]
    begin_alone(folder)
    commands += [f"{DIGITS} --method crl --output begun-by-one --resume auto"]
    if find_spec(PACKAGE):
        commands.append(f"{COLOURS} --method ce --finetune last --output finetuned")
    words = [sys.executable, "-m", "several", json.dumps(commands)]
    own = {**os.environ, "LONGTAIL_CACHE": str(folder / "cache")}
    done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


class Stopper(Silent):
    """Presses Ctrl-C after the first step."""

    def step(self, epoch, step, steps, meter):
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)


def begin_alone(folder):
    """One process begins what two go on with."""
    options = DataOptions(tail_ratio=20)
    own = {"backbone": "convnet", "batch_size": 64, "features": 8, "epochs": 1, "accelerator": "cpu"}
    output = str(folder / "begun-by-one")
    with pytest.raises(Interrupted):
        train(
            TrainConfig("digits", method="crl", **own, output=output, data_options=options), watcher=Stopper()
        )


def check_run(trained, name):
    """It was said once, and all test images were judged, each by one process."""
    folder, said = trained
    assert said.count(f"run: {name}\n") == 1
    results = RESULTS.read(folder / name / "results.json")
    assert sum(c.test_count for c in results.attributes[0].classes) == results.data.images["test"]


def epoch_of(run):
    (line,) = (run / "metrics.jsonl").read_text().splitlines()
    return json.loads(line)


def weights(run):
    return load_model(run / "model.safetensors")[0].state_dict()


def test_two_processes_train_one_model(trained):
    assert epoch_of(trained[0] / "crl")["mined"]["anchors"] > 0
    check_run(trained, "crl")
    said = trained[1]
    assert said.count("2 processes share each batch: losses are") == said.count("\nrun: ") + 2  # two stopped


def test_two_processes_train_the_model_that_one_trains(trained, tmp_path):
    run = trained[0] / "crl"
    config = replace(CONFIG.read(run / "config.json"), devices=1, output=str(tmp_path / "alone"))
    alone = train(config)
    found, expected = epoch_of(run), epoch_of(alone)
    for what in ("loss", "mined", "validation"):
        torch.testing.assert_close(found[what], expected[what], rtol=1e-4, atol=1e-5)
    learned = weights(run)
    for name, value in weights(alone).items():
        torch.testing.assert_close(learned[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["crl", "lmle", "deepid2"])
def test_the_results_are_those_of_the_model_that_is_saved(trained, method):
    run = trained[0] / method
    published = RESULTS.read(run / "results.json")
    assert evaluate(run, output=run / "again.json").mean == published.mean


def test_a_training_of_two_processes_goes_on_to_the_same_model(trained):
    whole, stopped = trained[0] / "crl", trained[0] / "stopped"
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(stopped).items())
    for what in ("loss", "mined", "validation"):
        assert epoch_of(stopped)[what] == epoch_of(whole)[what]
    assert RESULTS.read(stopped / "results.json").mean == RESULTS.read(whole / "results.json").mean


def check_close(run, other):
    """Weights of two runs differ by rounding alone."""
    expected = weights(other)
    for name, value in weights(run).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)


def test_one_process_goes_on_with_what_two_began(trained, watcher):
    run = trained[0] / "stopped-for-one"
    config = replace(resumed_config(run, devices=1), output=str(run))
    train(config, resume=True, watcher=watcher)
    (note,) = [line for line in watcher.lines if line.startswith("began with")]
    assert note.startswith("began with 2 processes, goes on with 1: batches and augmentation stay the same")
    assert note.endswith("weights agree to rounding, not bit by bit")
    check_close(run, trained[0] / "crl")


def test_two_processes_go_on_with_what_one_began(trained):
    assert "began with 1 process, goes on with 2: batches and augmentation" in trained[1]
    check_close(trained[0] / "begun-by-one", trained[0] / "crl")


def test_processes_that_cannot_share_its_batches_are_refused():
    config, network = TrainConfig("digits", output="run"), torch.nn.Dropout(0.1)
    sampler = ShuffledSampler(np.arange(100), 12, 0, 2)
    with pytest.raises(
        InputError,
        match="--resume run: 5 processes cannot share its batches, which were made for 2; "
        "go on with one of 1, 2, 3, 4, 6, 12",
    ):
        other_processes(config, network, sampler, 2, 5)
    assert other_processes(config, network, sampler, 2, 2) == ()
    assert (
        "dropout leaves out others: weights are others" in other_processes(config, network, sampler, 2, 3)[0]
    )


def test_started_processes_go_on_whatever_the_run_says(monkeypatch):
    config = TrainConfig("digits", devices=2)
    assert (with_devices(config).devices, with_devices(config, 4).devices) == (2, 4)
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "LOCAL_WORLD_SIZE": 3,
        "WORLD_SIZE": 3,
        "RANK": 0,
    }.items():
        monkeypatch.setenv(name, str(value))
    assert with_devices(config).devices == 1  # which asks for nothing


@pytest.mark.parametrize("method", ["lmle", "deepid2"])
def test_two_processes_draw_the_batches_of_a_method_of_its_own(trained, method):
    assert epoch_of(trained[0] / method)["loss"]["ce"] > 0
    check_run(trained, method)


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the extra pretrained is not installed")
def test_two_processes_tune_one_model(trained):
    check_run(trained, "finetuned")
