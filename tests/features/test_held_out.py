"""Folds against plain loops; probabilities against one regression a fold, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.features.held_out import deal, held_out
from longtail.features.linear import fit_linear


def drawn(seed, n=60, classes=4, units=25):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=np.arange(classes, 0, -1) / sum(range(classes + 1)))
    return rng, labels, rng.integers(0, units, n) * 7


def slow_deal(labels, units, folds, seed):
    """One unit after the other, with dictionaries."""
    names = list(dict.fromkeys(units.tolist()))
    rows = {u: [i for i, other in enumerate(units) if other == u] for u in names}
    chance = np.random.default_rng(seed).random(len(labels))
    spread = {
        c: len({u for u in names if any(labels[i] == c for i in rows[u])}) for c in set(labels.tolist())
    }
    fold = np.full(len(labels), -1)
    for c in sorted(spread, key=lambda c: (spread[c], c)):
        own = {u: sum(labels[i] == c for i in rows[u]) for u in names}
        todo = [u for u in names if own[u] and fold[rows[u][0]] < 0]
        for u in sorted(todo, key=lambda u: (-own[u], chance[names.index(u)])):
            sizes = [(sum(labels[fold == f] == c), sum(fold == f), f) for f in range(folds)]
            fold[rows[u]] = min(sizes)[2]
    return fold


@given(st.integers(0, 40), st.integers(2, 5))
def test_folds_are_those_of_plain_loops(seed, folds):
    _, labels, units = drawn(seed)
    assert deal(labels, units, folds, seed).tolist() == slow_deal(labels, units, folds, seed).tolist()


@given(st.integers(0, 40))
def test_units_stay_whole_and_single_images_are_spread_evenly(seed):
    _, labels, units = drawn(seed)
    fold = deal(labels, units, 5)
    assert all(len(set(fold[units == unit])) == 1 for unit in set(units))
    alone = deal(labels, np.arange(len(labels)), 5)
    for c in set(labels):
        images = np.bincount(alone[labels == c], minlength=5)
        assert images.max() - images.min() <= 1


def test_a_class_of_two_images_is_in_two_folds():
    labels = np.array([0] * 20 + [1, 1])
    fold = deal(labels, np.arange(22), 5)
    assert fold[20] != fold[21]


def test_folds_do_not_depend_on_how_units_are_called():
    rng, labels, units = drawn(3)
    other = rng.permutation(1000)[units]
    assert deal(labels, units, 5).tolist() == deal(labels, other, 5).tolist()


def test_nothing_is_dealt_to_no_fold():
    none = np.zeros(0, np.int64)
    assert deal(none, none, 5).shape == (0,)
    assert held_out(np.zeros((0, 3), np.float32), none, none, 2).log_p.shape == (0, 2)


def test_probabilities_are_those_of_a_regression_that_saw_no_image_of_the_fold():
    rng, labels, units = drawn(1)
    x = rng.normal(size=(60, 5)) + np.eye(5)[labels]
    found, fold = held_out(x, labels, units, 4), deal(labels, units, 5)
    for i in range(60):
        others = fold != fold[i]
        fit = fit_linear(x[others], labels[others], 4, (x[:0], labels[:0]), [1.0])
        odds = np.exp(x[i] @ fit.weight + fit.bias)
        np.testing.assert_allclose(np.exp(found.log_p[i]), odds / odds.sum(), rtol=1e-9)
        np.testing.assert_allclose(found.shares[i], [(labels[others] == k).mean() for k in range(4)])


def test_a_class_of_one_image_has_no_share_where_it_is_judged():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    found = held_out(np.eye(8), labels, np.arange(8), 3, folds=3)
    assert found.shares[7, 2] == 0
    assert found.shares[0, 0] > 0
    assert found.log_p[7, 2] < -1000


def test_it_tells_how_far_it_is():
    heard = []
    held_out(
        np.eye(4), np.array([0, 0, 1, 1]), np.arange(4), 2, folds=2, on_progress=lambda *s: heard.append(s)
    )
    assert heard == [(1, 2), (2, 2)]


def test_one_group_of_all_images_leaves_nothing_to_learn_from():
    found = held_out(np.eye(4), np.array([0, 0, 1, 1]), np.zeros(4, np.int64), 2)
    assert found.shares.sum() == pytest.approx(0)
