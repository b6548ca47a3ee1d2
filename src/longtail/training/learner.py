"""A model and its method as one module, so that processes and checkpoints treat them as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, is_tensor, nn

from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.images.normalise import normalise
from longtail.methods.base import Method
from longtail.methods.context import Losses
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.ranks import average_ranks

TOTAL = "total"
"""Name of the sum of all terms of a loss, beside them."""

FEATURE_SPREAD = "feature_spread"
"""Name of `feature_spread` among what is counted in a batch."""


class Learner(nn.Module):
    """What is trained: everything with parameters or buffers.

    Images are uint8 as they are stored, or floating point and normalised already, as training augments
    and normalises in one pass.

    Args:
        model: normalised images -> ModelOutput.
        method: ModelOutput -> losses, scores.
        mean, std: per channel, of pixels in [0, 1]; they stand in the model card, not among the weights.
        images: how many it is trained on.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: Classifier, method: Method, mean: Sequence[float], std: Sequence[float], images: int
    ) -> None:
        super().__init__()
        self.images = images
        self.model = model
        self.method = method
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(
        self, images: Tensor, labels: Tensor, index: Tensor, task: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Named loss terms and mined statistics of a batch; mixing is for normalised images."""
        batch = self.method.mix(Batch(images, labels, index, task))
        output = self.output(batch.images)
        losses = self.method.loss(output, batch)
        _expect_losses(losses, type(self.method).__name__)
        terms = {name: value.reshape(()) for name, value in losses.terms.items()}
        return terms, {FEATURE_SPREAD: feature_spread(output.features), **losses.mined}

    def output(self, images: Tensor) -> ModelOutput:
        """Logits, features and the backbone's vector."""
        return self.model(self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        return normalise(images, self.mean, self.std) if images.dtype == torch.uint8 else images

    def scores(self, images: Tensor) -> Tensor:
        """(N, J, K) scores from 0 to 1 whose largest decides."""
        return self.method.scores(self.output(images))

    def vectors(self, images: Tensor) -> Tensor:
        """(N, B) vectors of the backbone."""
        return self.model.vectors(self._normalised(images))

    def features(self, images: Tensor) -> Tensor:
        """(N, J or 1, D) features."""
        return self.output(images).features

    def logits(self, images: Tensor) -> Tensor:
        """(N, J, K) logits."""
        return self.output(images).logits


@torch.no_grad()
def feature_spread(features: Tensor) -> Tensor:
    """How far the features of a whole batch lie apart: the share of their mean square that differs.

        s = 1 - ‖mean_i f_i‖² / mean_i ‖f_i‖²

    Args:
        features: (N, J, D).

    Returns:
        (J,) from 0, where all images have one feature vector, to 1.
    """
    f = features.float()
    moments = torch.cat([f.mean(0), f.square().sum(2).mean(0)[:, None]], 1)  # (J, D + 1)
    mean, square = average_ranks(moments).split([f.shape[2], 1], 1)
    return (1 - mean.square().sum(1) / square.squeeze(1)).nan_to_num(0.0).clamp(min=0)


def _expect_losses(found: object, method: str) -> None:
    """Refuse what a method of the user's own gives in place of losses."""
    if isinstance(found, Losses) and found.terms:
        if TOTAL in found.terms:
            raise InputError(f"{method}.loss: a term is called {TOTAL!r}, as their sum is; call it otherwise")
        wrong = [name for name, value in found.terms.items() if not (is_tensor(value) and value.numel() == 1)]
        if wrong:
            raise InputError(f"{method}.loss: expected a tensor of one number as the term {wrong[0]!r}")
        if not any(value.requires_grad for value in found.terms.values()) and torch.is_grad_enabled():
            raise InputError(
                f"{method}.loss: no term depends on the network, so that nothing could be learned"
            )
        if loose := [name for name, value in found.mined.items() if not is_tensor(value)]:
            raise InputError(f"{method}.loss: expected a tensor as what was mined, {loose[0]!r}")
        return
    raise InputError(f"{method}.loss: expected Losses with at least one named term, got {found!r:.80}")
