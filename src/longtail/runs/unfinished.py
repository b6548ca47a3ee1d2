"""What is said of a model whose training did not come to its end, after it was used all the same."""

from __future__ import annotations

from pathlib import Path

from longtail.errors import InputError, Unfinished
from longtail.runs.folder import RunFolder
from longtail.training.best import is_over
from longtail.training.config import CONFIG
from longtail.training.record import EPOCHS


def is_unfinished(folder: RunFolder) -> bool:
    """Whether the lines of a run's epochs do not reach the end of its training."""
    if not folder.metrics.exists():
        return False
    try:
        return not is_over(CONFIG.read(folder.config), EPOCHS.read_lines(folder.metrics))
    except InputError:  # of another version, or of a method of the user's own that nobody has named
        return folder.can_go_on


def expect_finished(path: Path) -> None:
    """End with an exit code of its own where the training of a run is not finished.

    Raises:
        Unfinished: when it is not.
    """
    if is_unfinished(RunFolder(path)):
        raise Unfinished(f"{path}: done, with the model of a training that is not finished (exit code 3)")
