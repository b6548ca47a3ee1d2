"""What every source of images gives, and what every consumer of batches gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from longtail.schema import UNLABELLED, LabelSchema

if TYPE_CHECKING:
    from torch import Tensor

SPLITS = ("train", "val", "test")
"""Names of the splits; `Dataset.split` holds indices into them, -1 where none was given."""


class ImageStore(Protocol):
    """Where the images of a data set lie: files, members of an archive, or arrays in memory.

    A store can be pickled into worker processes; it opens what it needs there.
    """

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """A path or member name a person recognises, for messages."""
        ...

    def read(self, index: int) -> bytes | NDArray[np.uint8]:
        """The encoded file, or an already decoded (H, W, C) uint8 image.

        Raises:
            OSError: when the file is missing or unreadable.
        """
        ...


@dataclass(frozen=True, eq=False)
class Tags:
    """A text for each image that is not to be recognised, but guides training.

    Attributes:
        names: the distinct texts.
        codes: (N,) int64 index into `names`, -1 where an image has none.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """N images with J attributes, as found: nothing dropped, nothing relabelled.

    Attributes:
        name: what the data are called in results, for instance the folder's name.
        schema: attributes and their classes.
        labels: (N, J) int64, -1 where an attribute has no value.
        ids: N distinct names, one per image.
        images: the store the N images are read from.
        groups: (N,) int64 group of each image (who took it, which object), or None.
        split: (N,) int8 index into `SPLITS` or -1, where the data come with splits, else None.
        identities: (N,) int64 who or what an image shows, -1 = unknown; None where that is not said.
        domains: where each image comes from (shop, street), or None.
        matches: (N,) int64, images of the same thing in two domains share a number, -1 = none; or None.
        notes: sentences that say back to the user what was found and decided.
    """

    name: str
    schema: LabelSchema
    labels: NDArray[np.int64]
    ids: Sequence[str]
    images: ImageStore
    groups: NDArray[np.int64] | None = None
    split: NDArray[np.int8] | None = None
    identities: NDArray[np.int64] | None = None
    domains: Tags | None = None
    matches: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def class_counts(self, rows: NDArray[np.int64]) -> list[list[int]]:
        """For each attribute the images of every class among some rows."""
        columns = zip(self.labels[rows].T, self.schema.num_classes)
        return [class_counts(own, size).tolist() for own, size in columns]


@dataclass(frozen=True, eq=False)
class Batch:
    """One mini-batch on the device.

    Attributes:
        images: (N, C, H, W) float32, augmented and normalised.
        labels: (N, J) int64, -1 = unlabelled.
        index: (N,) int64 rows of the data set, so that a method can look up what it keeps per image.
        task: (N,) int64 attribute that each image was drawn for, where the sampler says so, else None.
        partner: (N, J) int64 labels of the images that these were mixed with, or None.
        share: (N,) or (N, J) float, how much of a mixed label is `labels`; the rest is `partner`.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    task: Tensor | None = None
    partner: Tensor | None = None
    share: Tensor | None = None


def class_counts(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(classes,) images of each class, of the labels (n,) of one attribute; unlabelled ones count for none.

    Example:
        >>> class_counts(np.array([2, 0, -1, 2]), 3).tolist()
        [1, 0, 2]
    """
    return np.bincount(labels[labels != UNLABELLED], minlength=classes)
