from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from longtail.data.builtin import BUILTIN
from longtail.data.dataset import Dataset
from longtail.data.names import Names
from longtail.data.splits import SPLITS_FILE, NamedSplits, Splits, split_dataset, split_further
from longtail.data.stores import ArrayStore
from longtail.errors import InputError
from longtail.schema import LabelSchema

SCHEMA = LabelSchema.single("kind", ["a", "b", "c"])
LABELS = np.repeat([0, 1, 2], [60, 30, 10])[:, None]


def dataset(
    labels: np.ndarray, groups: np.ndarray | None, schema: LabelSchema, given: np.ndarray | None = None
) -> Dataset:
    """Images that are called by their numbers."""
    names = Names(map(str, range(len(labels))))
    store = ArrayStore(np.zeros((len(labels), 1, 1, 1), np.uint8), names)
    return Dataset("d", schema, labels, names, store, groups, given)


def make_splits(labels, groups, schema, given=None, **options) -> Splits:
    return split_dataset(dataset(labels, groups, schema, given), **options)


def given_split(train: int, val: int, test: int, none: int = 0) -> np.ndarray:
    side = np.repeat([0, 1, 2, -1], [train, val, test, none]).astype(np.int8)
    return np.random.default_rng(0).permutation(side)


def test_splits_are_sorted_disjoint_and_complete() -> None:
    splits = make_splits(LABELS, None, SCHEMA)
    parts = [splits.train, splits.val, splits.test]
    assert [len(part) for part in parts] == [70, 10, 20]
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert splits.notes == ("split: train 70, val 10, test 20 images",)


def test_images_that_were_split_before_stay_and_new_ones_join_their_group_or_are_dealt() -> None:
    labels = np.repeat([0, 1], [60, 40])[:, None]
    groups = np.arange(100) // 2
    data = dataset(labels, groups, LabelSchema.single("kind", ["a", "b"]))
    known = NamedSplits([str(i) for i in range(0, 50, 2)] + ["gone"], ["50", "52"], ["54"])
    splits = split_further(data, known, (0.7, 0.1, 0.2), 0)
    assert splits is not None
    side = {row: s for s in ("train", "val", "test") for row in splits.of(s).tolist()}
    assert all(side[i] == "train" for i in range(50))  # those of odd number are new, their groups are not
    assert [side[i] for i in (51, 53, 55)] == ["val", "val", "test"]
    assert sorted(side) == list(range(100))
    dealt = [side[i] for i in range(56, 100)]
    assert abs(dealt.count("train") - 31) <= 2
    assert all(side[i] == side[i + 1] for i in range(0, 100, 2))
    assert splits.notes[1:] == (
        "1 image of these splits no longer there",
        "72 images in none of them: dealt out",
    )
    kept = split_further(data, known, (0.7, 0.1, 0.2), 0, deal=False)
    assert kept is not None
    assert "72 images in none of them: left out" in kept.notes
    assert split_further(data, NamedSplits(["x"], [], ["y"])) is None


def test_new_images_go_where_the_datas_own_split_says() -> None:
    given = np.array([0, 0, 1, 2, -1], np.int8)
    data = dataset(np.arange(5)[:, None] % 2, None, LabelSchema.single("kind", ["a", "b"]), given)
    splits = split_further(data, NamedSplits(["0"], [], []))
    assert splits is not None
    assert [splits.of(name).tolist() for name in ("train", "val", "test")] == [[0, 1], [2], [3]]
    assert splits.notes[1:] == (
        "3 images in none of them: dealt out",
        "1 image in none of them: left out",
        "kind: 1 class without a validation image: b",
        "kind: 1 class without a test image: a",
    )


def test_a_new_image_goes_to_the_side_of_its_group_whatever_its_own_split_says() -> None:
    groups, given = np.array([0, 0, 1, 1]), np.array([2, 2, 0, 0], np.int8)
    data = dataset(np.arange(4)[:, None] % 2, groups, LabelSchema.single("kind", ["a", "b"]), given)
    splits = split_further(data, NamedSplits(["0"], [], ["3"]))
    assert splits is not None
    assert (splits.train.tolist(), splits.test.tolist()) == ([0, 1], [2, 3])


def test_a_class_without_any_image_is_missed_in_no_split() -> None:
    splits = make_splits(LABELS, None, LabelSchema.single("kind", list("abcd")))
    assert splits.notes == ("split: train 70, val 10, test 20 images",)


def test_a_class_too_small_for_a_split_is_named() -> None:
    labels = np.concatenate([LABELS, [[3], [4], [4]]])
    splits = make_splits(labels, None, LabelSchema.single("kind", list("abcde")))
    assert "kind: 1 class without a test image (too few images, or tied to other classes): d" in splits.notes
    assert (
        "kind: 2 classes without a validation image (too few images, or tied to other classes): d, e"
        in splits.notes
    )
    assert {100, 101, 102} - set(splits.test.tolist()) <= set(splits.train.tolist())


def test_groups_are_counted_in_the_notes() -> None:
    splits = make_splits(LABELS, np.arange(100) // 5, SCHEMA)
    assert "20 groups, each whole in one split" in splits.notes


def test_a_complete_given_split_is_kept() -> None:
    given = given_split(50, 20, 30)
    splits = make_splits(LABELS, None, SCHEMA, given=given)
    for s, part in enumerate((splits.train, splits.val, splits.test)):
        assert part.tolist() == np.flatnonzero(given == s).tolist()


@pytest.mark.parametrize(
    ("given", "lacking", "sizes"),
    [
        (given_split(80, 0, 20), "val", [70, 10, 20]),
        (given_split(90, 10, 0), "test", [70, 10, 20]),
        (given_split(100, 0, 0), "val and test", [70, 10, 20]),
    ],
)
def test_what_a_given_split_lacks_is_cut_from_its_train(
    given: np.ndarray, lacking: str, sizes: list[int]
) -> None:
    splits = make_splits(LABELS, None, SCHEMA, given=given)
    parts = [splits.train, splits.val, splits.test]
    assert np.abs(np.array([len(part) for part in parts]) - sizes).max() <= 2
    for s in (1, 2):
        if (given == s).any():
            assert parts[s].tolist() == np.flatnonzero(given == s).tolist()
    assert f"the data come without {lacking}: cut from train" in splits.notes


def test_cutting_from_train_keeps_groups_whole() -> None:
    groups = np.arange(100) // 4
    given = (np.arange(100) % 20 >= 16).astype(np.int8) * 2
    splits = make_splits(LABELS, groups, SCHEMA, given=given)
    assert len(splits.val)
    assert not set(groups[splits.val]) & set(groups[splits.train])
    assert not any("two sides" in note for note in splits.notes)


def test_groups_torn_by_the_data_are_counted() -> None:
    given = given_split(50, 20, 30)
    splits = make_splits(LABELS, np.arange(100) // 50, SCHEMA, given=given)
    assert "2 groups on two sides of the data's own split" in splits.notes


def test_a_group_is_not_torn_by_images_in_no_split() -> None:
    given = np.array([0, 0, -1, 2] * 25, np.int8)
    splits = make_splits(LABELS, np.arange(100) // 2, SCHEMA, given=given)
    assert not any("two sides" in note for note in splits.notes)


def test_images_in_no_given_split_are_left_out_and_counted() -> None:
    given = given_split(50, 10, 30, none=10)
    splits = make_splits(LABELS, None, SCHEMA, given=given)
    everything = np.concatenate([splits.train, splits.val, splits.test])
    assert sorted(everything) == np.flatnonzero(given >= 0).tolist()
    assert "10 images in no split of the data: left out" in splits.notes


def test_a_given_split_is_not_excused_with_too_few_images() -> None:
    given = np.where(LABELS[:, 0] == 1, 0, 2).astype(np.int8)
    given[0], given[1] = 0, 1
    splits = make_splits(LABELS, None, SCHEMA, given=given)
    assert "kind: 1 class without a training image: c" in splits.notes


def test_no_share_for_val_leaves_it_empty() -> None:
    splits = make_splits(LABELS, None, SCHEMA, fractions=(0.8, 0.0, 0.2))
    assert (len(splits.train), len(splits.val), len(splits.test)) == (80, 0, 20)
    assert not any("validation" in note for note in splits.notes)
    kept = make_splits(LABELS, None, SCHEMA, fractions=(0.8, 0.0, 0.2), given=given_split(80, 0, 20))
    assert len(kept.val) == 0


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fractions_that_do_not_fit_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="--fractions: expected"):
        make_splits(LABELS, None, SCHEMA, fractions=fractions)


def test_a_given_split_without_train_is_refused() -> None:
    with pytest.raises(InputError, match="has no train image"):
        make_splits(LABELS, None, SCHEMA, given=given_split(0, 50, 50))


def test_splits_survive_json_by_ids_in_another_order() -> None:
    ids = [f"image {i}" for i in range(100)]
    splits = make_splits(LABELS, None, SCHEMA)
    text = SPLITS_FILE.encode(splits.named(ids))
    data = SPLITS_FILE.decode(text, "splits.json")
    again = data.rows(ids, "splits.json")
    assert [again.train.tolist(), again.val.tolist(), again.test.tolist()] == [
        splits.train.tolist(), splits.val.tolist(), splits.test.tolist(),
    ]  # fmt: skip
    assert again.notes == splits.notes
    turned = data.rows(ids[::-1], "splits.json")
    assert turned.train.tolist() == sorted(99 - splits.train)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"train": ["a", "x"], "val": [], "test": []},
            "s.json: train names id 'x', which the data do not have",
        ),
        ({"train": ["a"], "val": ["a"], "test": []}, "s.json: id 'a' is in train and in val"),
        ({"train": ["a", "a"], "val": [], "test": []}, "s.json: id 'a' is in train and in train"),
        (
            {"train": ["a"], "val": []},
            "s.json: not valid splits: Object missing required field `test`; make the splits again",
        ),
        (
            {"train": "a", "val": [], "test": []},
            r"s.json: not valid splits: Expected `array`, got `str` - at `\$\.train`; make the splits again",
        ),
    ],
)
def test_splits_of_other_data_are_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SPLITS_FILE.decode(json.dumps(data), "s.json").rows(["a", "b"], "s.json")


def test_a_data_set_is_split_by_its_own_labels() -> None:
    data = BUILTIN["digits"].load()
    splits = split_dataset(data, seed=3)
    shared = np.bincount(data.labels[splits.test, 0]) - 0.2 * np.bincount(data.labels[:, 0])
    assert (np.abs(shared) < 1).all()


def test_the_same_seed_gives_the_same_splits_in_every_process() -> None:
    code = (
        "import numpy as np; from longtail.data.splits import split_dataset;"
        "from longtail.data.dataset import Dataset; from longtail.schema import LabelSchema;"
        "labels = np.arange(90)[:, None] * 7 % 4; groups = np.arange(90) // 2 % 31;"
        "data = Dataset('d', LabelSchema.single('a', 'wxyz'), labels, [], None, groups);"
        "splits = split_dataset(data, seed=5);"
        "print(splits.named([str(i) for i in range(90)]))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert "train=[" in runs[0]


def test_a_split_of_another_name_is_refused_in_one_line():
    rows = np.arange(3)
    with pytest.raises(InputError, match="split: expected one of train, val, test, got '1e999'"):
        Splits(rows, rows, rows).of("1e999")
