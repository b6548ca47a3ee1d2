import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.pairs import IdentityPairSampler

CASES = settings(deadline=None, derandomize=True, max_examples=50)
IDENTITIES = st.lists(st.integers(-1, 4), min_size=1, max_size=30)


def pairs_of(batches):
    return [pair.ravel() for pair in np.split(batches, 2, axis=1)]


def epochs_of(sampler, epochs):
    """Anchors and partners of many epochs, (draws,) each."""
    return np.concatenate([np.stack(pairs_of(sampler.batches(epoch))) for epoch in range(epochs)], 1)


@CASES
@given(IDENTITIES, st.integers(1, 20), st.integers(1, 3), st.integers(0, 9))
def test_any_rows_make_batches_of_one_size_and_about_as_many_draws_as_rows(values, batch, processes, epoch):
    rows = np.arange(len(values)) + 100
    sampler = IdentityPairSampler(rows, np.array(values), batch, 0, processes)
    batches = sampler.batches(epoch)
    assert batches.shape[1] == 2 * sampler.block
    assert sampler.block % processes == 0
    assert set(batches.ravel().tolist()) <= set(rows.tolist())
    assert 0 <= batches.size - len(rows) <= batches.shape[1]


@CASES
@given(IDENTITIES, st.integers(0, 9))
def test_a_partner_is_another_image_of_the_identity_or_of_another_known_one(values, epoch):
    identities = np.array(values)
    anchors, partners = pairs_of(IdentityPairSampler(np.arange(len(values)), identities, 8, 0).batches(epoch))
    known = [value for value in values if value >= 0]
    for anchor, partner in zip(anchors.tolist(), partners.tolist()):
        if values[anchor] < 0:
            continue
        if known.count(values[anchor]) > 1:
            assert partner != anchor
        if len(known) > 1:
            assert values[partner] >= 0


@CASES
@given(IDENTITIES)
def test_every_row_is_in_the_first_half_as_often_as_any_other(values):
    sampler = IdentityPairSampler(np.arange(len(values)), np.array(values), 4, seed=1)
    anchors, _ = epochs_of(sampler, 5)
    visits = np.bincount(anchors, minlength=len(values))
    assert visits.max() - visits.min() <= 1


@pytest.mark.parametrize(
    ("identities", "share"),
    [
        ([0, 0, 1, 1, 2, 2, 2, 3], 1 / 2),  # s = 7/8
        ([0, 0, 1, 2, 3, 4, 5, 6], 1 / 4),  # s = 1/4: all that have a mate get it
        ([0, 0, 0, 1, -1, -1, -1], 1 / 2),  # s = 3/4: unknown rows do not count
        ([0, 0, 0, 0], 1),  # nobody else to be paired with
        ([0, 1, 2, 3], 0),
    ],
)
def test_half_of_the_known_pairs_are_of_one_identity_where_that_can_be(identities, share):
    identities = np.array(identities)
    sampler = IdentityPairSampler(np.arange(len(identities)), identities, 4, seed=3)
    anchors, partners = epochs_of(sampler, 1500)
    known = identities[anchors] >= 0
    same = (identities[anchors] == identities[partners])[known]
    assert abs(same.mean() - share) <= 5 * math.sqrt(share * (1 - share) / known.sum())


def test_the_partner_of_a_row_of_unknown_identity_is_any_row():
    anchors, partners = epochs_of(IdentityPairSampler(np.arange(4), np.array([-1, -1, 0, 1]), 4, 0), 100)
    assert set(partners[anchors < 2].tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "identities",
    [[0, 0, 0, 0, 1, 1, 2, -1, -1], [0, 0, 0], [0, 1, 2, 3], [-1, -1], [5, -1, -1], [0, 0, 1, 2, 3, 4, 5]],
)
def test_rates_are_how_often_rows_come_up(identities):
    n, epochs = len(identities), 1500
    sampler = IdentityPairSampler(np.arange(n), np.array(identities), 4, seed=3)
    draws = epochs_of(sampler, epochs)
    expected = sampler.rates() * draws.shape[1] / n  # a pass over all rows gives `rates` draws
    partners = expected - draws.shape[1] / n
    # anchors are even to ±1; a sum of independent yes-or-no draws varies by no more than its mean
    assert (np.abs(np.bincount(draws.ravel(), minlength=n) - expected) <= 1 + 5 * np.sqrt(partners)).all()


@pytest.mark.parametrize("processes", [2, 3])
def test_the_columns_of_a_process_are_pairs_of_the_whole_batch(processes):
    identities = np.arange(60) // 3
    batches = IdentityPairSampler(np.arange(60), identities, 12, 0, processes).batches(0)
    whole = set(zip(*(half.tolist() for half in pairs_of(batches))))
    own = [
        set(zip(*(half.tolist() for half in pairs_of(batches[:, rank::processes]))))
        for rank in range(processes)
    ]
    assert set.union(*own) == whole


def test_an_epoch_is_a_function_of_seed_and_epoch():
    def epoch(seed, number):
        return IdentityPairSampler(np.arange(40), np.arange(40) // 4, 8, seed).batches(number)

    assert np.array_equal(epoch(1, 4), epoch(1, 4))
    for other in (epoch(1, 5), epoch(2, 4)):
        assert not np.array_equal(epoch(1, 4)[:, :4], other[:, :4])
        assert not np.array_equal(epoch(1, 4)[:, 4:], other[:, 4:])


def test_one_image_is_paired_with_itself():
    for identity in (-1, 0):
        assert IdentityPairSampler(np.array([7]), np.array([identity]), 8, 0).batches(0).tolist() == [[7, 7]]


def test_identities_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="identities: expected those of the 3 rows, got 4"):
        IdentityPairSampler(np.arange(3), np.arange(4), 2, seed=0)
