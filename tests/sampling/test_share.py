import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.sampling.epochs import ShuffledSampler
from longtail.sampling.share import ProcessBatches


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_processes_share_each_batch_in_turn(rows, size, processes, seed, epoch):
    sampler = ShuffledSampler(np.arange(rows), size, seed, processes)
    whole = ProcessBatches(sampler)
    whole.set_epoch(epoch)
    parts = [ProcessBatches(sampler, process, processes) for process in range(processes)]
    for part in parts:
        part.set_epoch(epoch)
    assert all(len(part) == len(list(part)) == len(whole) for part in parts)
    dealt = [[row for turn in zip(*own, strict=True) for row in turn] for own in zip(*parts)]
    assert dealt == list(whole)
    assert {row for batch in whole for row in batch} == set(range(rows))


def test_epochs_differ_and_come_again():
    batches = ProcessBatches(ShuffledSampler(np.arange(20), 10, 0, 2), 1, 2)
    first = list(batches)
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first


@pytest.mark.parametrize("process", [-1, 2])
def test_a_process_that_there_is_not_is_refused(process):
    with pytest.raises(ValueError, match=f"process: expected a number from 0 to 1, got {process}"):
        ProcessBatches(ShuffledSampler(np.arange(4), 2, 0, 2), process, 2)


def test_a_sampler_for_one_process_is_refused_where_its_batches_cannot_be_dealt():
    batches = ProcessBatches(ShuffledSampler(np.arange(9), 3, 0), 0, 2)
    with pytest.raises(ValueError, match="expected a sampler made for 2 processes, got batches of 3"):
        list(batches)
