"""Triplet, contrastive and histogram loss on all pairs of a batch, alone or beside cross entropy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from longtail.data.dataset import Batch
from longtail.losses.contrastive import contrastive
from longtail.losses.histogram import histogram
from longtail.losses.triplet import triplet
from longtail.methods.base import Decision, Losses, Method, Setting
from longtail.methods.options import MethodOptions, MetricOptions
from longtail.methods.parts import Parts
from longtail.models.output import ModelOutput
from longtail.ranks import gather_ranks


class MetricLearning(Method):
    """Batches as sampled, l = w l_metric + l_ce.

    Without `beside` the network learns from l_metric alone: its features are points, and cross entropy
    trains the classifier on top of them without changing them, for a linear decision.

    Args:
        name: of the loss.
        options: as the user gave them.
    """

    def __init__(
        self, name: str, options: MethodOptions, setting: Setting, parts: Parts, decision: Decision
    ) -> None:
        super().__init__(options, setting, parts, decision)
        self.name = name
        self.weight = options.metric.weight
        self.metric = _loss(name, options.metric)

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """The two terms; pairs are those of the batch of all processes."""
        metric = self.metric(gather_ranks(output.features), gather_ranks(batch.labels))
        return Losses({"ce": self.cross_entropy(output, batch), self.name: self.weight * metric})


def _loss(name: str, options: MetricOptions) -> Callable[[Tensor, Tensor], Tensor]:
    if name == "histogram":
        return partial(histogram, nodes=options.nodes)
    loss = {"triplet": triplet, "contrastive": contrastive}[name]
    return loss if options.margin is None else partial(loss, margin=options.margin)
