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


def test_two_processes_train_one_model(trained):
    assert epoch_of(trained[0] / "crl")["mined"]["anchors"] > 0
    check_run(trained, "crl")


@pytest.mark.parametrize("method", ["lmle", "deepid2"])
def test_two_processes_draw_the_batches_of_a_method_of_its_own(trained, method):
    assert epoch_of(trained[0] / method)["loss"]["ce"] > 0
    check_run(trained, method)


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the extra pretrained is not installed")
def test_two_processes_tune_one_model(trained):
    check_run(trained, "finetuned")
