"""What a training would do is what a training decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from longtail.data.dataset import Dataset
from longtail.data.splits import split_dataset
from longtail.diagnosing import planned
from longtail.diagnosing.planned import plan_training
from longtail.evaluation.intervals import share_interval
from longtail.runs.reading import read_and_split
from longtail.schema import Attribute, LabelSchema
from longtail.training.config import TrainConfig
from longtail.training.defaults import Choice, DataFacts, chosen
from longtail.training.facts import facts_of
from longtail.training.watcher import Silent


class Store:
    """Grey images of one size."""

    def __init__(self, images: int, readable: bool = True) -> None:
        self.images, self.readable = images, readable

    def __len__(self) -> int:
        return self.images

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> NDArray[np.uint8]:
        if not self.readable:
            raise FileNotFoundError(2, "No such file or directory")
        return np.zeros((40, 40, 3), np.uint8)


def dataset(sizes: list[int], readable: bool = True, **rest: Any) -> Dataset:
    labels = np.repeat(np.arange(len(sizes)), sizes)[:, None]
    schema = LabelSchema((Attribute("kind", tuple(f"c{k}" for k in range(len(sizes)))),))
    ids = [f"i{k}" for k in range(len(labels))]
    return Dataset("made", schema, labels, ids, Store(len(labels), readable), **rest)


def test_it_is_what_a_training_decides_for_the_same_data():
    config = TrainConfig("digits", accelerator="cpu")
    data, splits = read_and_split(config, Silent())
    decided = chosen(config, facts_of(config, data, splits, "cpu")).config
    plan = plan_training(data)
    assert plan is not None
    assert plan.split_sizes == (len(splits.train), len(splits.val), len(splits.test))
    assert plan.steps == -(-len(splits.train) // 128)
    assert f"--method {decided.method} " in plan.flags
    if "cuda" not in plan.flags:
        assert plan.epochs == decided.planned_epochs


def test_its_choice_is_made_from_the_facts_of_a_training(monkeypatch: pytest.MonkeyPatch):
    data, seen = dataset([60, 60]), list[DataFacts]()

    def noted(config: TrainConfig, facts: DataFacts) -> Choice:
        seen.append(facts)
        return chosen(config, facts)

    schema = LabelSchema((*data.schema.attributes, Attribute("other", tuple("abcdef"))))
    data = replace(data, schema=schema, labels=np.hstack([data.labels, np.arange(120)[:, None] % 6]))
    monkeypatch.setattr(planned, "chosen", noted)
    plan_training(data)
    expected = facts_of(TrainConfig("made"), data, split_dataset(data), "cpu")
    assert seen == [replace(expected, gpu=seen[0].gpu)]


def test_classes_are_counted_in_every_split_and_the_rarest_is_named():
    data = dataset([60, 12, 0, 30])
    splits, plan = split_dataset(data), plan_training(data)
    assert plan is not None
    for k, images in enumerate(plan.class_images[0]):
        own = [int((data.labels[rows, 0] == k).sum()) for rows in (splits.train, splits.val, splits.test)]
        assert list(images) == own
    (rarest,) = plan.rarest
    assert (rarest.name, sum(rarest.images)) == ("c1", 12)
    tested = rarest.images[2]
    assert rarest.recall == share_interval((tested + 1) // 2, tested)


def test_a_class_without_test_image_has_no_interval():
    plan = plan_training(dataset([40, 1]))
    assert plan is not None
    assert plan.rarest[0].images == (1, 0, 0)
    assert plan.rarest[0].recall is None


def test_data_that_cannot_be_trained_on_have_no_plan():
    assert plan_training(dataset([4, 4], readable=False)) is None
    assert plan_training(dataset([4, 4], split=np.full(8, 2, np.int8))) is None
