"""Who started the processes of a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from longtail.cli import main
from longtail.errors import InputError
from longtail.runs.launcher import Launcher, find_launcher, is_first_process

from ..together import free_port

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x",
    "LOCAL_WORLD_SIZE": "2",
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "1",
}
SRUN = {
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "6",
    "SLURM_NNODES": "3",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}


@pytest.mark.parametrize(
    ("devices", "environment", "found"),
    [
        (1, {}, Launcher("own", 1)),
        (4, {}, Launcher("own", 4)),
        (1, TORCHRUN, Launcher("torchrun", 2, 2, 3)),
        (2, TORCHRUN, Launcher("torchrun", 2, 2, 3)),
        (1, SRUN, Launcher("srun", 2, 3, 5)),
        (2, SRUN, Launcher("srun", 2, 3, 5)),
        # a batch script, outside of a step: Fabric would wait there for tasks that nobody starts
        (2, {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "train"}, Launcher("own", 2)),
        (1, {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, Launcher("own", 1)),
    ],
)
def test_the_launcher_is_found(devices, environment, found):
    assert find_launcher(devices, environment) == found


@pytest.mark.parametrize(
    ("devices", "environment", "message"),
    [
        (4, TORCHRUN, "--devices 4: torchrun started 2 processes .* or use torchrun --nproc-per-node 4"),
        (2, {**SRUN, "SLURM_NTASKS": "3"}, "--devices 2: srun started 1 process .*--ntasks-per-node 2"),
        (2, {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "1"}, "--devices 2: srun started 1 process "),
        (1, {**SRUN, "SLURM_NTASKS": "4"}, "srun: started 4 tasks on 3 machines"),
        (1, {**TORCHRUN, "WORLD_SIZE": "many"}, "WORLD_SIZE: expected a number"),
    ],
)
def test_other_processes_than_asked_for_are_refused(devices, environment, message):
    with pytest.raises(InputError, match=message):
        find_launcher(devices, environment)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        (TORCHRUN, False),
        ({**TORCHRUN, "RANK": "2", "LOCAL_RANK": "0"}, False),  # the first of the second machine
        ({**TORCHRUN, "RANK": "0", "LOCAL_RANK": "0"}, True),
        (SRUN, False),
        ({**SRUN, "SLURM_PROCID": "0"}, True),
    ],
)
def test_the_first_process_is_one_of_all_machines(environment, first):
    assert is_first_process(environment) == first


def test_two_machines_by_torchrun_train_one_model(tmp_path):
    """Two launchers on this machine stand for two machines."""
    words = (
        "train digits --method ce --backbone convnet --features 8 --epochs 1 --accelerator cpu --output run"
    )
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = (sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1")
    meeting = ("--master-addr", "127.0.0.1", "--master-port", str(free_port()))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    machines = [
        subprocess.Popen(
            [*started, *meeting, "--node-rank", str(node), "-m", "longtail", *words.split()],
            cwd=tmp_path,
            env=own,
            **pipes,
        )
        for node in range(2)
    ]
    said = [machine.communicate(timeout=120) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert "".join(out for out, _ in said).count("run: run\n") == 1
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["loss"]["ce"] > 0


def test_what_a_cluster_stops_goes_on_and_imports_nothing_beside_it(tmp_path, monkeypatch, capsys):
    """Two processes, stopped ahead of the end of their time as clusters do; one has to do the second time."""
    (tmp_path / "attr.py").write_text("raise SystemExit('the folder was imported')")
    words = "train digits --method ce --backbone convnet --features 8 --epochs 9 --accelerator cpu"
    words = [*words.split(), "--resume", "auto", "--output", "run"]
    command = [sys.executable, "-P", "-m", "longtail", *words, "--devices", "2"]
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "said").open("w") as said:
        first = subprocess.Popen(command, cwd=tmp_path, env=own, stdout=said, stderr=said)
        while "epoch 1/9" not in (tmp_path / "said").read_text():
            assert first.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.05)
        first.send_signal(signal.SIGUSR1)
        assert first.wait(timeout=60) == 128 + signal.SIGUSR1, (tmp_path / "said").read_text()
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    assert capsys.readouterr().out.count("run: run") == 1
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 9
