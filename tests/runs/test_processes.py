import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from longtail.evaluation.results import RESULTS
from longtail.models.lite0 import PACKAGE

from .conftest import of_colours

SMALL = "--epochs 1 --accelerator cpu --devices 2"
DIGITS = f"train digits --backbone convnet --batch-size 64 --features 8 --tail-ratio 20 {SMALL}"
COLOURS = f"train colours --batch-size 16 --image-size 32 {SMALL}"
ONE_AFTER_ANOTHER = """
import json
import sys

from torch.distributed import get_world_size

from longtail.cli import main

for command in json.loads(sys.argv[1]):
    assert main(command.split()) == 0
    assert get_world_size() == 2
"""


def in_two_processes(folder, *command):
    """What a program prints that starts a second process of itself."""
    own = {**os.environ, "LONGTAIL_CACHE": str(folder / "cache")}
    words = [sys.executable, *command]
    done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of two processes that train one after the other: to start them takes longer than to train."""
    folder = tmp_path_factory.mktemp("trained")
    of_colours(folder / "colours")
    (folder / "several.py").write_text(ONE_AFTER_ANOTHER)
    commands = [f"{DIGITS} --method {method} --output {method}" for method in ("lmle", "deepid2")]
    if find_spec(PACKAGE):
        commands.append(f"{COLOURS} --method ce --finetune last --output finetuned")
    in_two_processes(folder, "several.py", json.dumps(commands))
    return folder


def check_results(run):
    """All test images were judged, each by one process."""
    results = RESULTS.read(run / "results.json")
    assert sum(c.test_count for c in results.attributes[0].classes) == results.data.images["test"]


def test_two_processes_train_one_model(tmp_path):
    output = in_two_processes(tmp_path, "-m", "longtail", *f"{DIGITS} --method crl --output run".split())
    assert output.count("run: run") == 1  # said once, not by every process
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["mined"]["anchors"] > 0
    check_results(tmp_path / "run")


@pytest.mark.parametrize("method", ["lmle", "deepid2"])
def test_two_processes_draw_the_batches_of_a_method_of_its_own(trained, method):
    (line,) = (trained / method / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["loss"]["ce"] > 0
    check_results(trained / method)


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the extra pretrained is not installed")
def test_two_processes_tune_one_model(trained):
    check_results(trained / "finetuned")
