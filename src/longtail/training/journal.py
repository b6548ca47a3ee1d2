"""What a training keeps, and what it is told while it goes on."""

from __future__ import annotations

from longtail.evaluation.metrics import Metrics
from longtail.training.state import TrainingState
from longtail.training.watcher import Watcher


class Journal(Watcher):
    """Watches a training from within; this one keeps nothing and never has enough."""

    def validate(self) -> Metrics[float | None] | None:
        """Figures of the validation images by the network as it is; None without such images."""

    def save(self, state: TrainingState) -> None:
        """Keep what the training needs to go on: at the start, after every epoch, when interrupted."""

    def has_enough(self) -> bool:
        """Whether no further epoch is wanted."""
        return False
