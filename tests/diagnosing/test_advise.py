"""What follows from a diagnosis: every rule speaks where it should, and is silent beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from longtail.data.dataset import Dataset
from longtail.diagnosing.advise import ATTRIBUTE_RULES, DATA_RULES, advise
from longtail.diagnosing.examine import Diagnosis, diagnose
from longtail.schema import Attribute, LabelSchema


class Store:
    """Images in a list, None where the file is missing."""

    def __init__(self, images: list[NDArray[np.uint8] | None]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> NDArray[np.uint8]:
        image = self.images[index]
        if image is None:
            raise FileNotFoundError(2, "No such file or directory")
        return image


def diagnosis(
    sizes: list[int],
    *,
    unlabelled: int = 0,
    groups: list[int] | None = None,
    split: list[int] | None = None,
    shades: list[int | None] | None = None,
    batch_size: int = 16,
) -> Diagnosis:
    """Of an attribute whose class k, called ck, has sizes[k] images; all images differ unless shaded."""
    labels = [k for k, size in enumerate(sizes) for _ in range(size)] + [-1] * unlabelled
    of_shades = [None if s is None else np.full((40, 40, 3), s, np.uint8) for s in shades or []]
    data = Dataset(
        name="made",
        schema=LabelSchema((Attribute("kind", tuple(f"c{k}" for k in range(len(sizes)))),)),
        labels=np.array(labels, np.int64)[:, None],
        ids=[f"i{k}" for k in range(len(labels))],
        images=Store(of_shades),
        groups=None if groups is None else np.array(groups, np.int64),
        split=None if split is None else np.array(split, np.int8),
    )
    return diagnose(data, batch_size=batch_size, check_images=shades is not None)


def said(found: Diagnosis, rule: str) -> list[str]:
    return [piece.text for piece in advise(found) if piece.rule == rule]


def test_every_rule_has_a_reason():
    assert all(rule.__doc__ for rule in (*DATA_RULES, *ATTRIBUTE_RULES))


def test_ordinary_data_give_no_advice():
    assert advise(diagnosis([60, 30], shades=list(range(90)))) == ()


def test_missing_images_are_counted():
    (text,) = said(diagnosis([2, 2], shades=[1, None, 3, None]), "unusable_images")
    assert text.startswith("2 of 4 images cannot be used (2 missing, 0 unreadable)")


@pytest.mark.parametrize(
    ("bits", "advised"), [(0, ""), (9, "10"), (12, "12"), (13, "14"), (15, ""), (16, "")]
)
def test_values_of_a_sensor_are_said_to_need_their_bits(bits: int, advised: str):
    found = diagnosis([2, 2], shades=[0, 1, 2, 3])
    assert found.image_check is not None
    found = replace(found, image_check=replace(found.image_check, bits=bits))
    texts = said(found, "narrow_values")
    assert bool(texts) == bool(advised)
    assert all(f"Train with --bits {advised} if" in text for text in texts)
    assert len(said(found, "almost_black_images")) == (not advised)  # one advice for one thing


def test_images_that_are_mostly_almost_black_are_said_to_need_another_scale():
    (text,) = said(diagnosis([2, 2], shades=[0, 10, 16, 255]), "almost_black_images")
    assert text.startswith("3 of 4 images are almost black (no value above 16 of 255). 16-bit files")
    assert said(diagnosis([2, 2], shades=[0, 10, 17, 255]), "almost_black_images") == []


def test_duplicates_with_different_labels_are_said_and_agreeing_ones_are_not():
    (text,) = said(diagnosis([2, 2], shades=[7, 1, 7, 2]), "contradicting_duplicates")
    assert text.startswith("1 set of identical images with different labels")
    assert said(diagnosis([2, 2], shades=[7, 7, 1, 2]), "contradicting_duplicates") == []


def test_duplicates_in_two_given_splits_are_leakage():
    leaking = diagnosis([4], shades=[7, 7, 1, 2], split=[0, 2, 0, 2])
    assert len(said(leaking, "duplicates_across_splits")) == 1
    assert said(leaking, "duplicates_to_be_split") == []
    apart = diagnosis([4], shades=[7, 7, 1, 2], split=[0, 0, 0, 2])
    assert said(apart, "duplicates_across_splits") == []


def test_duplicates_without_a_common_group_can_be_torn_apart_by_a_split():
    (text,) = said(diagnosis([4], shades=[7, 7, 1, 2], groups=[0, 1, 2, 3]), "duplicates_to_be_split")
    assert text.startswith("Without a common group: 1 set ")
    assert said(diagnosis([4], shades=[7, 7, 1, 2]), "duplicates_to_be_split")[0].startswith(
        "Without a group"
    )
    assert said(diagnosis([4], shades=[7, 7, 1, 2], groups=[0, 0, 2, 3]), "duplicates_to_be_split") == []


def test_groups_in_two_given_splits_are_leakage():
    (text,) = said(diagnosis([4], groups=[0, 0, 1, 1], split=[0, 2, 0, 0]), "groups_across_splits")
    assert "1 of 2 groups" in text
    assert said(diagnosis([4], groups=[0, 0, 1, 1], split=[0, 0, 2, 2]), "groups_across_splits") == []


def test_data_smaller_than_a_batch_are_said_to_be():
    (text,) = said(diagnosis([9, 6], batch_size=16), "fewer_images_than_a_batch")
    assert text.startswith("15 images for training, fewer than a batch of 16")
    assert said(diagnosis([9, 7], batch_size=16), "fewer_images_than_a_batch") == []


@pytest.mark.parametrize(
    ("sizes", "words"), [([5, 0], "all labelled training images are c0"), ([0, 0], "no training")]
)
def test_an_attribute_with_nothing_to_tell_apart_is_said_to_be(sizes: list[int], words: str):
    (text,) = said(diagnosis(sizes, unlabelled=3), "one_class")
    assert text.startswith(f"kind: {words}")


def test_classes_without_training_images_are_named():
    (text,) = said(diagnosis([3, 3, 0], split=[0, 0, 0, 2, 2, 2]), "no_training_image")
    assert text == "kind: 2 of 3 classes have no image to train on: c1 and c2."
    assert said(diagnosis([3, 3]), "no_training_image") == []


def test_classes_with_few_or_no_given_test_images_are_named():
    split = [2] * 10 + [0] * 5 + [2] * 9 + [0] * 3 + [0] * 4
    texts = said(diagnosis([15, 12, 4], split=split), "few_test_images")
    assert texts[0].startswith("kind: 1 of 3 classes has no test image")
    assert "c2" in texts[0]
    assert texts[1].startswith("kind: 1 of 3 classes has fewer than 10 test images")
    assert "c1" in texts[1]
    assert said(diagnosis([15, 12, 4], split=split), "too_few_to_test") == []


def test_without_a_given_test_split_classes_too_small_for_any_split_are_named():
    (text,) = said(diagnosis([40, 20, 19, 2, 1]), "too_few_to_test")
    assert text.startswith("kind: 2 of 5 classes have 2 to 19 images")
    assert "(c2 and c3)" in text


def test_classes_absent_from_given_validation_images_are_named():
    (text,) = said(diagnosis([4, 4], split=[0, 0, 0, 1, 0, 0, 0, 0]), "no_validation_image")
    assert text.endswith(": c1.")
    assert said(diagnosis([4, 4], split=[0, 0, 0, 2, 0, 0, 0, 0]), "no_validation_image") == []


def test_a_class_with_one_image_is_named():
    (text,) = said(diagnosis([9, 2, 1]), "single_image")
    assert text.startswith("kind: 1 of 3 classes has a single image")
    assert text.endswith(": c2.")


def test_a_class_of_one_group_is_named_unless_splits_are_given():
    (text,) = said(diagnosis([3, 3], groups=[0, 1, 2, 3, 3, 3]), "single_group")
    assert text.startswith("kind: 1 of 2 classes has images of one group only")
    assert "(c1)" in text
    assert said(diagnosis([3, 3], groups=[0, 1, 2, 3, 3, 3], split=[0, 0, 2, 0, 0, 2]), "single_group") == []


def test_the_unlabelled_share_is_said():
    (text,) = said(diagnosis([6, 3], unlabelled=3), "unlabelled_images")
    assert text.startswith("kind: 3 images (25%) without a label")
    assert said(diagnosis([6, 3]), "unlabelled_images") == []


def test_extreme_imbalance_names_the_largest_and_the_smallest_class():
    (text,) = said(diagnosis([200, 9, 2, 0]), "extreme_imbalance")
    assert text.startswith("kind: c0 (200 images) has 100 times as many images as c2 (2 images).")
    assert said(diagnosis([199, 9, 2]), "extreme_imbalance") == []


def test_balanced_classes_leave_nothing_to_rectify():
    (text,) = said(diagnosis([50, 50]), "balanced")
    assert "Ω = 0.0" in text
    assert said(diagnosis([60, 40]), "balanced") == []


def test_a_batch_too_small_for_rare_classes_says_what_a_larger_one_would_hold():
    found = diagnosis([900, 70, 30], batch_size=16)
    (text,) = said(found, "batch_too_small")
    batches = found.attributes[0].batches
    absent, alone = 100 * batches[0].absent[2], 100 * batches[0].skipped[2]
    assert text.startswith("kind: 2 of 3 classes are absent or alone")
    assert f"c2 (30 images) is absent from {absent:.0f}% and alone in {alone:.0f}%" in text
    assert text.endswith("With batches of 64 it would be none.")
    assert batches[2].batch_size == 64
    assert batches[2].absent[2] + batches[2].skipped[2] <= 0.5
    assert batches[1].absent[2] + batches[1].skipped[2] > 0.5
    assert said(diagnosis([900, 70, 30], batch_size=128), "batch_too_small") == []


def test_where_no_larger_batch_helps_none_is_recommended():
    (text,) = said(diagnosis([9000, 2], batch_size=16), "batch_too_small")
    assert "With batches" not in text


def test_batches_in_which_nothing_is_rectified_are_counted():
    found = diagnosis([98, 2], batch_size=16)
    (text,) = said(found, "batches_without_pair")
    assert text.startswith(
        f"kind: {100 * found.attributes[0].batches[0].without_pair:.0f}% of the batches of 16"
    )
    assert said(diagnosis([50, 20], batch_size=16), "batches_without_pair") == []
    assert said(diagnosis([50], batch_size=16), "batches_without_pair") == []


def test_a_share_is_said_to_be_all_or_nothing_only_when_it_is():
    (text,) = said(diagnosis([600, 400], unlabelled=1), "unlabelled_images")
    assert "(under 1%)" in text


@pytest.mark.parametrize("sizes", [[500, 30, 4, 1, 0], [98, 2], [50, 50]])
def test_advice_is_one_line_and_promises_nothing(sizes: list[int]):
    for piece in advise(diagnosis(sizes, unlabelled=2, batch_size=16)):
        assert "\n" not in piece.text
        assert not any(word in piece.text for word in ("improve", "better", "gain", "higher"))
        assert piece.attribute == "kind"
        assert piece.text.startswith("kind: ")


def test_a_class_that_no_batch_can_hold_twice_is_not_counted_with_those_a_larger_batch_helps():
    (text,) = said(diagnosis([900, 70, 1], batch_size=16), "batch_too_small")
    assert text.startswith("kind: 1 of 3 classes is absent or alone")
