"""Cells waiting, running and done: no finished cell is trained twice, a failed one does not stop the rest."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from longtail.comparing.cells import Cell
from longtail.comparing.launcher import Ended, Job, Launcher
from longtail.errors import InputError, Interrupted
from longtail.evaluation.results import RESULTS
from longtail.runs.folder import COST, Cost, RunFolder
from longtail.runs.origin import ORIGIN, DataMarks, start_mark
from longtail.training.best import judged_epoch
from longtail.training.config import CONFIG
from longtail.training.interruption import Interruption
from longtail.training.record import EPOCHS
from longtail.training.watcher import Watcher
from longtail.words import count, listed, percent

PAUSE = 0.1
"""Seconds between two looks at the running trainings."""

ALIKE = 3
"""Cells that fail in the same words before any other ends well: the rest would too."""


@dataclass(eq=False)
class Queue:
    """Runs the cells of a comparison on a launcher.

    Settings and logs of the trainings go to `folder`/trainings. With `overwrite`, cells that were trained
    with other settings, on other data or after another first stage are replaced.
    """

    folder: Path
    launcher: Launcher
    watcher: Watcher
    overwrite: bool = False
    marks: DataMarks | None = None
    """Of the data now, where cells may be there already."""

    _running: dict[Cell, Job] = field(default_factory=dict, init=False)
    _some_good: bool = field(default=False, init=False)

    def run(self, cells: Sequence[Cell], what: str = "runs") -> dict[Cell, str]:
        """Train all cells that are not finished, and return what went wrong with those that failed.

        Raises:
            InputError: before anything runs, when a cell's folder holds something else; or when the first
                cells of several methods fail alike and none ended well, of a run before this one neither.
            Interrupted: when the user stopped it; what was trained is kept.
        """
        for cell in cells:
            self._expect_same(cell)
        waiting = [cell for cell in cells if cell.state(self.overwrite) != "finished"]
        pace = _Pace(what, cells, waiting)
        failed: dict[Cell, str] = {}
        with Interruption() as interruption:
            try:
                while (waiting or self._running) and interruption.received is None:
                    while waiting and len(self._running) < self.launcher.parallel:
                        cell = waiting.pop(0)
                        self._running[cell] = self._start(cell)
                    time.sleep(PAUSE)
                    failed |= self._collect(pace)
                    if waiting and (why := _hopeless(cells, pace.left, failed, what)):
                        if not self._some_good:
                            raise InputError(why)
                        failed |= dict.fromkeys(waiting, why)
                        pace.left -= len(waiting)
                        waiting.clear()
                        self.watcher.say(why)
                    self.watcher.progress(*pace.progress(self._running))
            finally:
                self._stop()
        if interruption.received is not None:
            done = len(cells) - pace.left
            raise Interrupted(
                f"stopped, {done} of {count(len(cells), 'run')} are done and the rest keep their last epoch; "
                "the same command goes on",
                interruption.received,
            )
        self._some_good = self._some_good or len(failed) < len(cells)
        return failed

    def _expect_same(self, cell: Cell) -> None:
        """Refuse a cell that began with other data or another first stage; to be replaced, it counts as new.

        Raises:
            InputError: when it must not be replaced.
        """
        folder = RunFolder(cell.path)
        if not folder.origin.exists():
            return
        before = ORIGIN.read(folder.origin)
        changed = [] if self.marks is None else before.changes_to(self.marks)
        start = cell.config.start
        if (
            start
            and before.start
            and RunFolder(Path(start)).model.exists()
            and before.start != start_mark(start)
        ):
            changed.append(f"the run that it goes on from, {Path(start).name},")
        if not changed:
            return
        if not self.overwrite:
            raise InputError(
                f"{cell.path}: {listed(changed)} changed since it was trained; --overwrite replaces it, "
                "another --output keeps both"
            )
        for file in (folder.results, *folder.unfinished):
            file.unlink(missing_ok=True)

    def _start(self, cell: Cell) -> Job:
        log = self._log(cell)
        log.parent.mkdir(exist_ok=True)
        settings = log.with_suffix(".json")
        CONFIG.write(settings, cell.config)
        return self.launcher.start(cell.command(self.overwrite, settings), log)

    def _log(self, cell: Cell) -> Path:
        # a trial and a run may have one name in two folders
        return self.folder / "trainings" / f"{cell.path.parent.name}-{cell.path.name}.log"

    def _collect(self, pace: _Pace) -> dict[Cell, str]:
        """Take note of the trainings that ended; what went wrong with those that failed."""
        failed: dict[Cell, str] = {}
        ended = self._ended()
        pace.end(cell for cell, _ in ended)
        for cell, found in ended:
            keep_cost(cell.path, found.peak_memory_bytes)
            fault = self._fault(cell, found)
            pace.left -= 1
            self.watcher.say(f"{pace.said(cell)}: {fault or _achieved(cell.path)}")
            if fault:
                failed[cell] = fault
        return failed

    def _fault(self, cell: Cell, ended: Ended) -> str | None:
        if ended.code:
            return last_words(self._log(cell).with_suffix(".err"), ended.code)
        if not RunFolder(cell.path).results.exists():
            return "there was no image to evaluate on; expected --test-share or --val-share above 0"
        return None

    def _stop(self) -> None:
        """Let what runs keep its state and end; a second Ctrl-C ends it at once."""
        try:
            for job in self._running.values():
                job.stop()
            self._wait()
        except KeyboardInterrupt:
            for job in self._running.values():
                job.stop(at_once=True)
            self._wait()

    def _wait(self) -> None:
        while self._running:
            for cell, ended in self._ended():
                keep_cost(cell.path, ended.peak_memory_bytes)
            time.sleep(PAUSE if self._running else 0)

    def _ended(self) -> list[tuple[Cell, Ended]]:
        """The trainings that ended since the last look; they are no longer running."""
        ended = [(cell, found) for cell, job in self._running.items() if (found := job.poll())]
        for cell, _ in ended:
            del self._running[cell]
        return ended


def _hopeless(cells: Sequence[Cell], left: int, failed: Mapping[Cell, str], what: str) -> str | None:
    """Why the rest need not be tried: all that ended failed alike, of every method, or of three of them."""
    words = {fault.replace(str(cell.path), "RUN") for cell, fault in failed.items()}
    tried, labels = {cell.label for cell in failed}, {cell.label for cell in cells}
    if len(failed) < max(ALIKE, len(cells) - left) or len(words) > 1 or len(tried) < min(ALIKE, len(labels)):
        return None
    return f"the first {len(failed)} {what} failed alike, the rest is not tried: {words.pop()}"


class _Pace:
    """How much is done of some cells, and how long the rest may take."""

    def __init__(self, what: str, cells: Sequence[Cell], waiting: Sequence[Cell]) -> None:
        self.left = len(waiting)
        self._what = what
        self._cells = cells
        self._waiting = tuple(waiting)
        self._ended = set[Cell]()
        self._total = sum(cell.config.planned_epochs for cell in waiting)
        self._before = self._trainings(self._epochs())
        self._started = time.monotonic()

    def end(self, cells: Iterable[Cell]) -> None:
        """Take note of trainings that ended, well or not."""
        self._ended.update(cells)

    def progress(self, running: Collection[Cell]) -> tuple[str, int, int]:
        """What `Watcher.progress` takes: the task, epochs done, all epochs."""
        epochs = self._epochs()
        done = min(sum(epochs), self._total)
        return f"{count(len(running), 'run')}, epochs{self._time_left(epochs)}", done, self._total

    def said(self, cell: Cell) -> str:
        """'2/6 runs, 0:40 left  crl-i, seed 1'."""
        done = len(self._cells) - self.left
        return f"{done}/{len(self._cells)} {self._what}{self._time_left(self._epochs())}  {cell.name}"

    def _epochs(self) -> list[int]:
        return [_epochs_done(cell) for cell in self._waiting]

    def _trainings(self, epochs: Sequence[int]) -> float:
        """How many are done: an epoch of one method may be a tenth of one of another."""
        return sum(
            1.0 if cell in self._ended else min(own / cell.config.planned_epochs, 1.0)
            for cell, own in zip(self._waiting, epochs, strict=True)
        )

    def _time_left(self, epochs: Sequence[int]) -> str:
        done = self._trainings(epochs)
        new, rest = done - self._before, len(self._waiting) - done
        if new <= 0 or not rest or not self.left:
            return ""
        minutes, seconds = divmod(round((time.monotonic() - self._started) * rest / new), 60)
        return f", {minutes}:{seconds:02} left"


def keep_cost(run: Path, peak_memory_bytes: int | None) -> None:
    """Write cost.json of a run; of a run that was resumed, the larger peak counts."""
    folder = RunFolder(run)
    if not folder.config.exists():
        return
    known = [peak for peak in (peak_memory_bytes, peak_memory(run)) if peak is not None]
    COST.write(folder.cost, Cost(max(known, default=None)))


def peak_memory(run: Path) -> int | None:
    """The peak memory that cost.json of a run holds, None where it is not known."""
    path = RunFolder(run).cost
    return COST.read(path).peak_memory_bytes if path.exists() else None


def last_words(errors: Path, code: int) -> str:
    """Why a process failed, in one line: the last one that it wrote to standard error, or its signal."""
    lines = errors.read_text(encoding="utf-8", errors="replace").splitlines() if errors.exists() else []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if said and code > 0:
        return said.removeprefix("longtail: ").removeprefix("error: ")
    if code == -signal.SIGKILL:
        return "killed (signal 9), perhaps for want of memory; try a smaller --parallel or --batch-size"
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code} and without a word"


def _epochs_done(cell: Cell) -> int:
    try:
        return RunFolder(cell.path).metrics.read_bytes().count(b"\n")
    except OSError:
        return 0


def _achieved(run: Path) -> str:
    results = RESULTS.read(RunFolder(run).results)
    balanced = results.mean.class_balanced_accuracy
    seconds = results.training.seconds if results.training else 0.0
    return f"balanced {percent(balanced and balanced.value)}%, {seconds:.1f} s"


def judged_validation(run: Path) -> float | None:
    """Class-balanced accuracy on the validation images of the network that is used; None where there is none.

    Raises:
        InputError: when no epoch is known of the run, or what is known is damaged.
    """
    folder = RunFolder(run)
    judged = judged_epoch(CONFIG.read(folder.config), EPOCHS.read_lines(folder.metrics))
    if judged is None:
        raise InputError(f"{run}: no epochs in {folder.metrics.name}")
    validation = judged.validation
    return None if validation is None else validation.class_balanced_accuracy
