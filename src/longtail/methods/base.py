"""The one interface between a method and the training loop."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.losses.mixing import remix_share
from longtail.methods.choices import Choices
from longtail.methods.context import EpochContext, Facts, Losses, Rows, Setting, Solved, TrainingData
from longtail.methods.criteria import CRITERIA
from longtail.methods.decisions import RULES
from longtail.methods.find import class_of
from longtail.methods.options import MethodOptions, SamplerName
from longtail.methods.recipe import Recipe, recipe
from longtail.methods.rows import Row
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.ranks import processes_together, rows_of_batch
from longtail.sampling.balance import class_shares, imbalance_ratio
from longtail.sampling.epochs import Sampler, ShuffledSampler
from longtail.sampling.weighted import Drawing, WeightedSampler, over_sampling, under_sampling
from longtail.tables import count_table


class Method(nn.Module, ABC):
    """One row of the comparison table: how it samples, what it minimises, how it decides.

    It is a module, so that what it learns is in the checkpoint. The loop asks for nothing else, in this
    order: `begin`, `draw`, `observe`; for every epoch `start_epoch`, for every batch of it `mix` and `loss`,
    then `end_epoch`; `scores` at any time.

    Args:
        options: what it is made of.
        setting: what it is built for.
        model: that it is to train, with fresh weights.

    Attributes:
        row: what a class of the user's own fixes; those in `METHODS` stand there.
        criterion: its form of cross entropy.
        decision: how it decides; may be replaced after training.
        choices: how often each image was mined, of a method that mines and counts; the training's state
            keeps it.
        shares: (J, K) share of each class in the posteriors of the criterion after training: counts ×
            drawing rates × class weights, less what the loss itself adjusts. Set by `observe`.
    """

    row: ClassVar[Row] = Row("a method of your own")
    choices: Choices | None = None
    shares: Tensor
    counts: Tensor

    def __init__(self, options: Recipe, setting: Setting, model: Classifier) -> None:  # noqa: ARG002
        super().__init__()
        self.options = options
        self.criterion = CRITERIA[options.loss](options, setting)
        self.decision = RULES[options.decision](options, setting)
        counts = count_table(setting.class_counts).float()
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("shares", torch.zeros_like(counts))

    @classmethod
    def facts(cls, data: TrainingData) -> Facts:  # noqa: ARG003
        """What the method has to know of the data before it is built."""
        return Facts()

    def begin(self, model: Classifier) -> None:
        """Make a model ready for its first step: fix what stays, change the weights that it starts from."""

    def draw(self, data: TrainingData, batch_size: int, seed: int, processes: int) -> Sampler:
        """Which images make a batch.

        Args:
            data: the training data.
            batch_size: of all processes together.
            seed: of the order.
            processes: the batch is divisible by it.
        """
        sampler, size = self.options.sampler, (batch_size, seed, processes)
        if sampler is None or sampler == "shuffled":
            return ShuffledSampler(data.rows, *size)
        images = data.labels[data.rows], data.schema.num_classes
        drawing = DRAWINGS[sampler](self.options, data.epochs, *images)
        return WeightedSampler(data.rows, *images, *drawing, *size)

    def observe(self, data: TrainingData, sampler: Sampler, seed: int) -> list[str]:
        """Look at what is going to be trained on, and return what to say to the user about it."""
        shares = class_shares(data.labels[sampler.rows], sampler.rates(), data.schema.num_classes)
        drawn = torch.from_numpy(shares).to(self.shares)
        self.criterion.adjust_to(drawn)
        self.shares.copy_(self.criterion.seen(drawn))
        self.decision.prepare(data, seed)
        balancing = self.options.sampler not in (None, "shuffled")
        return _residual_imbalance(data, shares) if balancing else []

    def solve(self, context: EpochContext, data: TrainingData, validation: Rows) -> Solved:
        """Train at once, see `Row.solved`.

        Args:
            context: with the model, and the features of images.
            data: the training data.
            validation: rows of the validation images.
        """
        raise NotImplementedError(f"{type(self).__name__} takes steps")

    @abstractmethod
    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """Named terms of the loss of a batch."""

    def cross_entropy(self, output: ModelOutput, batch: Batch) -> Tensor:
        """l_ce in the form that the recipe names."""
        return self.criterion(output.logits, batch)

    def mix(self, batch: Batch) -> Batch:
        """The batch that the network sees: as it is, or with each image mixed with another one.

        x = λ x_i + (1 - λ) x_k,  λ from Beta(α, α), one for the whole batch, k a permutation of it; the
        labels of both go into the loss, with shares λ and 1 - λ, or with those of Remix.
        """
        if self.options.mixing == "none":
            return batch
        options = self.options.mix
        alpha = torch.tensor(options.alpha)
        share = torch.distributions.Beta(alpha, alpha).sample().to(batch.images)
        order = torch.randperm(len(batch.labels) * processes_together())  # the same in all processes
        images = share * batch.images + (1 - share) * rows_of_batch(batch.images, order)
        partner, shares = rows_of_batch(batch.labels, order), share.expand(len(batch.labels))
        if self.options.mixing == "remix":
            shares = remix_share(shares, batch.labels, partner, self.counts, options.kappa, options.tau)
        return Batch(images, batch.labels, batch.index, batch.task, partner, shares)

    def start_epoch(self, context: EpochContext) -> None:
        """Prepare an epoch: curriculum, clustering, deferred weights."""
        start = round(self.options.defer_weights * context.epochs)
        self.criterion.weighted = context.epoch >= min(start, context.epochs - 1)  # else they never would be

    def end_epoch(self, context: EpochContext) -> None:
        """Keep up with the features after an epoch."""
        self.decision.end_epoch(context)

    def scores(self, output: ModelOutput) -> Tensor:
        """(N, J, K) scores from 0 to 1 whose largest decides."""
        return self.decision.scores(output, self.criterion, self.shares)


def build_method(name: str, options: MethodOptions, setting: Setting, model: Classifier) -> Method:
    """The method of a name.

    Args:
        name: of `METHODS`, or of a class of the user's own.
        options: as the user gave them.
        setting: what it is built for.
        model: that it is to train.

    Raises:
        InputError: when the name is unknown, parts do not go together, or options do not fit.
    """
    found = class_of(name)
    try:
        inspect.signature(found).bind(options, setting, model)
    except TypeError as error:
        raise InputError(f"{name}: is made of (options, setting, model), and {error}") from None
    return found(recipe(name, options), setting, model)


DRAWINGS: Mapping[SamplerName, Callable[[Recipe, int, NDArray[np.int64], tuple[int, ...]], Drawing]] = {
    "over": lambda recipe, _, labels, classes: over_sampling(labels, classes, replicate=recipe.replicate),
    "root": lambda recipe, epochs, labels, classes: over_sampling(
        labels, classes, power=0.5, limit=max(1.0, (recipe.views or math.inf) / epochs)
    ),
    "under": lambda _recipe, _epochs, labels, classes: under_sampling(labels, classes),
}
"""How images are weighed, by the name that `--sampler` takes, of epochs, labels and numbers of classes."""


def _residual_imbalance(data: TrainingData, shares: NDArray[np.float64]) -> list[str]:
    """A sentence for each attribute: its imbalance among the draws and among the images."""
    plain = class_shares(data.labels[data.rows], np.ones(len(data.rows)), data.schema.num_classes)
    before, after = imbalance_ratio(plain), imbalance_ratio(shares)
    return [
        f"{name}: the largest class is drawn {drawn:.3g} times as often as the smallest, it has {found:.3g} "
        "times as many images"
        for name, found, drawn in zip(data.schema.names, before.tolist(), after.tolist())
        if found > 0  # NaN where no training image has a label
    ]
