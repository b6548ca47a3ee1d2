import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from longtail.evaluation.results import RESULTS
from longtail.models.lite0 import PACKAGE
from longtail.runs.evaluate import evaluate
from longtail.runs.train import train
from longtail.training.checkpoint import load_model
from longtail.training.config import CONFIG

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
    if find_spec(PACKAGE):
        commands.append(f"{COLOURS} --method ce --finetune last --output finetuned")
    words = [sys.executable, "-m", "several", json.dumps(commands)]
    own = {**os.environ, "LONGTAIL_CACHE": str(folder / "cache")}
    done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


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
    assert said.count("2 processes share each batch: losses are") == said.count("\nrun: ") + 1  # one stopped


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


@pytest.mark.parametrize("method", ["lmle", "deepid2"])
def test_two_processes_draw_the_batches_of_a_method_of_its_own(trained, method):
    assert epoch_of(trained[0] / method)["loss"]["ce"] > 0
    check_run(trained, method)


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the extra pretrained is not installed")
def test_two_processes_tune_one_model(trained):
    check_run(trained, "finetuned")
