"""The one interface between a method and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longtail.data.dataset import Batch, Tags
from longtail.losses.mixing import remix_share
from longtail.losses.tables import count_table
from longtail.methods.classification import Classification
from longtail.methods.options import MethodOptions
from longtail.methods.parts import Parts
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.sampling.balance import class_shares, imbalance_ratio
from longtail.sampling.epochs import Sampler, ShuffledSampler
from longtail.sampling.over import OverSampler
from longtail.sampling.under import UnderSampler
from longtail.schema import LabelSchema

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a method may know of the data it is trained on.

    Attributes:
        schema: attributes and classes.
        labels: (N, J) int64 of the whole data set, -1 = unlabelled.
        rows: (n,) int64, the rows of it that are trained on.
        epochs: of the training.
        identities: (N,) int64, -1 = unknown, or None; see `Dataset`.
        domains: where images come from, or None.
        matches: (N,) int64, -1 = none, or None.
    """

    schema: LabelSchema
    labels: NDArray[np.int64]
    rows: Rows
    epochs: int = 1
    identities: NDArray[np.int64] | None = None
    domains: Tags | None = None
    matches: NDArray[np.int64] | None = None

    @property
    def class_counts(self) -> list[list[int]]:
        """For each attribute the training images of each of its classes."""
        columns = self.labels[self.rows].T
        return [
            np.bincount(column[column >= 0], minlength=size).tolist()
            for column, size in zip(columns, self.schema.num_classes)
        ]


@dataclass(frozen=True)
class Setting:
    """What a method is built for; all of it is known from a checkpoint too.

    Attributes:
        schema: attributes and classes.
        class_counts: for each attribute the training images of each class.
        images: training images.
        vectors: feature vectors an image, 1 or J.
        features: D, size of each.
        vector: B, size of the backbone's vector.
        identities: number of identities among the training images, 0 where they are not known.
        domains: names of the domains that images come from.
    """

    schema: LabelSchema
    class_counts: list[list[int]]
    images: int
    vectors: int
    features: int
    vector: int
    identities: int = 0
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class EpochContext:
    """What a method may know and use when an epoch starts or ends.

    Attributes:
        epoch: counted from 0.
        epochs: of the whole training.
        step: first step that is taken; above 0 where a stopped epoch goes on, with the batches that
            were laid out and all buffers as they were.
        model: that is trained.
        features: rows -> (n, J or 1, D) float32 on the CPU, of images as they are, not augmented; all
            processes must ask for the same rows.
    """

    epoch: int
    epochs: int
    step: int
    model: Classifier
    features: Callable[[Rows], Tensor]


@dataclass(frozen=True)
class Losses:
    """What a method minimises on a batch.

    Attributes:
        terms: named scalars; their sum is minimised.
        mined: named detached tensors, averaged over the batches of an epoch in which they are not NaN.
    """

    terms: Mapping[str, Tensor]
    mined: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


class Decision(nn.Module, ABC):
    """How a trained model decides."""

    reads_training_images: bool = False
    """Whether it has to see features of training images before it can decide."""

    @abstractmethod
    def scores(self, output: ModelOutput, shares: Tensor) -> Tensor:
        """(N, J, K) scores from 0 to 1 whose largest decides.

        Args:
            output: of the model.
            shares: (J, K) share of each class in what was trained on.
        """

    def prepare(self, data: TrainingData, seed: int) -> None:
        """Look at the training data, before training."""

    def end_epoch(self, context: EpochContext) -> None:
        """Keep up with the features after an epoch."""


class Method(nn.Module, ABC):
    """One row of the comparison table: how it samples, what it minimises, how it decides.

    It is a module, so that what it learns is in the checkpoint. The loop asks for nothing else.

    Args:
        options: as the user gave them.
        setting: what it is built for.
        parts: what it is made of, by name.
        decision: how it decides; may be replaced after training.

    Attributes:
        classification: its form of cross entropy.
        shares: (J, K) share of each class as the logits have it after training: counts × drawing
            rates × class weights, less what the loss itself adjusts. Set by `sampler`.
        notes: what to say to the user before training starts. Set by `sampler`.
    """

    shares: Tensor
    counts: Tensor

    def __init__(self, options: MethodOptions, setting: Setting, parts: Parts, decision: Decision) -> None:
        super().__init__()
        self.options = options
        self.parts = parts
        self.classification = Classification(parts, options, setting.schema, setting.class_counts)
        self.decision = decision
        self.notes: list[str] = []
        self.register_buffer("counts", count_table(setting.class_counts).float(), persistent=False)
        shape = setting.schema.num_attributes, setting.schema.max_classes
        self.register_buffer("shares", torch.zeros(shape))

    def sampler(self, data: TrainingData, batch_size: int, seed: int, processes: int) -> Sampler:
        """Which images make a batch; asked for once, before training.

        Args:
            data: the training data, which parts may keep what they need of.
            batch_size: of all processes together.
            seed: of the order.
            processes: the batch is divisible by it.
        """
        sampler = self.draw(data, batch_size, seed, processes)
        shares = class_shares(data.labels[sampler.rows], sampler.rates(), data.schema.num_classes)
        if self.parts.sampler in ("over", "root", "under"):
            self.notes += _residual_imbalance(data, shares)
        drawn = torch.from_numpy(shares).to(self.shares)
        self.classification.adjust_to(drawn)
        self.shares.copy_(self.classification.seen(drawn))
        self.decision.prepare(data, seed)
        return sampler

    def draw(self, data: TrainingData, batch_size: int, seed: int, processes: int) -> Sampler:
        """The sampler that `parts` names."""
        labels = data.labels[data.rows]
        if self.parts.sampler == "over":
            replicate = self.parts.replicate
            return OverSampler(
                data.rows, labels, data.schema.num_classes, batch_size, seed, processes, replicate
            )
        if self.parts.sampler == "root":
            return OverSampler(
                data.rows,
                labels,
                data.schema.num_classes,
                batch_size,
                seed,
                processes,
                power=0.5,
                limit=max(1.0, self.parts.views / data.epochs),
            )
        if self.parts.sampler == "under":
            return UnderSampler(data.rows, labels, data.schema.num_classes, batch_size, seed, processes)
        return ShuffledSampler(data.rows, batch_size, seed, processes)

    @abstractmethod
    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """Named terms of the loss of a batch."""

    def cross_entropy(self, output: ModelOutput, batch: Batch) -> Tensor:
        """l_ce in the form that `parts` names."""
        return self.classification(output.logits, batch)

    def mix(self, batch: Batch) -> Batch:
        """The batch that the network sees: as it is, or with each image mixed with another one.

        x = λ x_i + (1 - λ) x_k,  λ from Beta(α, α), one for the batch, k a permutation of it; the labels
        of both go into the loss, with shares λ and 1 - λ, or with those of Remix.
        """
        if self.parts.mixing == "none":
            return batch
        options = self.options.mix
        alpha = torch.tensor(options.alpha)
        share = torch.distributions.Beta(alpha, alpha).sample().to(batch.images)
        order = torch.randperm(len(batch.labels)).to(batch.labels.device)
        images = share * batch.images + (1 - share) * batch.images[order]
        partner, shares = batch.labels[order], share.expand(len(order))
        if self.parts.mixing == "remix":
            shares = remix_share(shares, batch.labels, partner, self.counts, options.kappa, options.tau)
        return Batch(images, batch.labels, batch.index, batch.task, partner, shares)

    def fit_to(self, model: Classifier) -> None:
        """Change how a model trains, when both are built: what is fixed."""

    def begin(self, model: Classifier) -> None:
        """Change the weights that a training starts from, before its first step."""

    def start_epoch(self, context: EpochContext) -> None:
        """Prepare an epoch: curriculum, clustering, deferred weights."""
        self.classification.weighted = context.epoch >= round(self.parts.defer_weights * context.epochs)

    def end_epoch(self, context: EpochContext) -> None:
        """Keep up with the features after an epoch."""
        self.decision.end_epoch(context)

    def scores(self, output: ModelOutput) -> Tensor:
        """(N, J, K) scores from 0 to 1 whose largest decides."""
        decided = self.classification.decided(output.logits)
        return self.decision.scores(output._replace(logits=decided), self.shares)


def _residual_imbalance(data: TrainingData, shares: NDArray[np.float64]) -> list[str]:
    """What a sampler makes of the imbalance of each attribute, in sentences."""
    plain = class_shares(data.labels[data.rows], np.ones(len(data.rows)), data.schema.num_classes)
    before, after = imbalance_ratio(plain), imbalance_ratio(shares)
    return [
        f"{name}: the largest class is drawn {drawn:.3g} times as often as the smallest, it has {found:.3g} "
        "times as many images"
        for name, found, drawn in zip(data.schema.names, before.tolist(), after.tolist())
    ]
