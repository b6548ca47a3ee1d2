"""Plain cross entropy: the method that the others are measured against."""

from __future__ import annotations

from longtail.data.dataset import Batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.methods.base import Losses, Method
from longtail.models.output import ModelOutput


class CrossEntropy(Method):
    """Shuffled batches, softmax cross entropy, argmax."""

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce."""
        return Losses({"ce": cross_entropy(output.logits, batch.labels)})
