"""What changes hands between the training and a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.dataset import Tags, class_counts
from longtail.models.classifier import Classifier
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
        return [class_counts(own, size).tolist() for own, size in zip(columns, self.schema.num_classes)]


@dataclass(frozen=True)
class Facts:
    """What a method has to know of the data before it can be built; a checkpoint keeps it.

    Attributes:
        identities: number of identities among the training images, 0 where they are not used.
        domains: names of the domains that images come from, where they are used.
    """

    identities: int = 0
    domains: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class Solved:
    """How a method that needs no steps ended.

    Attributes:
        loss: of the training images.
        notes: sentences for the user.
    """

    loss: float
    notes: tuple[str, ...]


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
        mirrored: the same of the mirrored images, where the training sees those too, else None.
    """

    epoch: int
    epochs: int
    step: int
    model: Classifier
    features: Callable[[Rows], Tensor]
    mirrored: Callable[[Rows], Tensor] | None = None


@dataclass(frozen=True)
class Losses:
    """What a method minimises on a batch.

    Attributes:
        terms: named scalars; their sum is minimised.
        mined: named detached tensors, averaged over the batches of an epoch in which they are not NaN.
    """

    terms: Mapping[str, Tensor]
    mined: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What a decision may know and use that is chosen for a trained network.

    Attributes:
        data: that it was trained on.
        validation: rows of the data set that were kept for validation.
        seed: of the training.
        context: of its end.
        logits: rows -> (n, J, K) on the CPU.
    """

    data: TrainingData
    validation: Rows
    seed: int
    context: EpochContext
    logits: Callable[[Rows], Tensor]
