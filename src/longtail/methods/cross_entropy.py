"""Cross entropy alone: on a whole network, half of the table, or on the classifier of one that is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.methods.base import Method
from longtail.methods.context import Losses, Setting
from longtail.methods.recipe import Recipe
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput


class CrossEntropy(Method):
    """Softmax cross entropy, and nothing beside it."""

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce."""
        return Losses({"ce": self.cross_entropy(output, batch)})


class ClassifierRetraining(Method):
    """cRT: the classifier is made anew and trained on class-balanced batches, its features are fixed.

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR
    2020, section 4.1; with many attributes balanced as over-sampling is.
    """

    def begin(self, model: Classifier) -> None:
        """Fix everything below the classifier, and make that anew."""
        model.freeze()
        model.head.reset_classifier()

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce."""
        return Losses({"ce": self.cross_entropy(output, batch)})


class LearnableWeightScaling(Method):
    """LWS: every logit of the trained classifier gets a factor, learned on class-balanced batches.

        z'_jk = s_jk z_jk,     s_jk = 1 at first

    Source: Kang et al., ICLR 2020, section 4.1, eq. 5; the factor also scales the bias.
    """

    def __init__(self, options: Recipe, setting: Setting, model: Classifier) -> None:
        super().__init__(options, setting, model)
        self.scale = nn.Parameter(torch.ones(setting.schema.num_attributes, setting.schema.max_classes))

    def begin(self, model: Classifier) -> None:
        """Fix the whole network."""
        model.freeze()
        model.requires_grad_(False)

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce of the scaled logits."""
        return Losses({"ce": self.cross_entropy(self._scaled(output), batch)})

    def scores(self, output: ModelOutput) -> Tensor:
        """Of the scaled logits."""
        return super().scores(self._scaled(output))

    def _scaled(self, output: ModelOutput) -> ModelOutput:
        absent = output.logits == -torch.inf  # times a factor below 0 it would win
        scaled = self.scale * output.logits.masked_fill(absent, 0.0)
        return output._replace(logits=scaled.masked_fill(absent, -torch.inf))
