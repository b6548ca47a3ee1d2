"""Trainings as jobs of a Slurm cluster, by way of submitit; the folder must be on a shared file system."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longtail.comparing.launcher import Ended, peak_bytes
from longtail.errors import InputError, first_line
from longtail.threads import cores
from longtail.training.config import TrainConfig

HOURS = 24
"""Time limit of a job, unless the environment has SBATCH_TIMELIMIT; a guess."""


class ClusterLauncher:
    """Hands trainings to `sbatch`, which takes partition, account and the like from SBATCH_ variables.

    Args:
        engine: "slurm", or "submitit-local" for processes of this machine started the same way.
        parallel: jobs handed over at a time.
        config: what the trainings share; every job asks for its devices.
        folder: of the comparison; submitit's own files go to its folder submitit.

    Raises:
        InputError: when submitit or Slurm is not there.
    """

    def __init__(self, engine: str, parallel: int, config: TrainConfig, folder: Path) -> None:
        self.parallel = parallel
        # Slurm gives a job its own cores, this machine's jobs share them
        self._threads = max(1, cores() // parallel) if engine == "submitit-local" else None
        kind = "slurm" if engine == "slurm" else "local"
        self._executor = _executor(engine, kind, folder / "submitit")
        gpus = 0 if config.accelerator in ("cpu", "mps") or kind == "local" else config.devices
        own_limit = {} if "SBATCH_TIMELIMIT" in os.environ else {"timeout_min": 60 * HOURS}
        self._executor.update_parameters(
            name="longtail",
            gpus_per_node=gpus,
            cpus_per_task=1 + config.workers * config.devices,
            **own_limit,
        )

    def start(self, command: Sequence[str], log: Path) -> ClusterJob | Refused:
        """See `Launcher`."""
        try:
            return ClusterJob(self._executor.submit(run_command, list(command), str(log), self._threads))
        except RuntimeError as error:  # a queue that takes no more: one training fails, the others go on
            log.with_suffix(".err").write_text(f"the cluster refused it: {first_line(error)}\n")
            return Refused()


class Refused:
    """A job that the cluster did not take."""

    def poll(self) -> Ended:
        """See `Job`."""
        return Ended(1, None)

    def stop(self, at_once: bool = False) -> None:
        """There is nothing to stop."""


class ClusterJob:
    """A job of submitit."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def poll(self) -> Ended | None:
        """See `Job`."""
        if not self._job.done():
            return None
        if self._job.exception() is not None:  # the job itself was lost: cancelled, or out of its limits
            return Ended(1, None)
        code, peak = self._job.result()
        return Ended(code, peak)

    def stop(self, at_once: bool = False) -> None:  # noqa: ARG002
        """Cancel the job; a training keeps the state of its last epoch."""
        self._job.cancel(check=False)


def run_command(command: Sequence[str], log: str, threads: int | None) -> tuple[int, int]:
    """Run a command, with its output in files as `Launcher.start` says; its exit code and peak memory."""
    share = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    errors = Path(log).with_suffix(".err")
    # a training of several devices starts its processes itself, though srun started this one
    outside = {name: value for name, value in os.environ.items() if name != "SLURM_STEP_ID"}
    with Path(log).open("a") as output, errors.open("w") as lines:
        ended = subprocess.run(command, stdout=output, stderr=lines, env={**outside, **share}, check=False)
    return ended.returncode, peak_bytes(resource.getrusage(resource.RUSAGE_CHILDREN))


def _executor(engine: str, kind: str, folder: Path) -> Any:
    try:
        import submitit  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"--engine {engine}: needs the package submitit; install it with: pip install 'longtail[cluster]'"
        ) from None
    try:
        return submitit.AutoExecutor(folder=folder, cluster=kind)
    except RuntimeError as error:
        raise InputError(f"--engine {engine}: not on this machine ({first_line(error)})") from None
