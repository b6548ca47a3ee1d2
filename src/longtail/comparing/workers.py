"""Trainings in a few processes that stay: what a training of a second needs is imported once a slot."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from longtail.comparing.cells import PROGRAM
from longtail.comparing.launcher import Ended, LocalJob, LocalLauncher

COMMAND = (sys.executable, "-P", "-m", "longtail.cli.worker")
"""A process that reads a line with an `Order` and writes one with a `Reply`, until its input ends."""

_LONGEST_REPLY, _PAUSE = 4096, 0.01


@dataclass(frozen=True)
class Order:
    """A command line of `longtail`, and the file that its output goes to; see `Launcher.start`."""

    arguments: tuple[str, ...]
    log: str


@dataclass(frozen=True)
class Reply:
    """How the command ended.

    Attributes:
        code: its exit code.
        peak_memory_bytes: largest resident memory of this process since the order; None where the system
            cannot tell it apart from that of the orders before.
    """

    code: int
    peak_memory_bytes: int | None


class WorkerLauncher:
    """One worker for each training at a time, see `longtail.cli.worker`; it takes them in turn.

    A worker whose training failed, or that died, is not used again: the next training has a new one.

    Args:
        local: starts the workers, each with its share of the machine.
    """

    def __init__(self, local: LocalLauncher) -> None:
        self.parallel = local.parallel
        self._local = local
        self._workers: dict[int, Worker] = {}

    def start(self, command: Sequence[str], log: Path) -> WorkerJob:
        """See `Launcher`; the command is one of `longtail`."""
        if tuple(command[: len(PROGRAM)]) != PROGRAM:
            raise ValueError(f"expected a command of longtail, got {command[: len(PROGRAM)]}")
        order = Order(tuple(command[len(PROGRAM) :]), str(log))
        slot = next(s for s in range(self.parallel) if s not in self._workers or self._workers[s].idle)
        if slot not in self._workers or not self._workers[slot].usable:
            self._retire(slot)
            self._workers[slot] = self._worker(slot, log)
        return self._workers[slot].give(order)

    def close(self) -> None:
        """End the workers, and what they still train."""
        for slot in [*self._workers]:
            self._retire(slot)

    def _worker(self, slot: int, log: Path) -> Worker:
        with log.with_suffix(".err").open("wb") as errors:  # in case it cannot even begin
            process = self._local.spawn(
                COMMAND, slot, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        return Worker(LocalJob(process))

    def _retire(self, slot: int) -> None:
        if worker := self._workers.pop(slot, None):
            worker.end()


@dataclass(eq=False)
class Worker:
    """A process that trains one cell after another."""

    job: LocalJob
    current: WorkerJob | None = field(default=None, init=False)

    @property
    def idle(self) -> bool:
        """Whether its last training ended."""
        return self.current is None or self.current.ended is not None

    @property
    def usable(self) -> bool:
        """Whether it lives, and all went well so far."""
        well = self.current is None or (self.current.ended is not None and self.current.ended.code == 0)
        return well and self.job.poll() is None

    def give(self, order: Order) -> WorkerJob:
        """Have an order carried out; a worker that dies meanwhile is noticed by the job."""
        assert self.job.process.stdin is not None
        with suppress(BrokenPipeError):
            self.job.process.stdin.write(msgspec.json.encode(order) + b"\n")
            self.job.process.stdin.flush()
        self.current = WorkerJob(self)
        return self.current

    def reply(self) -> Ended | None:
        """How the order ended; None while it is carried out, or where no answer will come."""
        assert self.job.process.stdout is not None
        answers = self.job.process.stdout.fileno()
        if not select.select([answers], [], [], 0)[0]:
            return None
        line = os.read(answers, _LONGEST_REPLY)  # a short line is written, and read, at once
        if not line:
            return None
        reply = msgspec.json.decode(line, type=Reply)
        return Ended(reply.code, reply.peak_memory_bytes)

    def end(self) -> None:
        """End the process and all that it started."""
        self.job.stop(at_once=True)
        while self.job.poll() is None:
            time.sleep(_PAUSE)
        if self.current is not None:
            self.current.poll()  # how it ended, before that can no longer be read
        for pipe in (self.job.process.stdin, self.job.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


@dataclass(eq=False)
class WorkerJob:
    """A training in a worker."""

    worker: Worker
    ended: Ended | None = field(default=None, init=False)

    def poll(self) -> Ended | None:
        """See `Job`."""
        if self.ended is None:
            died = self.worker.job.poll()  # looked at first: what it said before still counts
            self.ended = self.worker.reply() or died
        return self.ended

    def stop(self, at_once: bool = False) -> None:
        """See `Job`."""
        if self.ended is None:
            self.worker.job.stop(at_once)
