"""metrics.jsonl: what is known of a training after each of its epochs, one line an epoch."""

from __future__ import annotations

from longtail.documents import Form, Part
from longtail.evaluation.metrics import Metrics

Statistic = float | list[float | list[float | None] | None] | None
"""A mean over the batches of an epoch: one number, or a row for each attribute; None where undefined."""


class EpochRecord(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One epoch.

    Attributes:
        epoch: its number, from 1.
        step: steps of the whole training up to its end.
        learning_rate: at its last step.
        seconds: of training, without validation.
        images_per_second: trained on, without validation.
        input_wait_share: share of the time that the model waited for images.
        loss: mean of each term of the loss, "total" among them; None where it never was a number.
        mined: by name, means of what is counted in a batch: how far the features lie apart, and what the
            method mines.
        validation: figures of the validation images; None where there are no such images.
    """

    epoch: int
    step: int
    learning_rate: float
    seconds: float
    images_per_second: float
    input_wait_share: float
    loss: dict[str, float | None]
    mined: dict[str, Statistic] | None = None
    validation: Metrics[float | None] | None


EPOCHS = Form(EpochRecord, "records of epochs", "the metrics.jsonl of a run", "train again")
