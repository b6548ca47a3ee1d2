"""Triplet, contrastive and histogram loss on all pairs of a batch, alone or beside cross entropy."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from longtail.data.dataset import Batch
from longtail.losses.pairs import contrastive, histogram, triplet
from longtail.methods.base import Method
from longtail.methods.context import Losses
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.ranks import gather_for_share, gather_ranks, own_share
from longtail.rectification.share import Share


class MetricLearning(Method):
    """Batches as sampled, l = w l_metric + l_ce.

    Without `beside` the network learns from l_metric alone: its features are points, and cross entropy
    trains the classifier on top of them without changing them, for a linear decision.
    """

    name: ClassVar[str]

    @property
    def margin(self) -> dict[str, float]:
        """The margin if the user gave one, to pass on; else the loss has its own."""
        given = self.options.metric.margin
        return {} if given is None else {"margin": given}

    def begin(self, model: Classifier) -> None:
        """Cut the classifier off from the features below it, unless cross entropy trains them too."""
        model.head.detached = not self.options.metric.beside

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """The two terms; each process pairs its own rows with those of all."""
        rows = gather_for_share(output.features), gather_ranks(batch.labels)
        metric = self.metric(*rows, own_share())
        weight = self.options.metric.weight
        return Losses({"ce": self.cross_entropy(output, batch), self.name: weight * metric})

    @abstractmethod
    def metric(self, features: Tensor, labels: Tensor, share: Share) -> Tensor:
        """l_metric."""


class Triplet(MetricLearning):
    """See `triplet`."""

    name = "triplet"

    def metric(self, features: Tensor, labels: Tensor, share: Share) -> Tensor:
        """l_metric."""
        return triplet(features, labels, **self.margin, share=share)


class Contrastive(MetricLearning):
    """See `contrastive`."""

    name = "contrastive"

    def metric(self, features: Tensor, labels: Tensor, share: Share) -> Tensor:
        """l_metric."""
        return contrastive(features, labels, **self.margin, share=share)


class Histogram(MetricLearning):
    """See `histogram`."""

    name = "histogram"

    def metric(self, features: Tensor, labels: Tensor, share: Share) -> Tensor:
        """l_metric."""
        return histogram(features, labels, nodes=self.options.metric.nodes, share=share)
