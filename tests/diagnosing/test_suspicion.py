"""Margins and room against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.diagnosing.suspicion import ENTRY, ORDER, margins, rooms, suspicions
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


def slow_room(counts, share):
    """How many labels may be listed, by pool, as [classes, number]."""
    present = [n for n in counts if n]
    pools = [[set(), 0.0]]
    for c in sorted(range(len(counts)), key=lambda c: (counts[c], c)):
        if int(pools[-1][1] + 1e-9):
            pools.append([set(), 0.0])
        pools[-1][0].add(c)
        mean = sum(present) / len(present)
        pools[-1][1] += share * counts[c] * min(1.0, math.sqrt(counts[c] / mean))
    if len(pools) > 1 and not int(pools[-1][1] + 1e-9):
        classes, number = pools.pop()
        pools[-1] = [pools[-1][0] | classes, pools[-1][1] + number]
    return [(classes, int(number + 1e-9)) for classes, number in pools]


def slow_list(found, labels, share):
    both = [{t: slow_margin(found, labels, t, i) for t in (ORDER, ENTRY)} for i in range(len(labels))]
    known = [i for i, own in enumerate(both) if own[ORDER] is not None]
    first = sorted((i for i in known if both[i][ENTRY][0] > 0), key=lambda i: (-both[i][ENTRY][0], i))
    first = first[: int(share * len(known) + 1e-9)]
    counts = [sum(labels[i] == c for i in known) for c in range(labels.max() + 1)]
    left = [[classes, number] for classes, number in slow_room(counts, share)]
    listed = []
    for i in sorted((i for i in first if both[i][ORDER][0] > 0), key=lambda i: (-both[i][ORDER][0], i)):
        pool = next(pool for pool in left if labels[i] in pool[0])
        if pool[1]:
            pool[1] -= 1
            listed.append(i)
    return listed


@given(st.integers(0, 60), st.sampled_from([0.0, ORDER, ENTRY]))
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
    found, labels = judged(seed)
    assert suspicions(found, labels, share).listed.tolist() == slow_list(found, labels, share)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.sampled_from([0.02, 0.05, 0.5]))
def test_no_pool_has_room_for_more_than_the_share_of_its_images(counts, share):
    pool, room = rooms(np.array(counts), share)
    for p, number in enumerate(room.tolist()):
        images = sum(n for n, own in zip(counts, pool) if own == p)
        assert number <= share * images + 1e-6
        assert number > 0 or len(room) == 1


def test_the_rarer_a_class_the_smaller_its_share_of_the_list():
    _, room = rooms(np.array([100, 400, 4000]), 0.05)
    assert room.tolist() == [1, 10, 200]


def test_what_has_no_room_of_its_own_joins_the_last_pool():
    counts = np.array([79, 66, 900, 55, 130])
    pool, room = rooms(np.array([55, 66, 79]), 0.01)
    assert (pool.tolist(), room.tolist()) == ([0, 0, 0], [1])
    pool, room = rooms(counts, 0.0051)
    found = [({c for c in range(5) if pool[c] == p}, number) for p, number in enumerate(room.tolist())]
    assert found == slow_room(counts.tolist(), 0.0051)


def test_the_order_of_the_images_does_not_matter():
    found, labels = judged(7)
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


def test_below_twenty_images_nothing_is_listed_at_five_percent():
    found, labels = judged(0, n=19, absent=0)
    assert suspicions(found, labels, 0.05).listed.tolist() == []
