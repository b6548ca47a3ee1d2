"""Who is told how a job is going."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtail.training.meter import Meter
    from longtail.training.record import EpochRecord


class Watcher:
    """Watches a whole job: bars on a terminal, a log, or `Silent`; what one does not override, it ignores."""

    def begin(self, epochs: int) -> None:
        """A training of at most so many epochs begins."""

    def say(self, line: str) -> None:
        """A sentence for the user: what was found, decided or written."""

    def progress(self, task: str, done: int, total: int) -> None:
        """How far a task other than training steps is, for instance decoding."""

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """After each step; epoch counts from 0, step from 1; reading the meter waits for the device."""

    def epoch(self, record: EpochRecord) -> None:
        """After each epoch."""

    def close(self) -> None:
        """The job is over, well or not: leave the terminal in order."""


class Silent(Watcher):
    """A watcher that says nothing."""
