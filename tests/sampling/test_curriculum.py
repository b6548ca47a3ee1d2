import numpy as np
import pytest

from longtail.sampling.curriculum import Curriculum, switch_epoch
from longtail.sampling.epochs import Sampler, ShuffledSampler


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


@pytest.mark.parametrize(
    ("share", "epochs", "switch"), [(0.5, 8, 4), (0.01, 8, 1), (0.99, 8, 7), (0.5, 1, 1)]
)
def test_both_stages_have_an_epoch_where_there_are_two(share, epochs, switch):
    assert switch_epoch(share, epochs) == switch
