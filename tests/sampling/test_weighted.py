import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.balance import joint_weights
from longtail.sampling.weighted import WeightedSampler, over_sampling, systematic, under_sampling

CASES = settings(deadline=None, derandomize=True, max_examples=50)
LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def over(rows, labels, num_classes, batch_size, seed, processes=1, **options):
    drawing = over_sampling(labels, num_classes, **options)
    return WeightedSampler(rows, labels, num_classes, *drawing, batch_size, seed, processes)


def under(rows, labels, num_classes, batch_size, seed, processes=1):
    drawing = under_sampling(labels, num_classes)
    return WeightedSampler(rows, labels, num_classes, *drawing, batch_size, seed, processes)


def drawn(sampler, epoch):
    """The epoch without what fills up its last batch."""
    return sampler.batches(epoch).ravel()[: sampler.draws]


@CASES
@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.integers(1, 40), st.integers(0, 99))
def test_systematic_draws_are_those_of_evenly_spaced_points(sizes, draws, seed):
    expected = np.array(sizes) + 1e-3
    expected *= draws / expected.sum()
    counts = systematic(expected, np.random.default_rng(seed))
    u, twin, place = np.random.default_rng(seed).random(), [0] * len(expected), 0
    ends = np.cumsum(expected)
    for point in (k - u for k in range(1, draws + 1)):  # floor(E + u) grows by 1 where E passes k - u
        while place < len(ends) - 1 and ends[place] < point:
            place += 1
        twin[place] += 1
    assert counts.tolist() == twin
    assert counts.sum() == draws


def test_systematic_draws_average_to_what_is_expected():
    expected = np.array([0.3, 1.7, 0.25, 2.75])
    rng = np.random.default_rng(0)
    counts = np.array([systematic(expected, rng) for _ in range(4000)])
    assert ((counts == np.floor(expected)) | (counts == np.ceil(expected))).all()
    # a count that is one of two neighbours has variance of at most 1/4
    assert np.abs(counts.mean(0) - expected).max() < 5 * math.sqrt(0.25 / 4000)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_weights_that_are_no_positive_numbers_are_refused(wrong):
    weights = np.array([1.0, wrong, 1.0])
    with pytest.raises(ValueError, match="weights: expected 3 positive numbers"):
        WeightedSampler(np.arange(3), np.zeros((3, 1), int), [2], weights, 3, 2, 0, 1)


def test_weights_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="weights: expected 3 positive numbers"):
        WeightedSampler(np.arange(3), np.zeros((3, 1), int), [2], np.ones(2), 3, 2, 0, 1)


@CASES
@given(LABELS, st.integers(0, 9))
def test_replicating_one_label_draws_every_class_as_often_as_the_largest(classes, epoch):
    labels, rows = np.array(classes)[:, None], np.arange(len(classes)) + 100
    sampler = over(rows, labels, [4], 7, seed=3, replicate=True)
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
    sampler = over(rows, labels, [4], 7, seed=3)
    order = drawn(sampler, epoch)
    assert len(order) == len(rows)
    share = len(rows) / len(set(classes))
    totals = np.bincount(labels[order, 0], minlength=4)
    assert all(abs(totals[c] - share) < 1 + 1e-9 for c in set(classes))


@settings(CASES, max_examples=15)
@given(st.lists(st.tuples(*[st.integers(-1, 2)] * 3), min_size=1, max_size=40), st.booleans())
def test_with_several_labels_every_image_is_drawn_its_expected_number_of_times(values, replicate):
    labels, rows = np.array(values), np.arange(len(values))
    sampler = over(rows, labels, [3] * 3, 8, seed=0, replicate=replicate)
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
    rates = over(np.arange(len(classes)), labels, [4], 7, seed=3, power=power, limit=limit).rates()
    free = [classes.count(c) ** -power for c in classes]
    held = [min(w / (sum(free) / len(free)), limit) for w in free]
    np.testing.assert_allclose(rates, [w / (sum(held) / len(held)) for w in held])


@pytest.mark.parametrize("labelled", [True, False])
def test_the_classes_of_the_most_imbalanced_attribute_have_the_totals_they_expect(labelled):
    rng = np.random.default_rng(0)
    labels = np.stack([rng.random(400) < 0.4, rng.random(400) < 0.1, rng.random(400) < 0.3], 1).astype(int)
    if not labelled:
        labels[:, 0] = -1  # its imbalance is unknown
    sampler = over(np.arange(400), labels, [2] * 3, 32, seed=1)
    for epoch in range(20):
        assert np.abs(np.bincount(labels[drawn(sampler, epoch), 1]) - 200).max() <= 1


@pytest.mark.parametrize("replicate", [False, True])
def test_an_over_sampled_epoch_is_a_function_of_seed_and_epoch(replicate):
    labels = (np.arange(60)[:, None] % 7 == 0).astype(int)

    def epoch(seed, number):
        return over(np.arange(60), labels, [2], 8, seed, replicate=replicate).batches(number).tolist()

    assert epoch(1, 4) == epoch(1, 4)
    assert epoch(1, 4) != epoch(1, 5)
    assert epoch(1, 4) != epoch(2, 4)


def test_an_epoch_is_shuffled_and_not_sorted_by_class():
    labels = np.repeat([0, 1], 200)[:, None]
    batches = over(np.arange(400), labels, [2], 40, seed=0).batches(0)
    rare = labels[batches, 0].sum(1)
    assert rare.min() >= 5  # hypergeometric, 20 ± 3
    assert rare.max() <= 35


@pytest.mark.parametrize(("n", "batch_size", "processes"), [(1, 8, 1), (1, 8, 3), (5, 8, 2), (50, 7, 2)])
def test_any_number_of_rows_makes_batches_of_one_size(n, batch_size, processes):
    batches = over(np.arange(n), np.zeros((n, 1), int), [2], batch_size, 0, processes).batches(0)
    assert batches.shape[1] % processes == 0
    assert set(batches.ravel().tolist()) == set(range(n))


def test_unlabelled_images_are_drawn_like_in_a_shuffled_epoch():
    labels = np.array([[-1]] * 10 + [[0]] * 9 + [[1]])
    images = np.bincount(drawn(over(np.arange(20), labels, [2], 5, seed=0), 0), minlength=20)
    assert images[:10].tolist() == [1] * 10


def test_labels_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="labels: expected those of the 3 rows, got 4"):
        over(np.arange(3), np.zeros((4, 1), int), [2], 2, seed=0)


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
        over(np.arange(4), np.array([[0], [0], [0], [1]]), [2], 2, seed=0, **options)


@pytest.mark.parametrize("replicate", [False, True])
def test_no_row_to_over_sample_is_refused(replicate):
    with pytest.raises(ValueError, match="at least 1 row"):
        over(np.arange(0), np.zeros((0, 2), int), [2, 2], 2, seed=0, replicate=replicate)


@CASES
@given(LABELS, st.integers(0, 9))
def test_half_the_power_draws_a_class_by_the_root_of_its_size(classes, epoch):
    labels, rows = np.array(classes)[:, None], np.arange(len(classes))
    sampler = over(rows, labels, [4], 7, seed=3, power=0.5)
    roots = np.sqrt(np.bincount(classes, minlength=4))
    totals = np.bincount(labels[drawn(sampler, epoch), 0], minlength=4)
    np.testing.assert_array_less(np.abs(totals - len(rows) * roots / roots.sum()), 1 + 1e-9)


@CASES
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 9))
def test_one_label_keeps_as_many_images_of_each_class_as_the_smallest_has(classes, epoch):
    labels, rows = np.array(classes)[:, None], np.arange(len(classes))
    order = drawn(under(rows, labels, [4], 5, seed=3), epoch)
    smallest = min(map(classes.count, classes))
    totals = np.bincount(labels[order, 0], minlength=4)
    assert all(abs(totals[c] - smallest) <= 1 for c in set(classes))
    assert len(order) == smallest * len(set(classes))


@settings(CASES, max_examples=15)
@given(st.lists(st.tuples(*[st.integers(-1, 2)] * 3), min_size=1, max_size=40), st.integers(0, 9))
def test_no_image_is_drawn_twice_in_an_epoch(values, epoch):
    labels = np.array(values)
    sampler = under(np.arange(len(values)), labels, [3] * 3, 6, seed=0)
    order = drawn(sampler, epoch)
    assert len(set(order.tolist())) == len(order)
    weights = joint_weights(labels, [3] * 3)
    assert len(order) == math.floor(weights.sum() / weights.max() + 1e-6)


def test_images_are_included_in_proportion_to_their_weights():
    labels = np.array([[0, 0]] * 5 + [[1, 0]] * 2 + [[0, 1]] * 2 + [[-1, 1], [-1, -1]])
    sampler = under(np.arange(11), labels, [2, 2], 4, seed=5)
    epochs = 3000
    times = np.bincount(np.concatenate([drawn(sampler, e) for e in range(epochs)]), minlength=11) / epochs
    weights = joint_weights(labels, [2, 2])
    expected = weights * sampler.draws / weights.sum()
    assert sampler.draws == math.floor(weights.sum() / weights.max())
    np.testing.assert_allclose(sampler.rates(), weights)
    assert np.abs(times - expected).max() < 5 * math.sqrt(0.25 / epochs)


def test_all_images_of_a_common_class_come_up_in_the_long_run():
    labels = np.array([0] * 30 + [1] * 3)[:, None]
    sampler = under(np.arange(33), labels, [2], 6, seed=0)
    seen = set(np.concatenate([drawn(sampler, epoch) for epoch in range(100)]).tolist())
    assert seen == set(range(33))  # missed with probability 30 · 0.9^100 < 0.001


def test_all_parts_of_a_class_can_come_up_not_only_images_that_lie_apart():
    labels = np.array([0] * 4 + [1] * 2)[:, None]
    sampler = under(np.arange(6), labels, [2], 4, seed=0)
    parts = {frozenset(drawn(sampler, epoch).tolist()) - {4, 5} for epoch in range(100)}
    assert len(parts) == 6  # 2 of 4


def test_an_under_sampled_epoch_is_a_function_of_seed_and_epoch():
    labels = (np.arange(60)[:, None] % 3 == 0).astype(int)

    def epoch(seed, number):
        return under(np.arange(60), labels, [2], 8, seed).batches(number).tolist()

    assert epoch(1, 4) == epoch(1, 4)
    assert epoch(1, 4) != epoch(1, 5)
    assert epoch(1, 4) != epoch(2, 4)


@pytest.mark.parametrize(("batch_size", "processes"), [(4, 1), (8, 1), (100, 1), (3, 2), (100, 4)])
def test_batches_have_one_size_that_processes_can_share(batch_size, processes):
    labels = np.array([0] * 30 + [1] * 3)[:, None]
    sampler = under(np.arange(33), labels, [2], batch_size, 0, processes)
    shapes = {sampler.batches(epoch).shape for epoch in range(5)}
    assert len(shapes) == 1
    steps, width = shapes.pop()
    assert width % processes == 0
    assert sampler.draws == 6
    assert 0 <= steps * width - 6 < width


@pytest.mark.parametrize("label", [-1, 0])
def test_one_image_makes_an_epoch(label):
    assert under(np.array([7]), np.array([[label]]), [2], 8, seed=0).batches(0).tolist() == [[7]]


def test_no_row_to_under_sample_is_refused():
    with pytest.raises(ValueError, match="at least 1 row"):
        under(np.arange(0), np.zeros((0, 2), int), [2, 2], 2, seed=0)


def test_a_whole_number_of_draws_stays_what_it_is_when_sums_are_rounded():
    labels = np.repeat([0, 1], [1, 6])[:, None]
    weights, draws = over_sampling(labels, [2], replicate=True)
    assert weights.sum() / weights.min() > 12  # by rounding
    assert draws == 12
    tenths, lowest = np.full(10, 0.1), SimpleNamespace(random=lambda: 0.0)
    assert np.cumsum(tenths)[-1] < 1
    assert systematic(tenths, lowest).sum() == 1
