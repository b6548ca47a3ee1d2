"""Suspect labels of vectors that lie about the centre of their class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.dataset import Dataset
from longtail.diagnosing.labels import MOST_TWINS, check_labels, contradicting, joined
from longtail.schema import Attribute, LabelSchema


def dataset(labels, sizes, groups):
    """Images without pixels: only their vectors are looked at."""
    attributes = (Attribute(f"a{j}", tuple(f"c{k}" for k in range(size))) for j, size in enumerate(sizes))
    ids = [f"i{row}" for row in range(len(labels))]
    return Dataset("made", LabelSchema(tuple(attributes)), labels, ids, ids, groups=groups)


def vectors(labels, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(labels.max() + 1, 8))
    return (centres[labels] + noise * rng.normal(size=(len(labels), 8))).astype(np.float32)


def check(x, labels, *sizes, rows=None, groups=None, **rest):
    rows = np.arange(len(labels)) if rows is None else rows
    return check_labels(x, rows, dataset(labels, sizes, groups), **rest)


TRUE = np.repeat([0, 1, 2], [120, 60, 20])


def test_a_planted_error_is_first_with_its_true_class_and_rare_classes_stay_off_the_list():
    labels = TRUE.copy()
    labels[[3, 150]] = [1, 0]
    found = check(vectors(TRUE), labels[:, None], 3).attributes[0]
    assert {(s.row, s.given, s.suggested) for s in found.suspects[:2]} == {(3, "c1", "c0"), (150, "c0", "c1")}
    assert [s.rank for s in found.suspects] == list(range(1, len(found.suspects) + 1))
    assert not any(s.given == "c2" for s in found.suspects)
    assert found.suspicion[3] > 0.9
    assert np.median(found.suspicion) < 0.5


def test_missing_labels_are_neither_judged_nor_counted():
    labels = TRUE.copy()
    labels[::3] = -1
    found = check(vectors(TRUE), labels[:, None], 3).attributes[0]
    assert np.isnan(found.suspicion[::3]).all()
    assert found.labelled == found.judged == (labels >= 0).sum()


def test_each_attribute_is_judged_by_itself():
    second = (np.arange(200) % 2)[:, None]
    both = check(vectors(TRUE), np.hstack([TRUE[:, None], second]), 3, 2)
    alone = check(vectors(TRUE), second, 2)
    assert both.attributes[1].name == "a1"
    np.testing.assert_array_equal(both.attributes[1].suspicion, alone.attributes[0].suspicion)


def test_classes_of_one_image_and_of_one_group_are_said_not_to_be_judged():
    labels = np.concatenate([TRUE, [3], [4, 4, 4], [5, 5]])
    groups = np.arange(len(labels))
    groups[201:204] = 999
    found = check(vectors(labels), labels[:, None], 7, groups=groups).attributes[0]
    assert found.not_judged == ("c3", "c4")
    assert np.isnan(found.suspicion[200:204]).all()
    assert np.isfinite(found.suspicion[204:]).all()
    assert [c.name for c in found.classes] == ["c0", "c1", "c2", "c3", "c4", "c5"]  # c6 has no image


def test_of_an_attribute_with_one_class_nothing_is_judged():
    found = check(vectors(TRUE), np.zeros((200, 1), np.int64), 1).attributes[0]
    assert (found.judged, found.suspects) == (0, ())


def test_images_that_could_not_be_read_are_counted_and_left_out():
    rows = np.arange(5, 200)
    found = check(vectors(TRUE)[5:], TRUE[:, None], 3, rows=rows)
    assert found.unread == 5
    assert np.isnan(found.attributes[0].suspicion[:5]).all()
    assert found.attributes[0].classes[0].judged == 115


def test_without_any_label_or_image_nothing_is_found():
    labels = np.full((4, 1), -1)
    assert check(np.ones((4, 8), np.float32), labels, 2).attributes[0].suspects == ()
    none = check(np.zeros((0, 8), np.float32), labels, 2, rows=np.zeros(0, np.int64))
    assert (none.unread, none.attributes[0].suspects) == (4, ())


def test_vectors_of_zeros_are_no_fault():
    found = check(np.zeros((200, 8), np.float32), TRUE[:, None], 3).attributes[0]
    assert np.isfinite(found.suspicion).all()


def test_the_length_of_a_vector_makes_no_difference():
    lengths = np.random.default_rng(1).uniform(0.1, 10, (200, 1)).astype(np.float32)
    both = (check(vectors(TRUE) * factor, TRUE[:, None], 3) for factor in (1, lengths))
    one, other = (found.attributes[0].suspicion for found in both)
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_identical_images_with_other_labels_come_first_and_name_each_other():
    labels = TRUE.copy()
    labels[7] = 1
    x = vectors(TRUE)
    x[9] = x[7]
    found = check(x, labels[:, None], 3, identical=[[7, 9], [20, 21]]).attributes[0]
    first, second = found.suspects[:2]
    assert [(s.row, s.given, s.suggested, s.twins) for s in (first, second)] == [
        (7, "c1", "c0", ("i9",)),
        (9, "c0", "c1", ("i7",)),
    ]
    assert found.suspicion[[7, 9]].tolist() == [1, 1]
    assert sorted({s.row for s in found.suspects}) == sorted(s.row for s in found.suspects)


def test_a_missing_label_contradicts_no_twin():
    assert contradicting(np.array([0, -1, 0, 1, 1]), [[0, 1], [2, 3, 4]]) == {2: (3, 4), 3: (2,), 4: (2,)}


@given(st.lists(st.integers(-1, 3), min_size=2, max_size=12))
def test_contradicting_rows_are_those_of_a_plain_loop(labels):
    rows = range(len(labels))
    found = contradicting(np.array(labels), [list(rows)])
    slow = {i: {j for j in rows if labels[j] not in (-1, labels[i])} for i in rows if labels[i] != -1}
    assert {i: set(others) for i, others in found.items()} == {i: own for i, own in slow.items() if own}
    assert list(found) == sorted(found)


def test_of_a_placeholder_that_stands_for_many_images_some_of_each_label_are_named():
    labels = np.arange(3000) % 3
    found = contradicting(labels, [list(range(3000))])
    assert len(found) == 3000
    assert all(len(others) == MOST_TWINS for others in found.values())
    assert all(set(labels[[*others]]) == {0, 1, 2} - {labels[row]} for row, others in found.items())


def test_a_twin_that_could_not_be_read_is_listed_too():
    labels = TRUE.copy()
    labels[0] = 2
    found = check(vectors(TRUE)[1:], labels[:, None], 3, rows=np.arange(1, 200), identical=[[0, 5]])
    assert [(s.row, s.suggested) for s in found.attributes[0].suspects[:2]] == [(0, "c0"), (5, "c2")]


@pytest.mark.parametrize(
    "joined_by",
    [{"groups": np.concatenate([np.zeros(6, np.int64), np.arange(1, 195)])}, {"identical": [[*range(6)]]}],
    ids=["groups", "identical"],
)
def test_images_of_a_group_and_identical_ones_are_judged_without_each_other(joined_by):
    """Six exposures of one thing, all with the same wrong label: alone, each is betrayed by nothing."""
    labels, x = TRUE.copy(), vectors(TRUE, noise=1.0)
    x[:6] = x[0]
    labels[:6] = 1
    together = check(x, labels[:, None], 3, **joined_by).attributes[0].suspicion[:6]
    alone = check(x, labels[:, None], 3).attributes[0].suspicion[:6]
    assert (together > alone).all()


@given(st.integers(0, 20))
def test_units_are_joined_as_by_hand(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 12, 20) * 5
    identical = rng.permutation(20)[:9].reshape(3, 3).tolist()
    found, name = joined(20, groups, identical), groups.copy()
    for _ in range(20):
        for same in identical:
            name[np.isin(name, name[same])] = name[same].min()
    assert all((found[i] == found[k]) == (name[i] == name[k]) for i in range(20) for k in range(20))


def test_without_groups_every_image_is_a_unit():
    assert len(set(joined(5, None, []).tolist())) == 5
    assert joined(0, None, []).shape == (0,)


def test_no_more_than_the_share_is_listed():
    labels = TRUE.copy()
    labels[:100:2] = 1
    found = check(vectors(TRUE), labels[:, None], 3)
    assert 0 < len(found.suspects) <= found.share * 200
