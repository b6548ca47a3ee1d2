"""What `longtail train` would do with the data as they are: its split, its length, its choices."""

from __future__ import annotations

from dataclasses import dataclass

from longtail.data.dataset import Dataset
from longtail.data.splits import Splits, split_dataset
from longtail.errors import InputError
from longtail.evaluation.intervals import Estimate, share_interval
from longtail.training.config import TrainConfig
from longtail.training.defaults import chosen


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

    from longtail.training.facts import facts_of

    try:
        splits = split_dataset(dataset)
        config = TrainConfig(dataset.name)
        facts = facts_of(config, dataset, splits, "cuda" if torch.cuda.is_available() else "cpu")
    except InputError:
        return None
    choice = chosen(config, facts)
    images = _class_images(dataset, splits)
    return Plan(
        split_sizes=(len(splits.train), len(splits.val), len(splits.test)),
        class_images=images,
        rarest=tuple(_rarest(dataset, column, images[column]) for column in range(len(images))),
        flags=choice.said,
        steps=0 if choice.config.row.solved else -(-facts.drawn // choice.config.batch_size),
        epochs=choice.config.planned_epochs,
        side=facts.side,
    )


def _class_images(dataset: Dataset, splits: Splits) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    parts = (dataset.class_counts(rows) for rows in (splits.train, splits.val, splits.test))
    return tuple(tuple(zip(*own)) for own in zip(*parts))


def _rarest(dataset: Dataset, column: int, images: tuple[tuple[int, int, int], ...]) -> Rarest:
    attribute = dataset.schema.attributes[column]
    k = min(range(len(images)), key=lambda k: (not sum(images[k]), sum(images[k]), k))
    tested = images[k][2]
    recall = share_interval((tested + 1) // 2, tested) if tested else None
    return Rarest(attribute.name, attribute.classes[k], images[k], recall)
