"""What a random batch holds of each class, against plain loops over the same batches."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.diagnosing.batch_shares import BatchShares, draw_batches, shares_of, simulate_batches
from longtail.rectification import minority_classes

count_tables = st.integers(1, 6).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=1, max_size=8)
)
rhos = st.sampled_from([0.1, 0.29, 0.5, 0.9])


def slow_state(counts: list[int], rho: float) -> list[str]:
    """State of every class in one batch, class by class, as the rule is written."""
    states = ["absent" if count == 0 else "majority" for count in counts]
    used = 0
    for k in sorted(range(len(counts)), key=lambda k: (counts[k], k)):
        used += counts[k]
        if used > rho * sum(counts) + 1e-3:
            break
        if counts[k] > 0:
            states[k] = "skipped" if counts[k] == 1 else "kept"
    return states


def slow_shares(table: list[list[int]], batch_size: int, rho: float) -> BatchShares:
    states = [slow_state(counts, rho) for counts in table]

    def share(state: str) -> tuple[float, ...]:
        return tuple(sum(s[k] == state for s in states) / len(states) for k in range(len(table[0])))

    without_pair = sum("kept" not in s for s in states) / len(states)
    return BatchShares(batch_size, without_pair, *map(share, ("kept", "skipped", "majority", "absent")))


def approximately(shares: BatchShares) -> list[object]:
    fields = (shares.kept, shares.skipped, shares.majority, shares.absent)
    return [shares.batch_size, pytest.approx(shares.without_pair), *map(pytest.approx, fields)]


@given(count_tables, rhos)
def test_shares_equal_a_plain_loop_over_the_same_batches(table: list[list[int]], rho: float):
    fast, slow = shares_of(np.array(table), 7, rho), slow_shares(table, 7, rho)
    assert [fast.batch_size, fast.without_pair, fast.kept, fast.skipped, fast.majority, fast.absent] == (
        approximately(slow)
    )


def test_simulated_shares_are_those_of_a_loop_over_the_drawn_batches():
    counts = np.array([60, 5, 1, 30, 0])
    drawn = draw_batches(counts, 14, 16, batches=200, seed=3).tolist()
    simulated = simulate_batches(counts, 14, 16, rho=0.5, seed=3, batches=200)
    slow = slow_shares(drawn, 16, 0.5)
    assert simulated.kept == pytest.approx(slow.kept)
    assert simulated.skipped == pytest.approx(slow.skipped)
    assert simulated.without_pair == pytest.approx(slow.without_pair)


def test_a_batch_is_drawn_without_replacement_and_unlabelled_images_take_their_places():
    counts = np.array([3, 2])
    drawn = draw_batches(counts, 4, 8, batches=100, seed=0)
    assert (drawn <= counts).all()
    assert set(drawn.sum(1).tolist()) == {4, 5}  # of 9 images one is left out: a labelled one or not


def test_a_class_is_absent_as_often_as_combinatorics_says():
    simulated = simulate_batches(np.array([90, 10]), 0, 20, batches=4000)
    assert simulated.absent[1] == pytest.approx(comb(90, 20) / comb(100, 20), abs=0.03)
    assert simulated.skipped[1] == pytest.approx(10 * comb(90, 19) / comb(100, 20), abs=0.03)


def test_the_four_shares_of_a_class_add_up_to_one():
    shares = simulate_batches(np.array([50, 20, 3, 1, 0]), 5, 16)
    sums = np.sum([shares.kept, shares.skipped, shares.majority, shares.absent], axis=0)
    assert sums == pytest.approx(np.ones(5))


def test_a_class_with_one_image_is_never_kept():
    shares = simulate_batches(np.array([50, 20, 1]), 0, 71)
    assert (shares.kept[2], shares.skipped[2]) == (0.0, 1.0)


def test_a_batch_larger_than_the_data_is_the_data_once():
    shares = simulate_batches(np.array([5, 2]), 1, 128)
    assert shares.batch_size == 8
    assert (shares.kept, shares.majority) == ((0.0, 1.0), (1.0, 0.0))


def test_without_labels_every_batch_is_without_a_pair():
    assert simulate_batches(np.array([0, 0]), 9, 4).without_pair == 1.0


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    first, again, other = (draw_batches(np.array([50, 50]), 0, 20, batches=50, seed=s) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_share_that_binary_fractions_only_nearly_reach_is_reached():
    assert 0.29 * 100 < 29
    assert minority_classes(torch.tensor([[29, 71]]), 0.29).tolist() == [[True, False]]
