"""What happens in a training, written to the folder of its run."""

from __future__ import annotations

import math
import time
from pathlib import Path

from torch import Tensor

from longtail.evaluation.metrics import Metrics
from longtail.evaluation.metrics import evaluate as figures_of
from longtail.runs.evaluate import predictions_of
from longtail.runs.loggers import Logging
from longtail.runs.run import Run
from longtail.training.best import best_epoch, is_over
from longtail.training.checkpoint import weights_of, write_model
from longtail.training.journal import Journal
from longtail.training.meter import Meter
from longtail.training.record import EPOCHS, EpochRecord
from longtail.training.state import TrainingState, save_state

MOST_WAIT = 0.02
"""Share of an epoch that a model may wait for images before the user hears of it."""


class RunJournal(Journal):
    """Writes what happens in the training to the run's folder, and passes it on to the run's watcher."""

    def __init__(self, run: Run, logging: Logging) -> None:
        self._run = run
        self._logging = logging
        self._told = False
        self._saved = time.monotonic()
        self._best: dict[str, Tensor] | None = None

    def say(self, line: str) -> None:
        """Passed on."""
        self._run.watcher.say(line)

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """Passed on."""
        self._run.watcher.step(epoch, step, steps, meter)

    def epoch(self, record: EpochRecord) -> None:
        """Passed on, and looked at: a model that waits for its images is told of once."""
        run = self._run
        run.epochs.append(record)
        if best_epoch(run.epochs) is record:
            self._best = weights_of(run.learner)
        run.watcher.epoch(record)
        self._logging.epoch(record)
        if record.input_wait_share > MOST_WAIT and not self._told:
            self._told = True
            run.watcher.say(
                f"{100 * record.input_wait_share:.0f}% of the epoch was spent waiting for images; more "
                "--workers may help"
            )

    def validate(self) -> Metrics[float | None] | None:
        """Figures of the run's validation images."""
        run, rows = self._run, self._run.data.splits.val
        if not len(rows):
            return None
        figures = figures_of(predictions_of(run, run.data.dataset, rows, run.scores(rows))).mean
        return figures.map(lambda value: None if math.isnan(value) else value)

    def has_enough(self) -> bool:
        """Whether all epochs are done, or the run's patience is over."""
        return is_over(self._run.config, self._run.epochs)

    def is_due(self) -> bool:
        """Whether the time of the run's settings has passed since it was kept."""
        return time.monotonic() - self._saved >= self._run.config.checkpoint_seconds

    def save(self, state: TrainingState) -> None:
        """The epochs so far, the networks to use and to set beside it, and what the training needs to go on.

        Lines and networks are written together, so that the lines never tell of a network that is not there.
        """
        folder, last = self._run.folder, weights_of(self._run.learner)
        self.keep_epochs()
        last_is_used = self._run.config.keep == "last" or best_epoch(self._run.epochs) is None
        if self._best is not None:  # there is a better one than when the training was kept before
            self._write(folder.best if last_is_used else folder.model, self._best)
        self._write(folder.model if last_is_used else folder.last, last)
        if self._run.fabric.is_global_zero:
            save_state(folder.state, state, folder.before)
        self._saved, self._best = time.monotonic(), None

    def keep_model(self) -> None:
        """The model as it is, of a method that takes no steps."""
        self._write(self._run.folder.model, weights_of(self._run.learner))

    def keep_epochs(self) -> None:
        """The epochs so far; with the last of them the training counts as finished."""
        if self._run.fabric.is_global_zero:
            EPOCHS.write_lines(self._run.folder.metrics, self._run.epochs)

    def _write(self, path: Path, tensors: dict[str, Tensor]) -> None:
        if self._run.fabric.is_global_zero:
            write_model(path, tensors, self._run.card)
