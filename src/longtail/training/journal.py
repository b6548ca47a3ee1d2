"""What a training keeps, and what it is told while it goes on."""

from __future__ import annotations

from longtail.evaluation.metrics import Metrics
from longtail.training.state import TrainingState
from longtail.training.watcher import Watcher


class Journal(Watcher):
    """Watches a training from within; this one keeps nothing and never has enough."""

    def validate(self) -> Metrics[float | None] | None:
        """Figures of the validation images by the network as it is; None without such images."""

    def is_due(self) -> bool:
        """Whether the training has gone on for so long that it should be kept again."""
        return False

    def save(self, state: TrainingState) -> None:
        """Keep what the training needs to go on: at the start, whenever it is due, at the end."""

    def has_enough(self) -> bool:
        """Whether no further epoch is wanted."""
        return False
