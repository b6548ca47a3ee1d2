"""How a trained model decides: by its largest probability, against the prior, or by neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from longtail.decisions.neighbours import choose_references, neighbour_scores
from longtail.decisions.prior import prior_scores
from longtail.decisions.tau_norm import tau_normalised
from longtail.methods.base import Decision, EpochContext, Rows, Setting, TrainingData
from longtail.methods.options import KNNOptions
from longtail.models.head import AttributeHead
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


class TauNorm(Decision):
    """The class vectors divided by a power of their length, which validation images choose.

    Args:
        head: the trained classifier.
    """

    norms: Tensor
    bias: Tensor
    tau: Tensor

    def __init__(self, head: AttributeHead) -> None:
        super().__init__()
        self.register_buffer("norms", head.weight.detach().norm(dim=1))
        self.register_buffer("bias", head.bias.detach().squeeze(1))
        self.register_buffer("tau", torch.zeros(()))

    def choose(self, logits: Tensor, labels: Tensor) -> None:
        """Take the τ of 0, 0.1, …, 1 with the best class-balanced accuracy; the smallest of equals.

        Args:
            logits: (n, J, K) of validation images.
            labels: (n, J) int64, -1 = unlabelled.
        """
        grid = torch.linspace(0, 1, 11)
        found = [balanced_accuracy(tau_normalised(logits, self.bias, self.norms, t), labels) for t in grid]
        self.tau.fill_(grid[int(torch.stack(found).argmax())])

    def scores(self, output: ModelOutput, shares: Tensor) -> Tensor:  # noqa: ARG002
        """Softmax of the divided logits."""
        return tau_normalised(output.logits, self.bias, self.norms, self.tau).softmax(2)


def balanced_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean recall of the classes that have images, averaged over attributes; scalar.

    Example:
        >>> balanced_accuracy(torch.tensor([[[2.0, 1.0]], [[2.0, 1.0]]]), torch.tensor([[0], [1]]))
        tensor(0.5000)
    """
    truth = one_hot(labels.clamp(min=0), logits.shape[2]) * (labels >= 0)[..., None]
    images = truth.sum(0)
    hits = (truth * (logits.argmax(2) == labels)[..., None]).sum(0)
    recall = hits / images.clamp(min=1)
    return (recall.sum(1) / (images > 0).sum(1).clamp(min=1)).mean()


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
