import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.epochs import Curriculum, Sampler, ShuffledSampler, switch_epoch, walk


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 4), st.integers(0, 99))
def test_every_image_is_seen_every_epoch_in_batches_of_one_size(n, batch_size, processes, epoch):
    rows = np.arange(1000, 1000 + n)
    batches = ShuffledSampler(rows, batch_size, seed=3, processes=processes).batches(epoch)
    assert set(batches.ravel().tolist()) == set(rows.tolist())
    assert batches.shape[1] % processes == 0
    surplus = batches.size - n
    assert surplus < batches.shape[1]


def test_an_epoch_is_a_function_of_seed_and_epoch():
    rows = np.arange(50)
    first = ShuffledSampler(rows, 8, seed=1)
    assert np.array_equal(first.batches(4), ShuffledSampler(rows, 8, seed=1).batches(4))
    assert not np.array_equal(first.batches(4), first.batches(5))
    assert not np.array_equal(first.batches(4), ShuffledSampler(rows, 8, seed=2).batches(4))


def test_the_order_does_not_depend_on_the_number_of_processes():
    rows = np.arange(64)
    alone = ShuffledSampler(rows, 16, seed=1, processes=1).batches(0)
    assert np.array_equal(alone, ShuffledSampler(rows, 16, seed=1, processes=2).batches(0))


@pytest.mark.parametrize("n", [1, 5])
def test_fewer_images_than_a_batch_make_one_batch_of_them_all(n):
    assert ShuffledSampler(np.arange(n), 128, seed=0).batches(0).shape == (1, n)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 8))
def test_a_walk_never_visits_a_number_twice_more_than_another(length, draws, epochs):
    visits = np.zeros(length, int)
    for epoch in range(epochs):
        places = walk(length, draws, seed=2, epoch=epoch)
        assert places.shape == (draws,)
        visits += np.bincount(places, minlength=length)
        assert visits.max() - visits.min() <= 1


def test_a_walk_is_shuffled_anew_in_every_pass_and_by_every_seed():
    passes = [walk(50, 50, seed=1, epoch=epoch).tolist() for epoch in range(3)]
    assert passes[0] != passes[1] != passes[2]
    assert passes[0] != walk(50, 50, seed=2, epoch=0).tolist()
    assert passes[1] == walk(50, 50, seed=1, epoch=1).tolist()


def test_a_walk_is_not_what_a_sampler_draws_with_the_same_seed_and_epoch():
    drawn = ShuffledSampler(np.arange(50), 50, seed=3).batches(4)
    assert walk(50, 50, seed=3, epoch=4).tolist() != drawn[0].tolist()


def test_nothing_to_draw_from_is_said_when_the_sampler_is_built():
    with pytest.raises(ValueError, match="at least 1 row"):
        ShuffledSampler(np.arange(0), 4, seed=0)


class Drawn(Sampler):
    """Batches drawn for attribute 1, the rarer image twice."""

    rows = np.array([3, 4])

    def batches(self, epoch):
        return np.array([[3, 4, 4], [3, 4, epoch]])

    def tasks(self, epoch):
        return np.ones((2, 3), np.int64)

    def rates(self):
        return np.array([1.0, 2.0])


@pytest.fixture
def sampler():
    return Curriculum(ShuffledSampler(np.arange(3), 3, seed=0), Drawn(), switch=2)


def test_each_epoch_is_that_of_its_sampler(sampler):
    assert [sorted(sampler.batches(e)[0].tolist()) for e in range(2)] == [[0, 1, 2]] * 2
    assert [sampler.batches(e)[1, 2] for e in (2, 5)] == [2, 5]
    assert [sampler.steps(e) for e in (1, 2)] == [1, 2]


def test_tasks_are_those_of_the_epochs_sampler(sampler):
    assert sampler.tasks(1) is None
    assert sampler.tasks(2).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_rows_and_rates_are_those_of_the_second(sampler):
    assert sampler.rows.tolist() == [3, 4]
    assert sampler.rates().tolist() == [1.0, 2.0]


def test_processes_can_deal_the_batches_of_both_where_their_number_divides_both_blocks():
    first, second = (ShuffledSampler(np.arange(60), size, seed=0) for size in (20, 8))
    assert (first.block, second.block, Curriculum(first, second, switch=1).block) == (20, 8, 4)


@pytest.mark.parametrize(
    ("share", "epochs", "switch"), [(0.5, 8, 4), (0.01, 8, 1), (0.99, 8, 7), (0.5, 1, 1)]
)
def test_both_stages_have_an_epoch_where_there_are_two(share, epochs, switch):
    assert switch_epoch(share, epochs) == switch
