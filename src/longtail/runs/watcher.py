"""Who is told how a job is going."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from longtail.training.meter import Meter


class Watcher(Protocol):
    """Watches a whole job; `Silent` for those who need no words."""

    def say(self, line: str) -> None:
        """A sentence for the user: what was found, decided or written."""
        ...

    def progress(self, task: str, done: int, total: int) -> None:
        """How far a task other than training steps is, for instance decoding."""
        ...

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """After each step; epoch counts from 0, step from 1; reading the meter waits for the device."""
        ...

    def epoch(self, record: dict[str, Any]) -> None:
        """After each epoch, with its line of metrics.jsonl."""
        ...


class Silent:
    """A watcher that says nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def progress(self, task: str, done: int, total: int) -> None:
        """Nothing."""

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """Nothing."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Nothing."""
