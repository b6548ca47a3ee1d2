"""What `longtail train` would do with the data as they are: its split, its length, its choices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from longtail.data.dataset import Dataset
from longtail.data.splits import Splits, split_dataset
from longtail.errors import InputError
from longtail.evaluation.intervals import Estimate, share_interval
from longtail.schema import UNLABELLED
from longtail.training.config import TrainConfig
from longtail.training.defaults import DataFacts, chosen


@dataclass(frozen=True)
class Rarest:
    """The class of an attribute with the fewest images, of those that have some.

    Attributes:
        attribute, name: of the class.
        images: of it in train, val and test.
        recall: that half of its test images recognised would mean, with its 95 % interval; None without any.
    """

    attribute: str
    name: str
    images: tuple[int, int, int]
    recall: Estimate | None


@dataclass(frozen=True)
class Plan:
    """A training with nothing said but the data.

    Attributes:
        split_sizes: images in train, val and test.
        class_images: of each attribute the images of each class in train, val and test.
        rarest: a class of each attribute.
        flags: what it would choose, as the flags that would say so, and why.
        steps: steps of an epoch, 0 where the method is solved at once.
        epochs: the length.
        side: pixels that the longer side of an image is brought to.
    """

    split_sizes: tuple[int, int, int]
    class_images: tuple[tuple[tuple[int, int, int], ...], ...]
    rarest: tuple[Rarest, ...]
    flags: str
    steps: int
    epochs: int
    side: int


def plan_training(dataset: Dataset) -> Plan | None:
    """What a training with seed 0 would do; None where the data allow none, or no image can be read."""
    # these need torch, which a look at the labels alone does not
    import torch

    from longtail.images.sizes import suggest_size
    from longtail.models.lite0 import has_weights

    try:
        splits, side = split_dataset(dataset), max(suggest_size(dataset.images))
    except InputError:
        return None
    images = _class_images(dataset, splits)
    facts = DataFacts(
        attributes=len(images),
        training=len(splits.train),
        validation=len(splits.val),
        of_a_class=min(float(np.median([val for _, val, _ in classes])) for classes in images),
        drawn=max(len(splits.train), 1),
        side=side,
        weights=has_weights(),
        gpu=torch.cuda.is_available(),
    )
    choice = chosen(TrainConfig(dataset.name), facts)
    config = choice.config
    return Plan(
        split_sizes=(len(splits.train), len(splits.val), len(splits.test)),
        class_images=images,
        rarest=tuple(_rarest(dataset, column, images[column]) for column in range(len(images))),
        flags=choice.notes[0].removeprefix("chosen: ").partition("; otherwise")[0] if choice.notes else "",
        steps=0 if config.row.solved else -(-facts.drawn // config.batch_size),
        epochs=config.planned_epochs,
        side=side,
    )


def _class_images(dataset: Dataset, splits: Splits) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    found: list[tuple[tuple[int, int, int], ...]] = []
    for column, size in zip(dataset.labels.T, dataset.schema.num_classes):
        parts = [column[rows] for rows in (splits.train, splits.val, splits.test)]
        train, val, test = (np.bincount(p[p != UNLABELLED], minlength=size).tolist() for p in parts)
        found.append(tuple(zip(train, val, test)))
    return tuple(found)


def _rarest(dataset: Dataset, column: int, images: tuple[tuple[int, int, int], ...]) -> Rarest:
    attribute = dataset.schema.attributes[column]
    k = min(range(len(images)), key=lambda k: (not sum(images[k]), sum(images[k]), k))
    tested = images[k][2]
    recall = share_interval((tested + 1) // 2, tested) if tested else None
    return Rarest(attribute.name, attribute.classes[k], images[k], recall)
