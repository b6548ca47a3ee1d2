"""How a job is shown while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from longtail.training.watcher import Silent, Watcher
from longtail.words import shown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from longtail.training.meter import Meter
    from longtail.training.record import EpochRecord

PAUSE = 0.5
"""Least seconds between two pictures; each reads the meter, which waits for the device."""


def display(stream: TextIO, *, quiet: bool = False) -> Watcher:
    """What fits the stream: bars on a terminal, a line per epoch elsewhere, nothing when quiet."""
    if quiet:
        return Silent()
    if stream.isatty():
        from rich.console import Console

        console = Console(file=stream, highlight=False, markup=False, emoji=False)
        if not console.is_dumb_terminal:
            return Bars(console)
    return Lines(partial(print, file=stream, flush=True))


class Lines(Watcher):
    """A plain line for each sentence and each epoch; a log needs no bars."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._epochs = 0

    def begin(self, epochs: int) -> None:
        """How many there are stands beside the number of each."""
        self._epochs = epochs

    def say(self, line: str) -> None:
        """The sentence; names in it cannot steer the terminal."""
        self._write(shown(line))

    def epoch(self, record: EpochRecord) -> None:
        """The epoch's figures."""
        self.say(epoch_line(record, self._epochs))


class Bars(Lines):
    """Bars that move at the foot of a terminal, sentences and epochs above them."""

    def __init__(self, console: Console) -> None:
        super().__init__(console.print)
        self._console = console
        self._live: Live | None = None
        self._drawn = time.monotonic()  # what is over at once is not shown
        self._first: dict[str, tuple[float, int]] = {}  # when which step of a lap was seen first

    def progress(self, task: str, done: int, total: int) -> None:
        """A bar that goes away at its end."""
        if done >= total:
            self.close()
        elif self._due():
            self._draw(_grid([(task, done / total, f"{done:,}/{total:,}", "")]))

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """Two bars, the losses, and what was mined."""
        done, total = epoch * steps + step, self._epochs * steps
        whole, speed = self._rate("all", done), self._rate(f"epoch {epoch}", step)
        if not self._due():
            return
        means, left = meter.means(), whole and (total - done) / whole
        rows = [
            ("epoch", done / total, f"{epoch + 1}/{self._epochs}", f"{clock(left)} left" if left else ""),
            ("step", step / steps, f"{step}/{steps}", f"{speed:.3g} steps/s" if speed else ""),
        ]
        self._draw(_grid(rows, loss_text(means.loss), mined_text(means.mined)))

    def close(self) -> None:
        """Take the bars off the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _rate(self, lap: str, done: int) -> float:
        """Steps a second since the first step that was seen of a lap; 0 until a second one is."""
        now = time.monotonic()
        began, first = self._first.setdefault(lap, (now, done))
        return (done - first) / (now - began) if now > began else 0.0

    def _due(self) -> bool:
        return time.monotonic() - self._drawn >= PAUSE

    def _draw(self, picture: RenderableType) -> None:
        from rich.live import Live

        if self._live is None:
            # without a thread of its own: what is shown changes with a step or not at all
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(picture, refresh=True)
        self._drawn = time.monotonic()


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """One epoch for people: class-balanced accuracy and recall of rare classes in validation.

    Example: 'epoch  3/20  loss 2.000  balanced 50.0%  4.2 s'.
    """
    width = len(str(epochs))
    parts = [f"epoch {record.epoch:>{width}}/{epochs}", loss_text(record.loss)]
    if record.validation is not None:
        named = (
            ("balanced", record.validation.class_balanced_accuracy),
            ("few", record.validation.few_recall),
        )
        shown = ", ".join(f"{name} {100 * value:.1f}%" for name, value in named if value is not None)
        parts += [shown] if shown else []
    return "  ".join([*parts, f"{record.seconds:.1f} s"])


def loss_text(loss: Mapping[str, float | None]) -> str:
    """The terms that the loss is the sum of.

    Example:
        >>> loss_text({"total": 2.25, "ce": 2.0, "crl": 0.25}), loss_text({"total": 2.0, "ce": 2.0})
        ('loss 2.000 ce + 0.250 crl', 'loss 2.000')
    """
    terms = [f"{_number(value)} {name}" for name, value in loss.items() if name != "total"]
    return "loss " + (" + ".join(terms) if len(terms) > 1 else _number(loss["total"]))


def mined_text(mined: Mapping[str, Any]) -> str:
    """What was mined in a mean batch; nothing for methods that do not mine."""
    if "anchors" not in mined:
        return ""
    anchors, positive, negative = (
        f"{mined[name] or 0:,.0f}" for name in ("anchors", "positive_pairs", "negative_pairs")
    )
    return f"mined in a batch: {anchors} anchors, {positive} positive and {negative} negative pairs"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    Example:
        >>> clock(3725.4)
        '1:02:05'
    """
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _grid(rows: list[tuple[str, float, str, str]], *lines: str) -> RenderableType:
    """Rows of a name, the share that is done, a count and a note, with a bar; lines of text below."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    for name, share, count, note in rows:
        grid.add_row(
            name, ProgressBar(total=1, completed=share, width=36), Text(count, justify="right"), note
        )
    return Group(grid, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines if line))
