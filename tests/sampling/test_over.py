import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.balance import joint_weights
from longtail.sampling.over import OverSampler

CASES = settings(deadline=None, derandomize=True, max_examples=50)
LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def drawn(sampler, epoch):
    """The epoch without what fills up its last batch."""
    return sampler.batches(epoch).ravel()[: sampler.draws]


@CASES
@given(LABELS, st.integers(0, 9))
def test_replicating_one_label_draws_every_class_as_often_as_the_largest(classes, epoch):
    labels, rows = np.array(classes)[:, None], np.arange(len(classes)) + 100
    sampler = OverSampler(rows, labels, [4], 7, seed=3, replicate=True)
    images = np.bincount(drawn(sampler, epoch) - 100, minlength=len(rows))
    largest = max(map(classes.count, classes))
    for c in set(classes):
        times = images[labels[:, 0] == c]
        assert abs(times.sum() - largest) <= 1
        assert set(times.tolist()) <= {largest // classes.count(c), -(-largest // classes.count(c))}


@CASES
@given(LABELS, st.integers(0, 9))
def test_by_default_an_epoch_keeps_its_length_and_its_classes_are_even(classes, epoch):
    labels, rows = np.array(classes)[:, None], np.arange(len(classes))
    sampler = OverSampler(rows, labels, [4], 7, seed=3)
    order = drawn(sampler, epoch)
    assert len(order) == len(rows)
    share = len(rows) / len(set(classes))
    totals = np.bincount(labels[order, 0], minlength=4)
    assert all(abs(totals[c] - share) < 1 + 1e-9 for c in set(classes))


@settings(CASES, max_examples=15)
@given(st.lists(st.tuples(*[st.integers(-1, 2)] * 3), min_size=1, max_size=40), st.booleans())
def test_with_several_labels_every_image_is_drawn_its_expected_number_of_times(values, replicate):
    labels, rows = np.array(values), np.arange(len(values))
    sampler = OverSampler(rows, labels, [3] * 3, 8, seed=0, replicate=replicate)
    weights = joint_weights(labels, [3] * 3)
    expected = weights * sampler.draws / weights.sum()
    images = np.bincount(drawn(sampler, 0), minlength=len(rows))
    assert (images >= np.floor(expected - 1e-9)).all()
    assert (images <= np.ceil(expected + 1e-9)).all()
    if replicate:
        assert images.min() >= 1
        assert (
            0
            <= sampler.draws - weights.sum() / weights.min() + 1e-6 * sampler.draws
            < 1 + 1e-6 * sampler.draws
        )
    np.testing.assert_allclose(sampler.rates(), weights)


@CASES
@given(LABELS, st.sampled_from([0.5, 1.0]), st.sampled_from([1.0, 1.2, 2.0]))
def test_no_image_weighs_more_than_the_limit_before_the_mean_is_one_again(classes, power, limit):
    labels = np.array(classes)[:, None]
    rates = OverSampler(np.arange(len(classes)), labels, [4], 7, seed=3, power=power, limit=limit).rates()
    free = [classes.count(c) ** -power for c in classes]
    held = [min(w / (sum(free) / len(free)), limit) for w in free]
    np.testing.assert_allclose(rates, [w / (sum(held) / len(held)) for w in held])


def test_the_classes_of_the_most_imbalanced_attribute_have_the_totals_they_expect():
    rng = np.random.default_rng(0)
    labels = np.stack([rng.random(400) < 0.4, rng.random(400) < 0.1, rng.random(400) < 0.3], 1).astype(int)
    sampler = OverSampler(np.arange(400), labels, [2] * 3, 32, seed=1)
    for epoch in range(20):
        assert np.abs(np.bincount(labels[drawn(sampler, epoch), 1]) - 200).max() <= 1


@pytest.mark.parametrize("replicate", [False, True])
def test_an_epoch_is_a_function_of_seed_and_epoch(replicate):
    labels = (np.arange(60)[:, None] % 7 == 0).astype(int)

    def epoch(seed, number):
        return OverSampler(np.arange(60), labels, [2], 8, seed, replicate=replicate).batches(number).tolist()

    assert epoch(1, 4) == epoch(1, 4)
    assert epoch(1, 4) != epoch(1, 5)
    assert epoch(1, 4) != epoch(2, 4)


def test_an_epoch_is_shuffled_and_not_sorted_by_class():
    labels = np.repeat([0, 1], 200)[:, None]
    batches = OverSampler(np.arange(400), labels, [2], 40, seed=0).batches(0)
    rare = labels[batches, 0].sum(1)
    assert rare.min() >= 5  # hypergeometric, 20 ± 3
    assert rare.max() <= 35


@pytest.mark.parametrize(("n", "batch_size", "processes"), [(1, 8, 1), (1, 8, 3), (5, 8, 2), (50, 7, 2)])
def test_any_number_of_rows_makes_batches_of_one_size(n, batch_size, processes):
    batches = OverSampler(np.arange(n), np.zeros((n, 1), int), [2], batch_size, 0, processes).batches(0)
    assert batches.shape[1] % processes == 0
    assert set(batches.ravel().tolist()) == set(range(n))


def test_unlabelled_images_are_drawn_like_in_a_shuffled_epoch():
    labels = np.array([[-1]] * 10 + [[0]] * 9 + [[1]])
    images = np.bincount(drawn(OverSampler(np.arange(20), labels, [2], 5, seed=0), 0), minlength=20)
    assert images[:10].tolist() == [1] * 10


def test_labels_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="labels: expected those of the 3 rows, got 4"):
        OverSampler(np.arange(3), np.zeros((4, 1), int), [2], 2, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": limit}, f"limit: expected a number of at least 1, got {limit}")
        for limit in (0, -1, 0.5, math.nan)
    ]
    + [
        ({"power": power}, f"power: expected a number from 0 to 1, got {power}")
        for power in (-1, 1.5, math.nan)
    ],
)
def test_a_power_or_limit_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OverSampler(np.arange(4), np.array([[0], [0], [0], [1]]), [2], 2, seed=0, **options)


@pytest.mark.parametrize("replicate", [False, True])
def test_no_row_is_refused(replicate):
    with pytest.raises(ValueError, match="at least 1 row"):
        OverSampler(np.arange(0), np.zeros((0, 2), int), [2, 2], 2, seed=0, replicate=replicate)


@CASES
@given(LABELS, st.integers(0, 9))
def test_half_the_power_draws_a_class_by_the_root_of_its_size(classes, epoch):
    labels, rows = np.array(classes)[:, None], np.arange(len(classes))
    sampler = OverSampler(rows, labels, [4], 7, seed=3, power=0.5)
    roots = np.sqrt(np.bincount(classes, minlength=4))
    totals = np.bincount(labels[drawn(sampler, epoch), 0], minlength=4)
    np.testing.assert_array_less(np.abs(totals - len(rows) * roots / roots.sum()), 1 + 1e-9)
