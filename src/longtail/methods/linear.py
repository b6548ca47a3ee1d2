"""Logistic regression on the vectors of a frozen backbone, solved and not descended to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from longtail.data.dataset import Batch
from longtail.features.linear import STRENGTHS, fit_attributes
from longtail.methods.base import Method
from longtail.methods.context import EpochContext, Losses, Rows, Solved, TrainingData
from longtail.models.backbones import STRENGTH
from longtail.models.output import ModelOutput

FEWEST_TO_CHOOSE = 200
"""Validation images from which on they choose the strength."""


class Linear(Method):
    """One multinomial logistic regression an attribute, its strength chosen on the validation images.

    See `longtail.features.linear.fit_linear` for the objective; the decision divides by the prior. With fewer
    than `FEWEST_TO_CHOOSE` validation images the strength is `STRENGTH`. Where the training sees mirrored
    images too, each image is two rows.
    """

    def solve(self, context: EpochContext, data: TrainingData, validation: Rows) -> Solved:
        """Put the solutions into the model's classifier."""
        head = context.model.head
        views = [view(data.rows) for view in (context.features, context.mirrored) if view is not None]
        own = torch.cat(views)[:, 0]
        other = context.features(validation)[:, 0] if len(validation) else own[:0]
        labels = np.tile(data.labels[data.rows], (len(views), 1))
        length = usual_length(own)
        x, checked = (own / length).numpy(), (other / length).numpy()
        many = len(validation) >= FEWEST_TO_CHOOSE
        fits = fit_attributes(
            x,
            labels,
            data.schema.num_classes,
            (checked, data.labels[validation]),
            STRENGTHS if many else (STRENGTH,),
        )
        with torch.no_grad():
            for j, (fit, size) in enumerate(zip(fits, data.schema.num_classes, strict=True)):
                head.weight[j, :, :size] = torch.from_numpy(fit.weight / length)
                head.bias[j, 0, :size] = torch.from_numpy(fit.bias)
        known = f"{len(validation):,} validation images"
        strengths = ", ".join(f"{n} {fit.strength:g}" for n, fit in zip(data.schema.names, fits))
        note = (
            f"chosen on {known}: {strengths}" if many else f"{STRENGTH:g}: {known} are too few to choose it"
        )
        return Solved(sum(fit.loss for fit in fits), (f"strength of the regression, {note}",))

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce, for a rehearsal; a training solves."""
        return Losses({"ce": self.cross_entropy(output, batch)})


def usual_length(vectors: Tensor) -> float:
    """Median length of (n, D) vectors, by which they are divided; 1 where nothing is seen of them."""
    return vectors.norm(dim=1).median().item() or 1.0
