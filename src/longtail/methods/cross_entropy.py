"""Cross entropy: with its sampler, class weights and decision, five rows of the comparison table."""

from __future__ import annotations

from longtail.data.dataset import Batch
from longtail.methods.base import Losses, Method
from longtail.models.output import ModelOutput


class CrossEntropy(Method):
    """Softmax cross entropy, and nothing beside it."""

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce."""
        return Losses({"ce": self.cross_entropy(output, batch)})
