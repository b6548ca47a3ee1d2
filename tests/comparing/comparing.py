"""Stand-ins for the processes of a comparison."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from longtail.cli import main
from longtail.comparing.launcher import Ended
from longtail.training.watcher import Silent


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []
        self.shares = []

    def say(self, line):
        self.lines.append(line)

    def progress(self, task, done, total):
        self.shares.append((task, done, total))


@dataclass
class Scripted:
    """A job that ends after some looks at it, or when it is told to stop."""

    looks: int = 1
    code: int = 0
    on_look: Callable[[], None] = lambda: None
    obeys: bool = True
    stopped: list[bool] = field(default_factory=list)

    def poll(self):
        self.on_look()
        self.looks -= 1
        return Ended(self.code, 1000) if self.looks <= 0 else None

    def stop(self, at_once=False):
        self.stopped.append(at_once)
        if self.obeys or at_once:
            self.looks = 0


class ScriptedLauncher:
    """Starts what a function makes of a command; keeps the commands."""

    def __init__(self, make, parallel=2):
        self.parallel = parallel
        self.make = make
        self.commands = []
        self.jobs = []

    def start(self, command: Sequence[str], log: Path):
        self.commands.append(list(command))
        self.jobs.append(self.make(list(command), log))
        return self.jobs[-1]

    def close(self):
        """There is no process to end."""


def train_here(command: list[str], log: Path) -> Scripted:
    """Train in this process what would be trained in another."""
    with (
        log.with_suffix(".err").open("w") as errors,
        contextlib.redirect_stderr(errors),
        log.open("a") as output,
        contextlib.redirect_stdout(output),
    ):
        return Scripted(code=main(command[4:]))
