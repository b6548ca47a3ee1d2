"""What happens in a training, written to the folder of its run."""

from __future__ import annotations

import math
from pathlib import Path

from longtail.evaluation.metrics import Metrics
from longtail.evaluation.metrics import evaluate as figures_of
from longtail.runs.evaluate import predictions_of
from longtail.runs.run import Run
from longtail.training.best import best_epoch, is_over
from longtail.training.checkpoint import save_model
from longtail.training.journal import Journal
from longtail.training.meter import Meter
from longtail.training.record import EPOCHS, EpochRecord
from longtail.training.state import TrainingState, save_state

MOST_WAIT = 0.02
"""Share of an epoch that a model may wait for images before the user hears of it."""


class RunJournal(Journal):
    """Writes what happens in the training to the run's folder, and passes it on to the run's watcher."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told = False

    def say(self, line: str) -> None:
        """Passed on."""
        self._run.watcher.say(line)

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """Passed on."""
        self._run.watcher.step(epoch, step, steps, meter)

    def epoch(self, record: EpochRecord) -> None:
        """Written, passed on, and looked at: a model that waits for its images is told of once."""
        run = self._run
        run.epochs.append(record)
        if run.fabric.is_global_zero:
            EPOCHS.write_lines(run.folder.metrics, run.epochs)  # a line half written would block --resume
        run.watcher.epoch(record)
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

    def save(self, state: TrainingState) -> None:
        """The networks to use and to set beside it, and what the training needs to go on."""
        run, ended = self._run, state.step == 0 and state.epoch > 0
        best = ended and best_epoch(run.epochs) is run.epochs[-1]
        last_is_used = run.config.keep == "last" or best_epoch(run.epochs) is None
        if best or last_is_used:
            self.keep_model(run.folder.model)
        if not last_is_used:
            self.keep_model(run.folder.last)
        elif best:
            self.keep_model(run.folder.best)
        if run.fabric.is_global_zero:
            save_state(run.folder.state, state, run.folder.before)

    def keep_model(self, path: Path) -> None:
        """The model as it is."""
        run = self._run
        if run.fabric.is_global_zero:
            save_model(path, run.learner, run.card)
