import json
import subprocess
import sys

import pytest

from longtail.evaluation.results import RESULTS


@pytest.mark.parametrize("method", ["crl", "lmle", "deepid2"])
def test_two_processes_train_one_model(tmp_path, method):
    run = tmp_path / "run"
    flags = "--backbone convnet --epochs 1 --batch-size 64 --features 8 --tail-ratio 20 --accelerator cpu"
    command = [sys.executable, "-m", "longtail", "train", "digits", *flags.split(), "--devices", "2"]
    done = subprocess.run(
        [*command, "--method", method, "--output", run], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"run: {run}") == 1  # said once, not by every process
    (line,) = (run / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["mined"]["anchors"] > 0 if method == "crl" else json.loads(line)["loss"]["ce"] > 0
    results = RESULTS.read(run / "results.json")
    assert sum(c.test_count for c in results.attributes[0].classes) == results.data.images["test"]
