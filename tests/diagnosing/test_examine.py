"""What is said of a data set before training: counts, ratio, Ω, splits, groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from longtail.data.dataset import Dataset
from longtail.diagnosing.examine import Diagnosis, diagnose
from longtail.errors import InputError
from longtail.rectification import training_imbalance
from longtail.schema import Attribute, LabelSchema


class Store:
    """Images in a list."""

    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> NDArray[np.uint8]:
        return self.images[index]


def dataset(
    labels: list[list[int]],
    classes: tuple[int, ...],
    *,
    groups: list[int] | None = None,
    split: list[int] | None = None,
    shades: list[int] | None = None,
) -> Dataset:
    schema = LabelSchema(
        tuple(Attribute(f"a{j}", tuple(f"c{k}" for k in range(n))) for j, n in enumerate(classes))
    )
    return Dataset(
        name="made",
        schema=schema,
        labels=np.array(labels, np.int64).reshape(-1, len(classes)),
        ids=[f"i{k}" for k in range(len(labels))],
        images=Store([np.full((2, 3, 3), shade, np.uint8) for shade in shades or range(len(labels))]),
        groups=None if groups is None else np.array(groups, np.int64),
        split=None if split is None else np.array(split, np.int8),
        notes=("as made",),
    )


def single(labels: list[int], classes: int = 3, **rest: list[int] | None) -> Dataset:
    return dataset([[label] for label in labels], (classes,), **rest)


def look(data: Dataset, batch_size: int = 128) -> Diagnosis:
    return diagnose(data, batch_size=batch_size, check_images=False)


@pytest.mark.parametrize(
    ("counts", "omega"),
    [([5, 5, 5], 0.0), ([3, 1], 25.0), ([10, 0, 0, 0], 75.0), ([90, 10], 40.0), ([7], 0.0), ([0, 0], 0.0)],
)
def test_omega_is_the_percentage_of_images_that_balance_would_move(counts: list[int], omega: float):
    assert training_imbalance([counts])[0] == pytest.approx(omega)


@settings(max_examples=40)
@given(st.data())
def test_counts_equal_those_of_a_plain_loop(data: st.DataObject):
    n = data.draw(st.integers(1, 12))
    labels = data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    groups = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    split = data.draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n))
    diagnosis = look(single(labels, 4, groups=groups, split=split))
    rows = list(zip(labels, groups, split))
    (attribute,) = diagnosis.attributes
    assert attribute.unlabelled == labels.count(-1)
    assert attribute.labelled + attribute.unlabelled == n
    assert diagnosis.groups == len(set(groups))
    assert diagnosis.split_sizes == tuple(split.count(s) for s in range(3))
    trained = [row for row in rows if row[2] == 0] or rows
    assert diagnosis.training_images == len(trained)
    for k, found in enumerate(attribute.classes):
        mine = [row for row in rows if row[0] == k]
        assert found.images == len(mine)
        assert found.groups == len({g for _, g, _ in mine})
        assert found.split_images == tuple(sum(s == wanted for *_, s in mine) for wanted in range(3))
        assert found.train_images == sum(label == k for label, *_ in trained)
    held = Counter(g for g, s in {(g, s) for _, g, s in rows if s >= 0})
    assert diagnosis.groups_across_splits == sum(splits > 1 for splits in held.values())


def test_small_classes_are_counted_and_empty_ones_apart():
    sizes = [30, 19, 5, 4, 1, 0]
    labels = [k for k, size in enumerate(sizes) for _ in range(size)]
    (attribute,) = look(single(labels, 6)).attributes
    assert attribute.below(20) == ("c1", "c2", "c3", "c4")
    assert attribute.below(5) == ("c3", "c4")
    assert (attribute.single, attribute.empty) == (("c4",), ("c5",))
    assert attribute.imbalance_ratio == 30.0


def test_ratio_omega_and_batches_are_those_of_the_training_images():
    labels = [0, 0, 0, 1, 0, 1, 1, 1]
    (attribute,) = look(single(labels, 2, split=[0, 0, 0, 0, 2, 2, 2, 2])).attributes
    assert attribute.imbalance_ratio == 3.0
    assert attribute.omega == pytest.approx(25.0)
    assert attribute.batches[0].batch_size == 4


def test_classes_absent_from_a_split_are_named_but_not_those_without_any_image():
    (attribute,) = look(single([0, 0, 1], 3, split=[0, 2, 0])).attributes
    assert attribute.absent_from("test") == ("c1",)
    assert attribute.absent_from("val") == ("c0", "c1")
    assert look(single([0, 1], 3)).attributes[0].absent_from("test") == ()


def test_a_class_of_several_images_in_one_group_is_named():
    (attribute,) = look(single([0, 0, 1, 1, 2], 3, groups=[5, 6, 7, 7, 7])).attributes
    assert attribute.one_group == ("c1",)


def test_batches_are_simulated_in_the_wanted_size_and_in_larger_ones_the_data_can_fill():
    labels = [0, 1] * 50
    assert [b.batch_size for b in look(single(labels, 2), 16).attributes[0].batches] == [16, 32, 64]
    assert [b.batch_size for b in look(single(labels, 2), 128).attributes[0].batches] == [100]


def test_batches_hold_the_unlabelled_images_of_the_training_and_no_others():
    labels, split = [0, 0, 1, 1, 0, -1, -1, -1, -1], [0, 0, 0, 0, 0, 2, 2, 2, 2]
    whole, training = look(single(labels, 2, split=split), 3), look(single(labels[:5], 2), 3)
    assert whole.attributes[0].batches == training.attributes[0].batches
    unlabelled = look(single(labels, 2), 3)
    assert unlabelled.attributes[0].batches != training.attributes[0].batches


def test_unlabelled_images_count_for_one_attribute_only():
    found = look(dataset([[0, -1], [1, 0], [-1, -1]], (2, 2))).attributes
    assert [(a.labelled, a.unlabelled) for a in found] == [(2, 1), (1, 2)]


def test_the_images_are_read_only_when_wanted():
    data = single([0, 1, 2, 0], shades=[9, 8, 7, 9])
    assert look(data).image_check is None
    check = diagnose(data).image_check
    assert check is not None
    assert [d.ids for d in check.duplicates] == [("i0", "i3")]


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(10)))
def test_the_order_of_the_images_does_not_matter(order: list[int]):
    data = dataset(
        [[k % 3 - (k == 4), k % 2] for k in range(10)],
        (3, 2),
        groups=[k // 2 for k in range(10)],
        split=[k % 4 - 1 for k in range(10)],
        shades=[k % 7 for k in range(10)],
    )
    assert isinstance(data.images, Store)
    shuffled = replace(
        data,
        labels=data.labels[order],
        ids=[data.ids[k] for k in order],
        groups=None if data.groups is None else data.groups[order],
        split=None if data.split is None else data.split[order],
        images=Store([data.images.images[k] for k in order]),
    )
    assert diagnose(shuffled, batch_size=4) == diagnose(data, batch_size=4)


def test_the_seed_decides_the_batches():
    data = single([0] * 80 + [1] * 15 + [2] * 5)
    first, again, other = (diagnose(data, batch_size=16, seed=s, check_images=False) for s in (0, 0, 1))
    assert first == again
    assert first.attributes[0].batches != other.attributes[0].batches


@pytest.mark.parametrize(("options", "word"), [({"batch_size": 0}, "batch size"), ({"rho": 1.0}, "rho")])
def test_arguments_out_of_range_are_refused_by_name(options: dict[str, float], word: str):
    with pytest.raises(InputError, match=rf"^{word}: expected .* got"):
        diagnose(single([0, 1]), check_images=False, **options)  # pyright: ignore[reportArgumentType]


def test_a_data_set_without_images_is_refused():
    with pytest.raises(InputError, match="made: expected at least one image"):
        look(single([]))


def test_data_given_to_test_alone_are_diagnosed_as_a_whole():
    diagnosis = look(single([0, 0, 1], 2, split=[2, 2, 1]))
    assert diagnosis.training_images == 3
    assert diagnosis.attributes[0].imbalance_ratio == 2.0
