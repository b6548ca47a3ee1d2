"""A model and its method as one module, so that processes and checkpoints treat them as one."""

from __future__ import annotations

from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.methods.base import Method
from longtail.models.classifier import Classifier


class Learner(nn.Module):
    """What is trained: everything with parameters or buffers.

    Args:
        model: images -> ModelOutput.
        method: ModelOutput -> losses, scores.
    """

    def __init__(self, model: Classifier, method: Method) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(
        self, images: Tensor, labels: Tensor, index: Tensor, task: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Named loss terms and mined statistics of a batch."""
        batch = self.method.mix(Batch(images, labels, index, task))
        losses = self.method.loss(self.model(batch.images), batch)
        return dict(losses.terms), dict(losses.mined)

    def scores(self, images: Tensor) -> Tensor:
        """(N, J, K) scores of normalised images."""
        return self.method.scores(self.model(images))
