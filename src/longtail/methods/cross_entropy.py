"""Cross entropy: with sampler, form, class weights and decision, half of the rows of the table."""

from __future__ import annotations

from longtail.data.dataset import Batch
from longtail.methods.base import Method
from longtail.methods.context import Losses
from longtail.models.output import ModelOutput


class CrossEntropy(Method):
    """Softmax cross entropy, and nothing beside it."""

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce."""
        return Losses({"ce": self.cross_entropy(output, batch)})
