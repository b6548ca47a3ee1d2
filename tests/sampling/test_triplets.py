import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longtail.sampling.triplets import CrossDomainTripletSampler

CASES = settings(deadline=None, derandomize=True, max_examples=50)
ROWS = st.lists(st.tuples(st.booleans(), st.integers(-1, 3)), min_size=1, max_size=30)


def anchors_of(rows):
    """Street rows that have a clean row with their match and one without it."""
    shop = [match for clean, match in rows if clean]
    return {
        i
        for i, (clean, match) in enumerate(rows)
        if not clean and match >= 0 and match in shop and set(shop) != {match}
    }


def sampler_of(rows, batch_size=8, seed=0, processes=1):
    clean, matches = (np.array(column) for column in zip(*rows))
    return CrossDomainTripletSampler(np.arange(len(rows)) + 100, clean, matches, batch_size, seed, processes)


def blocks_of(batches):
    return [block.ravel() - 100 for block in np.split(batches, 4, axis=1)]


STREET_AND_SHOP = [(False, i % 7) for i in range(25)] + [(True, i % 7) for i in range(14)]
UNMATCHED = [(False, -1)] * 6 + [(True, -1)] * 5


@CASES
@given(ROWS, st.integers(1, 20), st.integers(1, 3), st.integers(0, 9))
def test_the_blocks_are_triplets_and_any_row_whatever_rows_there_are(rows, batch_size, processes, epoch):
    assume(anchors_of(rows))
    sampler = sampler_of(rows, batch_size, 0, processes)
    batches = sampler.batches(epoch)
    assert batches.shape[1] == 4 * sampler.block
    assert sampler.block % processes == 0
    blocks = blocks_of(batches)
    assert set(blocks[0].tolist()) == anchors_of(rows)
    assert 0 <= len(blocks[0]) - len(anchors_of(rows)) < batches.shape[1] // 4
    for anchor, positive, negative in zip(*(block.tolist() for block in blocks[:3])):
        assert rows[positive] == (True, rows[anchor][1])
        assert rows[negative][0]
        assert rows[negative][1] != rows[anchor][1]


@CASES
@given(ROWS)
def test_without_an_anchor_it_is_refused(rows):
    assume(not anchors_of(rows))
    with pytest.raises(ValueError, match="expected a row that is not clean"):
        sampler_of(rows)


def test_the_last_block_brings_every_row_as_often_as_any_other():
    rows = STREET_AND_SHOP + UNMATCHED
    sampler, visits = sampler_of(rows, 20), np.zeros(len(rows), int)
    for epoch in range(7):
        visits += np.bincount(blocks_of(sampler.batches(epoch))[3], minlength=len(rows))
        assert visits.max() - visits.min() <= 1
    assert visits.min() > 0


@pytest.mark.parametrize(
    "rows",
    [
        STREET_AND_SHOP + UNMATCHED,
        [(False, 0)] * 5 + [(False, 1)] + [(True, 0), (True, 1), (True, 1), (True, 2), (True, -1)],
    ],
)
def test_rates_are_how_often_rows_come_up(rows):
    epochs, sampler = 400, sampler_of(rows)
    blocks = [np.stack(blocks_of(sampler.batches(epoch))) for epoch in range(epochs)]
    draws = np.concatenate(blocks, 1)
    expected = sampler.rates() * draws.size / sampler.rates().sum()
    # no draw can vary more than one of a Poisson number of draws
    assert (np.abs(np.bincount(draws.ravel(), minlength=len(rows)) - expected) < 5 * np.sqrt(expected)).all()
    assert sampler.rates().sum() == pytest.approx(4 * len(anchors_of(rows)))


@pytest.mark.parametrize("processes", [2, 3])
def test_the_columns_of_a_process_are_four_such_blocks(processes):
    batches = sampler_of(STREET_AND_SHOP, 24, 0, processes).batches(0)
    whole = list(zip(*(block.tolist() for block in blocks_of(batches))))
    own = [
        triplet
        for rank in range(processes)
        for triplet in zip(*(block.tolist() for block in blocks_of(batches[:, rank::processes])))
    ]
    assert sorted(own) == sorted(whole)


def test_an_epoch_is_a_function_of_seed_and_epoch():
    def epoch(seed, number):
        return blocks_of(sampler_of(STREET_AND_SHOP, 12, seed).batches(number))

    assert np.array_equal(epoch(1, 4), epoch(1, 4))
    for other in (epoch(1, 5), epoch(2, 4)):
        assert all(not np.array_equal(one, two) for one, two in zip(epoch(1, 4), other))


def test_columns_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="expected those of the 3 rows, got 3, 2"):
        CrossDomainTripletSampler(np.arange(3), np.zeros(3, bool), np.zeros(2, int), 4, 0)
