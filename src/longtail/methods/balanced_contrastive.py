"""BCL: balanced contrastive learning beside logit-adjusted cross entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.losses.balanced_contrastive import balanced_contrastive
from longtail.methods.base import Method
from longtail.methods.context import Losses, Setting
from longtail.methods.recipe import Recipe
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.ranks import gather_for_share, gather_ranks, own_share
from longtail.tables import present_classes


class BalancedContrastive(Method):
    """l = l_ce + w l_bcl, with a learned prototype for every class; batch-local, no memory.

    Deviations: one view of an image, the paper has two more for the contrast; the prototypes are learned
    freely in the space of the features, the paper makes them from the classifier.

    Source: Zhu, Wang, Chen, Chen, Jiang, CVPR 2022.
    """

    present: Tensor

    def __init__(self, options: Recipe, setting: Setting, model: Classifier) -> None:
        super().__init__(options, setting, model)
        schema = setting.schema
        shape = schema.num_attributes, schema.max_classes, setting.features
        self.prototypes = nn.Parameter(torch.randn(shape) / setting.features**0.5)
        self.register_buffer("present", present_classes(schema), persistent=False)

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """The two terms; each process contrasts its own rows with those of all."""
        contrast = balanced_contrastive(
            gather_for_share(output.features),
            gather_ranks(batch.labels),
            self.prototypes,
            self.present,
            self.options.bcl.temperature,
            share=own_share(),
        )
        return Losses({"ce": self.cross_entropy(output, batch), "bcl": self.options.bcl.weight * contrast})
