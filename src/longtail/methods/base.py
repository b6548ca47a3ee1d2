"""The one interface between a method and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.models.output import ModelOutput
from longtail.sampling.epochs import Sampler, ShuffledSampler
from longtail.schema import LabelSchema


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a method may know before training.

    Attributes:
        schema: attributes and classes.
        labels: (N, J) int64 of the whole data set, -1 = unlabelled.
        rows: (n,) int64, the rows of it that are trained on.
    """

    schema: LabelSchema
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def class_counts(self) -> list[list[int]]:
        """For each attribute the training images of each of its classes."""
        columns = self.labels[self.rows].T
        return [
            np.bincount(column[column >= 0], minlength=size).tolist()
            for column, size in zip(columns, self.schema.num_classes)
        ]


class EpochContext(NamedTuple):
    """What a method may know when an epoch starts.

    Attributes:
        epoch: counted from 0.
        epochs: of the whole training.
    """

    epoch: int
    epochs: int


@dataclass(frozen=True)
class Losses:
    """What a method minimises on a batch.

    Attributes:
        terms: named scalars; their sum is minimised.
        mined: named detached tensors, averaged over the batches of an epoch in which they are not NaN.
    """

    terms: Mapping[str, Tensor]
    mined: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


class Method(nn.Module, ABC):
    """One row of the comparison table: how it samples, what it minimises, how it decides.

    It is a module, so that what it learns is in the checkpoint. The loop asks for nothing else.
    """

    def sampler(self, data: TrainingData, batch_size: int, seed: int, processes: int) -> Sampler:
        """Which images make a batch; by default all of them, shuffled."""
        return ShuffledSampler(data.rows, batch_size, seed, processes)

    @abstractmethod
    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """Named terms of the loss of a batch."""

    def start_epoch(self, context: EpochContext) -> None:
        """Prepare an epoch: curriculum, clustering, deferred weights."""

    def scores(self, output: ModelOutput) -> Tensor:
        """(N, J, K) scores whose largest decides, by default softmax probabilities."""
        return output.logits.float().softmax(2)
