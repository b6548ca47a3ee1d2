"""How a trained model decides: by its largest probability, against the prior, by neighbours or clusters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from longtail.decisions.clusters import cluster_scores
from longtail.decisions.logits import prior_scores, tau_normalised
from longtail.decisions.neighbours import choose_references, neighbour_scores
from longtail.errors import InputError
from longtail.methods.context import EpochContext, Rows, Setting, TrainedRun, TrainingData
from longtail.methods.criteria import Criterion
from longtail.methods.options import LMLEOptions
from longtail.methods.recipe import Recipe
from longtail.models.head import AttributeHead
from longtail.models.output import ModelOutput
from longtail.sampling.clusters import Clusters, cluster_counts
from longtail.schema import UNLABELLED
from longtail.tables import present_classes

KEPT = 20
"""Images of a class that the pool of LMLE holds at least, where there are so many."""


class Decision(nn.Module, ABC):
    """How a trained model decides. What it keeps is in the checkpoint.

    Args:
        recipe: of the method.
        setting: what the method is built for.
    """

    def __init__(self, recipe: Recipe, setting: Setting) -> None:  # noqa: ARG002
        super().__init__()

    @abstractmethod
    def scores(self, output: ModelOutput, criterion: Criterion, shares: Tensor) -> Tensor:
        """(N, J, K) scores from 0 to 1 whose largest decides.

        Args:
            output: of the model.
            criterion: that it was trained by, which knows what the logits mean.
            shares: (J, K) share of each class in the posteriors of the criterion.
        """

    def assumed(self, shares: Tensor) -> Tensor:
        """(J, K) how frequent each class is where the scores are posteriors; `shares` as of `scores`."""
        return shares

    def prepare(self, data: TrainingData, seed: int) -> None:
        """Look at the training data, before training."""

    def end_epoch(self, context: EpochContext) -> None:
        """Keep up with the features after an epoch."""

    def learn(self, read: Callable[[], TrainedRun]) -> None:
        """Catch up when it is chosen for a network that is trained already.

        Args:
            read: reads the data of the run; called only where they are needed.

        Raises:
            InputError: when it cannot be chosen any more.
        """


class Argmax(Decision):
    """The class with the largest softmax probability, whatever the loss made of it."""

    def scores(self, output: ModelOutput, criterion: Criterion, shares: Tensor) -> Tensor:  # noqa: ARG002
        """Probabilities."""
        return criterion.own(output.logits.float()).softmax(2)


class Prior(Decision):
    """Threshold adjustment: posteriors divided by the shares of the classes in training."""

    def scores(self, output: ModelOutput, criterion: Criterion, shares: Tensor) -> Tensor:
        """Divided posteriors that sum to 1."""
        return prior_scores(criterion.posterior(output.logits.float()), shares)

    def assumed(self, shares: Tensor) -> Tensor:
        """Equal, for classes that were trained."""
        trained = (shares > 0).to(shares)
        return trained / trained.sum(1, keepdim=True).clamp(min=1)


class TauNorm(Decision):
    """The class vectors divided by a power of their length, which validation images choose."""

    norms: Tensor
    bias: Tensor
    tau: Tensor

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        super().__init__(recipe, setting)
        shape = setting.schema.num_attributes, setting.schema.max_classes
        self.register_buffer("norms", torch.ones(shape))
        self.register_buffer("bias", torch.zeros(shape))
        self.register_buffer("tau", torch.zeros(()))

    def learn(self, read: Callable[[], TrainedRun]) -> None:
        """Choose the power on the run's validation images."""
        run = read()
        if not len(run.validation):
            raise InputError("--decision tau-norm: is chosen on validation images, and the run has none")
        labels = torch.from_numpy(run.data.labels[run.validation])
        self.choose(run.context.model.head, run.logits(run.validation), labels)

    def choose(self, head: AttributeHead, logits: Tensor, labels: Tensor) -> None:
        """Take the τ of 0, 0.1, …, 1 with the best class-balanced accuracy; the smallest of equals.

        Args:
            head: the trained classifier.
            logits: (n, J, K) of validation images.
            labels: (n, J) int64, -1 = unlabelled.
        """
        self.norms.copy_(head.weight.detach().norm(dim=1))
        self.bias.copy_(head.bias.detach().squeeze(1))
        grid = torch.linspace(0, 1, 11)
        found = [balanced_accuracy(tau_normalised(logits, self.bias, self.norms, t), labels) for t in grid]
        self.tau.fill_(grid[int(torch.stack(found).argmax())])

    def scores(self, output: ModelOutput, criterion: Criterion, shares: Tensor) -> Tensor:  # noqa: ARG002
        """Softmax of the divided logits."""
        return tau_normalised(output.logits, self.bias, self.norms, self.tau).softmax(2)


def balanced_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean recall of the classes that have images, averaged over attributes; scalar.

    Example:
        >>> balanced_accuracy(torch.tensor([[[2.0, 1.0]], [[2.0, 1.0]]]), torch.tensor([[0], [1]]))
        tensor(0.5000)
    """
    attributes, classes = logits.shape[1:]
    cells = labels + classes * torch.arange(attributes, device=labels.device)
    known, right = labels >= 0, logits.argmax(2) == labels

    def counted(rows: Tensor) -> Tensor:
        return cells[rows].bincount(minlength=attributes * classes).view(attributes, classes)

    images = counted(known)
    recall = counted(known & right) / images.clamp(min=1)
    return (recall.sum(1) / (images > 0).sum(1).clamp(min=1)).mean()


class Neighbours(Decision):
    """kNN: the nearest training images vote."""

    references: Tensor
    reference_labels: Tensor

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        super().__init__(recipe, setting)
        self.k = recipe.knn.k
        kept = min(recipe.knn.references, setting.images)
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

    def learn(self, read: Callable[[], TrainedRun]) -> None:
        """Choose training images, and keep their features."""
        run = read()
        self.prepare(run.data, run.seed)
        self.end_epoch(run.context)

    def scores(self, output: ModelOutput, criterion: Criterion, shares: Tensor) -> Tensor:  # noqa: ARG002
        """Shares of the votes."""
        features = normalize(output.features.float(), dim=2)
        return neighbour_scores(features, self.references, self.reference_labels, shares.shape[1], self.k)


class NearestClusters(Decision):
    """The large-margin local decision among the nearest centroids.

    Source: Huang, Li, Loy, Tang, CVPR 2016, eq. 3.
    """

    centroids: Tensor
    classes: Tensor
    present: Tensor

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        super().__init__(recipe, setting)
        self.k = recipe.lmle.k
        self.trained_with = recipe.decision
        table = cluster_table(recipe.lmle, setting)
        attributes, most = setting.schema.num_attributes, max(map(sum, table))
        self.register_buffer("centroids", torch.zeros(attributes, most, setting.features))
        self.register_buffer("classes", torch.full((attributes, most), -1))
        self.register_buffer("present", present_classes(setting.schema), persistent=False)

    def keep(self, clusters: list[Clusters]) -> None:
        """Take over the clusters of every attribute."""
        for j, found in enumerate(clusters):
            self.classes[j] = -1
            self.centroids[j, : len(found.classes)] = torch.from_numpy(found.centroids).to(self.centroids)
            self.classes[j, : len(found.classes)] = torch.from_numpy(found.classes).to(self.classes)

    def learn(self, read: Callable[[], TrainedRun]) -> None:  # noqa: ARG002
        """Refused: only training keeps the clusters."""
        raise InputError(
            f"--decision clusters: the run was trained with --decision {self.trained_with} and kept no "
            "clusters; train it without that flag"
        )

    def scores(self, output: ModelOutput, criterion: Criterion, shares: Tensor) -> Tensor:  # noqa: ARG002
        """Softmax of the margins."""
        features = normalize(output.features.float(), dim=2)
        return cluster_scores(features, self.centroids, self.classes, self.present, self.k)


def cluster_table(options: LMLEOptions, setting: Setting) -> list[list[int]]:
    """For each attribute the clusters of each class, of the images that a pool holds of it."""
    return [
        [cluster_counts(max(round(options.pool * n), min(n, KEPT)), options.cluster_size) for n in counts]
        for counts in setting.class_counts
    ]


RULES: Mapping[str, type[Decision]] = {
    "argmax": Argmax,
    "prior": Prior,
    "knn": Neighbours,
    "clusters": NearestClusters,
    "tau-norm": TauNorm,
}
"""The decision by the name that `--decision` takes; what goes with it stands in `DECISIONS`."""
