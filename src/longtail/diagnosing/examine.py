"""What a data set holds, before anything is trained on it: classes, batches, images, splits, groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS, Dataset, class_counts
from longtail.diagnosing.batch_shares import BatchShares, simulate_batches
from longtail.diagnosing.image_check import DuplicateSet, ImageDiagnosis, training_rows
from longtail.diagnosing.image_check import check_images as check_all_images
from longtail.diagnosing.near import find_near
from longtail.diagnosing.planned import Plan, plan_training
from longtail.errors import InputError
from longtail.evaluation.metrics import imbalance_ratio
from longtail.rectification import training_imbalance
from longtail.schema import UNLABELLED, Attribute
from longtail.threads import Progress

BATCH_FACTORS = (1, 2, 4, 8)
"""Batches are simulated in the wanted size and in these multiples, to say what a larger one would give."""


@dataclass(frozen=True)
class ClassDiagnosis:
    """How much there is of one class.

    Attributes:
        name: of the class.
        images: with this label.
        train_images: of these, the ones training may see: all without given splits.
        split_images: of these, the ones in each given split, in the order of `SPLITS`; None without.
        groups: groups with at least one image of the class; None where the data have no groups.
    """

    name: str
    images: int
    train_images: int
    split_images: tuple[int, ...] | None
    groups: int | None

    def in_split(self, split: str) -> int:
        """Images in a given split, 0 without given splits."""
        return self.split_images[SPLITS.index(split)] if self.split_images else 0


@dataclass(frozen=True)
class AttributeDiagnosis:
    """How balanced one attribute is. Ratio, Ω and batches are those of the training images.

    Attributes:
        name: of the attribute.
        classes: in the order of the schema.
        unlabelled: images without a value, of all images.
        imbalance_ratio: largest over smallest class that has an image; None when none has one.
        omega: Ω_j, the percentage of images that would have to change class for balance.
        batches: what random batches hold, in the wanted size first, then in larger ones.
    """

    name: str
    classes: tuple[ClassDiagnosis, ...]
    unlabelled: int
    imbalance_ratio: float | None
    omega: float
    batches: tuple[BatchShares, ...]

    @property
    def labelled(self) -> int:
        """Images with a value."""
        return sum(c.images for c in self.classes)

    @property
    def empty(self) -> tuple[str, ...]:
        """Classes without any image."""
        return tuple(c.name for c in self.classes if c.images == 0)

    @property
    def single(self) -> tuple[str, ...]:
        """Classes with one image."""
        return tuple(c.name for c in self.classes if c.images == 1)

    @property
    def one_group(self) -> tuple[str, ...]:
        """Classes with several images, all of one group."""
        return tuple(c.name for c in self.classes if c.images > 1 and c.groups == 1)

    def below(self, images: int) -> tuple[str, ...]:
        """Classes with at least one image, and fewer than this many."""
        return tuple(c.name for c in self.classes if 0 < c.images < images)

    def absent_from(self, split: str) -> tuple[str, ...]:
        """Classes that have images, but none in this given split."""
        return tuple(c.name for c in self.classes if c.images and c.split_images and not c.in_split(split))


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found; the same for every order of the images.

    Attributes:
        name: of the data set.
        images: N.
        training_images: images that training may see: those not given to val or test.
        batch_size: as asked for; the first batches simulated are smaller when the data are.
        rho: ρ of the minority rule.
        seed: of the simulated batches.
        split_sizes: images in each given split, in the order of `SPLITS`; None without given splits.
        groups: how many groups there are; None where the data have no groups.
        groups_across_splits: how many of them have images in at least two given splits.
        attributes: in the order of the schema.
        image_check: None when the images were not read.
        near: groups of images that are nearly the same, beside those that are all identical; None when they
            were not looked for.
        plan: what a training would do; None when the images were not read, or it would refuse the data.
        notes: what the source said about the data.
    """

    name: str
    images: int
    training_images: int
    batch_size: int
    rho: float
    seed: int
    split_sizes: tuple[int, ...] | None
    groups: int | None
    groups_across_splits: int
    attributes: tuple[AttributeDiagnosis, ...]
    image_check: ImageDiagnosis | None
    near: tuple[DuplicateSet, ...] | None
    plan: Plan | None
    notes: tuple[str, ...]

    @property
    def given_splits(self) -> tuple[str, ...]:
        """Names of the given splits that hold an image."""
        return tuple(name for name, size in zip(SPLITS, self.split_sizes or ()) if size)


def diagnose(
    dataset: Dataset,
    *,
    batch_size: int = 128,
    rho: float = 0.5,
    seed: int = 0,
    check_images: bool = True,
    bits: int | None = None,
    on_progress: Progress | None = None,
) -> Diagnosis:
    """Count, simulate and check: what should be known of a data set before training on it.

    Args:
        dataset: as found; nothing in it is changed.
        batch_size: of the batches that are simulated.
        rho: ρ in (0, 1): the smallest classes that together hold at most ρ n of a batch are minorities.
        seed: of the simulation.
        check_images: read and decode every image; without, only labels, splits and groups are looked at.
        bits: that the values of images of 16 bits use; None for all, and advice where they do not.
        on_progress: called with the images read so far and all images.

    Raises:
        InputError: when the data set has no image, or the batch size or ρ is out of range.
    """
    _check_arguments(dataset, batch_size, rho)
    training = training_rows(dataset)
    image_check = check_all_images(dataset, on_progress, bits) if check_images else None
    return Diagnosis(
        name=dataset.name,
        images=len(dataset),
        training_images=int(training.sum()),
        batch_size=batch_size,
        rho=rho,
        seed=seed,
        split_sizes=_split_sizes(dataset),
        groups=None if dataset.groups is None else len(np.unique(dataset.groups)),
        groups_across_splits=_groups_across_splits(dataset),
        attributes=tuple(
            _diagnose_attribute(dataset, column, training, batch_size, rho, seed)
            for column in range(dataset.schema.num_attributes)
        ),
        image_check=image_check,
        near=None if image_check is None else find_near(dataset, image_check, bits, on_progress),
        plan=None if image_check is None else plan_training(dataset),
        notes=dataset.notes,
    )


def _check_arguments(dataset: Dataset, batch_size: int, rho: float) -> None:
    if len(dataset) == 0:
        raise InputError(f"{dataset.name}: expected at least one image, found none")
    if batch_size < 1:
        raise InputError(f"batch size: expected at least 1, got {batch_size}")
    if not 0 < rho < 1:
        raise InputError(f"rho: expected a number between 0 and 1, got {rho}")


def _split_sizes(dataset: Dataset) -> tuple[int, ...] | None:
    """How many of the images are given to train, val and test; None without given splits."""
    if dataset.split is None:
        return None
    return tuple(np.bincount(dataset.split[dataset.split >= 0], minlength=len(SPLITS)).tolist())


def _split_counts(dataset: Dataset, labels: NDArray[np.int64], classes: int) -> list[tuple[int, ...]] | None:
    """The same of each class."""
    if dataset.split is None:
        return None
    there = (labels != UNLABELLED) & (dataset.split >= 0)
    cells = labels[there] * len(SPLITS) + dataset.split[there]
    return [*map(tuple, class_counts(cells, classes * len(SPLITS)).reshape(classes, -1).tolist())]


def _groups_across_splits(dataset: Dataset) -> int:
    if dataset.groups is None or dataset.split is None:
        return 0
    given = dataset.split >= 0
    pairs = np.unique(np.stack([dataset.groups[given], dataset.split[given]]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def _diagnose_attribute(
    dataset: Dataset, column: int, training: NDArray[np.bool_], batch_size: int, rho: float, seed: int
) -> AttributeDiagnosis:
    attribute, labels = dataset.schema.attributes[column], dataset.labels[:, column]
    counts = class_counts(labels[training], len(attribute.classes))
    unlabelled = int(training.sum() - counts.sum())
    return AttributeDiagnosis(
        name=attribute.name,
        classes=_diagnose_classes(dataset, attribute, labels, counts),
        unlabelled=int((labels == UNLABELLED).sum()),
        imbalance_ratio=imbalance_ratio(counts),
        omega=training_imbalance([counts.tolist()])[0],
        batches=tuple(
            simulate_batches(counts, unlabelled, size, rho=rho, seed=seed)
            for size in _batch_sizes(batch_size, int(training.sum()))
        ),
    )


def _diagnose_classes(
    dataset: Dataset, attribute: Attribute, labels: NDArray[np.int64], train_counts: NDArray[np.int64]
) -> tuple[ClassDiagnosis, ...]:
    counts = class_counts(labels, len(attribute.classes))
    groups = _groups_per_class(dataset, labels, len(counts))
    in_splits = _split_counts(dataset, labels, len(counts))
    return tuple(
        ClassDiagnosis(
            name=name,
            images=int(counts[k]),
            train_images=int(train_counts[k]),
            split_images=None if in_splits is None else in_splits[k],
            groups=None if groups is None else int(groups[k]),
        )
        for k, name in enumerate(attribute.classes)
    )


def _batch_sizes(batch_size: int, images: int) -> list[int]:
    """The wanted size, no larger than the data, and those of its multiples that the data can fill."""
    wanted = min(batch_size, images)
    return [wanted * factor for factor in BATCH_FACTORS if wanted * factor <= images]


def _groups_per_class(dataset: Dataset, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64] | None:
    if dataset.groups is None:
        return None
    labelled = labels != UNLABELLED
    pairs = np.unique(np.stack([labels[labelled], dataset.groups[labelled]]), axis=1)
    return np.bincount(pairs[0], minlength=classes)
