"""Trainings as processes of this machine, a few at a time, each with its share of cores and GPUs."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import torch

from longtail.errors import InputError
from longtail.threads import cores
from longtail.training.config import TrainConfig

LOCK = "comparison.lock"
"""In the folder of a comparison: who works there holds a lock on this file."""


class Ended(NamedTuple):
    """How a process ended: its exit code, or minus a signal's number, and its largest resident memory."""

    code: int
    peak_memory_bytes: int | None


class Job(Protocol):
    """A training that was started."""

    def poll(self) -> Ended | None:
        """How it ended, None while it goes on."""
        ...

    def stop(self, at_once: bool = False) -> None:
        """Ask it to keep what it has and to end; or end it at once."""
        ...


class Launcher(Protocol):
    """Starts trainings, `parallel` at a time."""

    parallel: int

    def start(self, command: Sequence[str], log: Path) -> Job:
        """Start a command; its output goes to `log`, its standard error to the same name with .err."""
        ...


class LocalLauncher:
    """Processes of this machine; each keeps to its share of the cores, and to its own GPUs.

    Args:
        parallel: trainings at a time; by default as many as the machine has GPUs, or else cores.
        cells: how many there are all in all; more at a time are not prepared for.
        config: what the trainings share.
        keep: open files that the processes inherit, so that a lock outlives this process.
    """

    def __init__(
        self, parallel: int | None, cells: int, config: TrainConfig, keep: Sequence[int] = ()
    ) -> None:
        self.gpus = visible_gpus() if config.accelerator in ("auto", "cuda") else []
        self.devices = config.devices
        usual = len(self.gpus) // config.devices if self.gpus else cores() // config.devices
        self.parallel = max(1, min(usual if parallel is None else parallel, cells))
        self._keep = tuple(keep)
        self._running: dict[int, LocalJob] = {}

    def start(self, command: Sequence[str], log: Path) -> LocalJob:
        """See `Launcher`."""
        slot = next(s for s in range(self.parallel) if s not in self._running or self._running[s].ended)
        with log.open("ab") as output, log.with_suffix(".err").open("wb") as errors:
            process = self.spawn(command, slot, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        self._running[slot] = LocalJob(process)
        return self._running[slot]

    def spawn(
        self,
        command: Sequence[str],
        slot: int,
        *,
        stdin: int,
        stdout: int | IO[bytes],
        stderr: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """The process of a command in a slot, with its share of the machine."""
        # in a session of its own a training hears of Ctrl-C from us alone, and once
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **self.environment(slot)},
            start_new_session=True,
            pass_fds=self._keep,
        )

    def environment(self, slot: int) -> dict[str, str]:
        """What the process in a slot may use; the threads are the user's to say."""
        threads = str(max(1, cores() // self.parallel // self.devices))
        shares = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        if self.gpus:
            first = slot * self.devices
            own = [self.gpus[(first + d) % len(self.gpus)] for d in range(self.devices)]
            shares["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        return shares


@dataclass(eq=False)
class LocalJob:
    """A process of this machine, the first of a session of its own."""

    process: subprocess.Popen[bytes]
    ended: Ended | None = field(default=None, init=False)

    def poll(self) -> Ended | None:
        """See `Job`."""
        if self.ended is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                # the memory of this process at the start is a lower bound on Linux
                self.ended = Ended(self.process.returncode, peak_bytes(usage))
        return self.ended

    def stop(self, at_once: bool = False) -> None:
        """See `Job`."""
        if self.ended is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL if at_once else signal.SIGTERM)


def check_folder(folder: Path) -> None:
    """Expect a folder of a comparison, or none.

    Raises:
        InputError: when it is a file or holds other files.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder}: expected a folder to write to, got a file")
    if folder.exists() and any(folder.iterdir()) and not (folder / LOCK).exists():
        raise InputError(f"--output {folder}: the folder holds other files; choose another --output")


@contextmanager
def claimed(folder: Path) -> Generator[int]:
    """A lock on the folder of a comparison, as an open file; who inherits that holds the lock too.

    Raises:
        InputError: when it holds other files, cannot be written, or somebody works there.
    """
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise InputError(f"--output {folder}: cannot be written ({error.strerror})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"--output {folder}: a comparison, or a training it left behind, still works there; wait for "
                "it, or choose another --output"
            ) from None
        yield file.fileno()


def peak_bytes(usage: resource.struct_rusage) -> int:
    """The largest resident memory of a process that ended; Linux counts it in KiB."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    number, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:number] if named else [str(gpu) for gpu in range(number)]
