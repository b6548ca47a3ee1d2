import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.balance import joint_weights
from longtail.sampling.under import UnderSampler

CASES = settings(deadline=None, derandomize=True, max_examples=50)


def drawn(sampler, epoch):
    """The epoch without what fills up its last batch."""
    return sampler.batches(epoch).ravel()[: sampler.draws]


@CASES
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 9))
def test_one_label_keeps_as_many_images_of_each_class_as_the_smallest_has(classes, epoch):
    labels, rows = np.array(classes)[:, None], np.arange(len(classes))
    order = drawn(UnderSampler(rows, labels, [4], 5, seed=3), epoch)
    smallest = min(map(classes.count, classes))
    totals = np.bincount(labels[order, 0], minlength=4)
    assert all(abs(totals[c] - smallest) <= 1 for c in set(classes))
    assert len(order) == smallest * len(set(classes))


@settings(CASES, max_examples=15)
@given(st.lists(st.tuples(*[st.integers(-1, 2)] * 3), min_size=1, max_size=40), st.integers(0, 9))
def test_no_image_is_drawn_twice_in_an_epoch(values, epoch):
    labels = np.array(values)
    sampler = UnderSampler(np.arange(len(values)), labels, [3] * 3, 6, seed=0)
    order = drawn(sampler, epoch)
    assert len(set(order.tolist())) == len(order)
    weights = joint_weights(labels, [3] * 3)
    assert len(order) == math.floor(weights.sum() / weights.max() + 1e-6)


def test_images_are_included_in_proportion_to_their_weights():
    labels = np.array([[0, 0]] * 5 + [[1, 0]] * 2 + [[0, 1]] * 2 + [[-1, 1], [-1, -1]])
    sampler = UnderSampler(np.arange(11), labels, [2, 2], 4, seed=5)
    epochs = 3000
    times = np.bincount(np.concatenate([drawn(sampler, e) for e in range(epochs)]), minlength=11) / epochs
    weights = joint_weights(labels, [2, 2])
    expected = weights * sampler.draws / weights.sum()
    assert sampler.draws == math.floor(weights.sum() / weights.max())
    np.testing.assert_allclose(sampler.rates(), weights)
    assert np.abs(times - expected).max() < 5 * math.sqrt(0.25 / epochs)


def test_all_images_of_a_common_class_come_up_in_the_long_run():
    labels = np.array([0] * 30 + [1] * 3)[:, None]
    sampler = UnderSampler(np.arange(33), labels, [2], 6, seed=0)
    seen = set(np.concatenate([drawn(sampler, epoch) for epoch in range(100)]).tolist())
    assert seen == set(range(33))  # missed with probability 30 · 0.9^100 < 0.001


def test_all_parts_of_a_class_can_come_up_not_only_images_that_lie_apart():
    labels = np.array([0] * 4 + [1] * 2)[:, None]
    sampler = UnderSampler(np.arange(6), labels, [2], 4, seed=0)
    parts = {frozenset(drawn(sampler, epoch).tolist()) - {4, 5} for epoch in range(100)}
    assert len(parts) == 6  # 2 of 4


def test_an_epoch_is_a_function_of_seed_and_epoch():
    labels = (np.arange(60)[:, None] % 3 == 0).astype(int)

    def epoch(seed, number):
        return UnderSampler(np.arange(60), labels, [2], 8, seed).batches(number).tolist()

    assert epoch(1, 4) == epoch(1, 4)
    assert epoch(1, 4) != epoch(1, 5)
    assert epoch(1, 4) != epoch(2, 4)


@pytest.mark.parametrize(("batch_size", "processes"), [(4, 1), (8, 1), (100, 1), (3, 2), (100, 4)])
def test_batches_have_one_size_that_processes_can_share(batch_size, processes):
    labels = np.array([0] * 30 + [1] * 3)[:, None]
    sampler = UnderSampler(np.arange(33), labels, [2], batch_size, 0, processes)
    shapes = {sampler.batches(epoch).shape for epoch in range(5)}
    assert len(shapes) == 1
    steps, width = shapes.pop()
    assert width % processes == 0
    assert sampler.draws == 6
    assert 0 <= steps * width - 6 < width


@pytest.mark.parametrize("label", [-1, 0])
def test_one_image_makes_an_epoch(label):
    assert UnderSampler(np.array([7]), np.array([[label]]), [2], 8, seed=0).batches(0).tolist() == [[7]]


def test_no_row_is_refused():
    with pytest.raises(ValueError, match="at least 1 row"):
        UnderSampler(np.arange(0), np.zeros((0, 2), int), [2, 2], 2, seed=0)
