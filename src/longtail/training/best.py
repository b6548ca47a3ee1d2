"""Which epoch's network is used: the best by validation, or the last. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from longtail.training.config import TrainConfig
from longtail.training.record import EpochRecord


def judged_epoch(config: TrainConfig, epochs: Sequence[EpochRecord]) -> EpochRecord | None:
    """The epoch whose network is evaluated and predicts; None before the first one ended.

    With `keep` "best" it is the one with the highest class-balanced accuracy on the validation images, by
    the run's own decision and as a mean over the attributes; of equals the last, because the learning
    rate falls. Without such figures, and with `keep` "last", it is the last one.
    """
    known = best_epoch(epochs) if config.keep == "best" else None
    return known or (epochs[-1] if epochs else None)


def best_epoch(epochs: Sequence[EpochRecord]) -> EpochRecord | None:
    """The last of the epochs with the highest class-balanced accuracy; None where no epoch has a figure."""
    known = [epoch for epoch in epochs if _balanced(epoch) is not None]
    return max(known, key=lambda epoch: (_balanced(epoch) or 0.0, epoch.epoch), default=None)


def is_over(config: TrainConfig, epochs: Sequence[EpochRecord]) -> bool:
    """Whether no further epoch is wanted: all are done, or the patience is over."""
    if config.row.solved:
        return bool(epochs)
    over = config.patience is not None and epochs_without_gain(epochs) >= config.patience
    return over or len(epochs) >= config.planned_epochs


def epochs_without_gain(epochs: Sequence[EpochRecord]) -> int:
    """How many epochs have passed since one was better than all before it.

    Example:
        >>> epochs_without_gain([])
        0
    """
    values = [_balanced(epoch) or 0.0 for epoch in epochs]
    return len(values) - 1 - values.index(max(values)) if values else 0


def _balanced(epoch: EpochRecord) -> float | None:
    return epoch.validation and epoch.validation.class_balanced_accuracy
