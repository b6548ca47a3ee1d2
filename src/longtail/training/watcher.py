"""Who is told how a job is going."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from longtail.training.meter import Meter
    from longtail.training.record import EpochRecord


class Watcher(Protocol):
    """Watches a whole job: bars on a terminal, a log, or `Silent`."""

    def say(self, line: str) -> None:
        """A sentence for the user: what was found, decided or written."""
        ...

    def progress(self, task: str, done: int, total: int) -> None:
        """How far a task other than training steps is, for instance decoding."""
        ...

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """After each step; epoch counts from 0, step from 1; reading the meter waits for the device."""
        ...

    def epoch(self, record: EpochRecord) -> None:
        """After each epoch."""
        ...

    def close(self) -> None:
        """The job is over, well or not: leave the terminal in order."""
        ...


class Silent:
    """A watcher that says nothing; base of those that hear only some of it."""

    def say(self, line: str) -> None:
        """Nothing."""

    def progress(self, task: str, done: int, total: int) -> None:
        """Nothing."""

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """Nothing."""

    def epoch(self, record: EpochRecord) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
