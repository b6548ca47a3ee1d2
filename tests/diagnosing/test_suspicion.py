"""Margins and the list against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.diagnosing.suspicion import margins, rooms, suspicions, within_room
from longtail.features.held_out import HeldOut


def judged(seed, n=80, k=5, absent=0.1):
    """Random probabilities of random labels; here and there a regression had no image of a class."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(k), n) * (rng.random((n, k)) > absent)
    p = rng.dirichlet(np.full(k, 0.5), n) * (shares > 0) + 1e-9
    labels = rng.choice(k, n, p=np.arange(1, k + 1) / sum(range(k + 1)))
    return HeldOut(np.log(p / p.sum(1, keepdims=True)), shares), labels


def slow_margin(found, labels, tau, i):
    """Of one image, and the class; None where it cannot be judged."""
    score = {
        k: found.log_p[i, k] - tau * math.log(share) for k, share in enumerate(found.shares[i]) if share > 0
    }
    own = score.pop(labels[i], None)
    if own is None or not score:
        return None
    best = max(score, key=lambda k: (score[k], -k))
    return score[best] - own, best


def slow_list(found, labels, share):
    order, entry = ([slow_margin(found, labels, tau, i) for i in range(len(labels))] for tau in (0.5, 1.0))
    known = [i for i, own in enumerate(order) if own is not None]
    first = sorted((i for i in known if entry[i][0] > 0), key=lambda i: (-entry[i][0], i))
    first = first[: int(share * len(known) + 1e-9)]
    images = [sum(labels[i] == c for i in known) for c in range(found.shares.shape[1])]
    mean = sum(images) / len([n for n in images if n])
    left = [max(0.003 * n, 0.5) * min(1, n / mean) for n in images]
    listed = []
    for i in sorted((i for i in first if order[i][0] > 0), key=lambda i: (-order[i][0], i)):
        right = 1 / (1 + math.exp(entry[i][0]))
        if right <= left[labels[i]]:
            left[labels[i]] -= right
            listed.append(i)
    return listed


@given(st.integers(0, 60), st.sampled_from([0.0, 0.5, 1.0]))
def test_margins_are_those_of_plain_loops(seed, tau):
    found, labels = judged(seed)
    margin, other = margins(found, labels, tau)
    for i in range(len(labels)):
        expected = slow_margin(found, labels, tau, i)
        if expected is None:
            assert math.isnan(margin[i])
            assert other[i] == -1
        else:
            assert (margin[i], other[i]) == (pytest.approx(expected[0]), expected[1])


@given(st.integers(0, 60), st.sampled_from([0.02, 0.1, 0.3, 1.0]))
def test_the_list_is_that_of_plain_loops(seed, share):
    found, labels = judged(seed, n=300)
    listed = suspicions(found, labels, share).listed.tolist()
    assert listed == slow_list(found, labels, share)
    assert 0 < len(listed) <= share * 300


def test_a_twentieth_of_the_labels_is_listed_where_nothing_else_is_said():
    found = HeldOut(np.log(np.tile([0.01, 0.99], (1000, 1))), np.full((1000, 2), 0.5))
    assert len(suspicions(found, np.repeat([0, 1], [400, 600])).listed) == 50


def test_a_label_that_is_doubted_for_its_rarity_alone_is_not_listed():
    found = suspicions(HeldOut(np.log([[0.8, 0.2]]), np.array([[0.9, 0.1]])), np.array([1]), 1.0)
    assert found.values[0] > 0.5
    assert found.listed.tolist() == []


def test_the_rarer_a_class_the_less_room_has_an_image_of_it():
    room = rooms(np.array([0, 30, 300, 3000]))
    assert room[0] == 0
    assert room[1] / 30 < room[2] / 300 < room[3] / 3000 == pytest.approx(0.003)


def test_a_label_without_room_leaves_it_to_a_surer_one():
    kept = within_room(np.array([0, 0, 1, 0, 0]), np.array([0.2, 0.5, 0.1, 0.2, 0.1]), np.array([0.45, 0.05]))
    assert kept.tolist() == [True, False, False, True, False]
    assert within_room(np.array([0]), np.array([0.0]), np.array([0.0])).tolist() == [True]


def test_the_order_of_the_images_does_not_matter():
    found, labels = judged(7, n=300)
    order = np.random.default_rng(0).permutation(len(labels))
    whole = suspicions(found, labels, 0.2)
    again = suspicions(HeldOut(found.log_p[order], found.shares[order]), labels[order], 0.2)
    assert order[again.listed].tolist() == whole.listed.tolist()
    np.testing.assert_array_equal(again.values, whole.values[order])


def test_suspicion_is_half_where_two_classes_are_equally_likely_for_their_shares():
    found = HeldOut(np.log([[0.8, 0.2], [0.5, 0.5]]), np.array([[16 / 17, 1 / 17], [0.5, 0.5]]))
    assert suspicions(found, np.array([1, 0])).values.tolist() == pytest.approx([0.5, 0.5])


def test_extreme_probabilities_stay_figures():
    found = HeldOut(np.array([[-1e4, 0.0], [0.0, -1e4]]), np.full((2, 2), 0.5))
    assert suspicions(found, np.array([0, 0])).values.tolist() == [1.0, 0.0]


def test_nothing_is_listed_of_nothing():
    none = suspicions(HeldOut(np.zeros((0, 3)), np.zeros((0, 3))), np.zeros(0, np.int64))
    assert (none.values.shape, none.listed.shape) == ((0,), (0,))
