"""How a trained model decides: by its largest probability, against the prior, or by neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from longtail.decisions.neighbours import choose_references, neighbour_scores
from longtail.decisions.prior import prior_scores
from longtail.methods.base import Decision, EpochContext, Rows, Setting, TrainingData
from longtail.methods.options import KNNOptions
from longtail.models.output import ModelOutput
from longtail.schema import UNLABELLED


class Argmax(Decision):
    """The class with the largest softmax probability."""

    def scores(self, output: ModelOutput, shares: Tensor) -> Tensor:  # noqa: ARG002
        """Probabilities."""
        return output.logits.float().softmax(2)


class Prior(Decision):
    """Threshold adjustment: probabilities divided by the shares of the classes in training."""

    def scores(self, output: ModelOutput, shares: Tensor) -> Tensor:
        """Divided probabilities that sum to 1."""
        return prior_scores(output.logits, shares)


class Neighbours(Decision):
    """kNN: the nearest training images vote.

    Args:
        options: as the user gave them.
        setting: sizes of the features that are kept.
    """

    references: Tensor
    reference_labels: Tensor
    reads_training_images = True

    def __init__(self, options: KNNOptions, setting: Setting) -> None:
        super().__init__()
        self.k = options.k
        kept = min(options.references, setting.images)
        self.rows: Rows | None = None
        self.register_buffer("references", torch.zeros(kept, setting.vectors, setting.features))
        labels = torch.full((kept, setting.schema.num_attributes), UNLABELLED)
        self.register_buffer("reference_labels", labels)

    def prepare(self, data: TrainingData, seed: int) -> None:
        """Choose which training images are kept."""
        labels = data.labels[data.rows]
        chosen = choose_references(labels, len(self.references), self.k, seed)
        self.rows = data.rows[chosen]
        # images without any label have no vote, so there may be fewer than there is room for
        self.reference_labels[: len(chosen)] = torch.from_numpy(labels[chosen])

    def end_epoch(self, context: EpochContext) -> None:
        """Keep their features."""
        if self.rows is not None:
            features = normalize(context.features(self.rows), dim=2)
            self.references[: len(features)] = features.to(self.references.device)

    def scores(self, output: ModelOutput, shares: Tensor) -> Tensor:
        """Shares of the votes."""
        features = normalize(output.features.float(), dim=2)
        return neighbour_scores(features, self.references, self.reference_labels, shares.shape[1], self.k)
