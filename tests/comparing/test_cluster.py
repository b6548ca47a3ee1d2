import sys
from types import SimpleNamespace

import pytest

from longtail.comparing.cluster import ClusterLauncher
from longtail.errors import InputError
from longtail.training.config import TrainConfig


class Submitted:
    """A job of submitit that is done once it was looked at."""

    def __init__(self, give):
        self.give, self.looks, self.cancelled = give, 0, False

    def done(self):
        self.looks += 1
        return self.looks > 1

    def exception(self):
        return RuntimeError("lost") if self.cancelled else None

    def result(self):
        return self.give()

    def cancel(self, check):
        self.cancelled = True


@pytest.fixture
def submitit(monkeypatch):
    """In place of submitit: keeps what it was told, runs jobs here."""
    told = SimpleNamespace(parameters={}, made=None)

    class AutoExecutor:
        def __init__(self, folder, cluster):
            told.made = (folder, cluster)

        def update_parameters(self, **parameters):
            told.parameters = parameters

        def submit(self, function, *arguments):
            return Submitted(lambda: function(*arguments))

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=AutoExecutor))
    monkeypatch.delenv("SBATCH_TIMELIMIT", raising=False)
    return told


def test_a_training_is_handed_over_and_says_how_it_ended(submitit, tmp_path):
    launcher = ClusterLauncher("submitit-local", 2, TrainConfig(data="digits"), tmp_path)
    code = "import os, sys; print(os.environ['OMP_NUM_THREADS']); print('bad', file=sys.stderr); sys.exit(3)"
    job = launcher.start([sys.executable, "-c", code], tmp_path / "a.log")
    assert job.poll() is None
    ended = job.poll()
    assert ended.code == 3
    assert ended.peak_memory_bytes > 2**20
    assert (tmp_path / "a.err").read_text() == "bad\n"
    assert int((tmp_path / "a.log").read_text()) >= 1
    assert submitit.made == (tmp_path / "submitit", "local")


def test_a_job_that_is_cancelled_has_failed(submitit, tmp_path):
    job = ClusterLauncher("slurm", 2, TrainConfig(data="digits"), tmp_path).start(
        ["false"], tmp_path / "a.log"
    )
    job.stop()
    assert job.poll() is None
    assert job.poll().code == 1


@pytest.mark.parametrize(("accelerator", "gpus"), [("auto", 2), ("cuda", 2), ("cpu", 0)])
def test_a_job_asks_for_the_devices_of_its_training(submitit, tmp_path, monkeypatch, accelerator, gpus):
    config = TrainConfig(data="digits", accelerator=accelerator, devices=2, workers=3)
    ClusterLauncher("slurm", 2, config, tmp_path)
    assert (submitit.parameters["gpus_per_node"], submitit.parameters["cpus_per_task"]) == (gpus, 7)
    assert submitit.parameters["timeout_min"] == 24 * 60
    monkeypatch.setenv("SBATCH_TIMELIMIT", "10")
    ClusterLauncher("slurm", 2, config, tmp_path)
    assert "timeout_min" not in submitit.parameters


def test_without_submitit_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(
        InputError, match=r"--engine slurm: needs the package submitit; .*longtail\[cluster\]"
    ):
        ClusterLauncher("slurm", 2, TrainConfig(data="digits"), tmp_path)


def test_without_slurm_that_is_said(submitit, tmp_path, monkeypatch):
    def refuse(folder, cluster):
        raise RuntimeError("no srun\nmore")

    monkeypatch.setattr(sys.modules["submitit"], "AutoExecutor", refuse)
    with pytest.raises(InputError, match=r"--engine slurm: not on this machine \(no srun\)"):
        ClusterLauncher("slurm", 2, TrainConfig(data="digits"), tmp_path)


def test_a_job_that_the_queue_refuses_fails_alone(submitit, tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("sbatch: error: Job violates accounting/QOS policy\nmore")

    launcher = ClusterLauncher("submitit-local", 2, TrainConfig(data="digits"), tmp_path)
    monkeypatch.setattr(launcher._executor, "submit", refuse)
    job = launcher.start(["x"], tmp_path / "a.log")
    job.stop()
    assert job.poll().code == 1
    said = (tmp_path / "a.err").read_text()
    assert said == "the cluster refused it: sbatch: error: Job violates accounting/QOS policy\n"


def test_a_training_of_several_devices_is_not_taken_for_one_process_of_srun(submitit, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    launcher = ClusterLauncher("submitit-local", 2, TrainConfig(data="digits"), tmp_path)
    code = "import os; print('SLURM_STEP_ID' in os.environ)"
    job = launcher.start([sys.executable, "-c", code], tmp_path / "a.log")
    while job.poll() is None:
        pass
    assert (tmp_path / "a.log").read_text() == "False\n"
