import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.rectification.fast_cpu import selection
from longtail.rectification.mining import hardest as hardest_of_rows


def hardest(values, candidates, k, largest):
    """In all rows."""
    rows = torch.ones(values.shape[:-1], dtype=torch.bool)
    return hardest_of_rows(values, candidates, rows, k, largest=largest)


def by_sorting(row, candidates, k, largest):
    """The values of the k most extreme candidates, by Python's sort."""
    kept = [value for value, candidate in zip(row, candidates, strict=True) if candidate]
    return sorted(kept, reverse=largest)[:k]


VALUES = st.one_of(st.sampled_from([0.0, 1.0, 1e-45, 1e-38, 3.4e38]), st.floats(0, 4, width=32), st.just(0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(data=st.data())
def test_the_most_extreme_candidates_are_found_in_order(dtype, data):
    rows, n = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40))
    k, largest = data.draw(st.integers(1, n)), data.draw(st.booleans())
    table = data.draw(st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=rows, max_size=rows))
    mask = data.draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=rows, max_size=rows))
    found = hardest(torch.tensor(table, dtype=dtype), torch.tensor(mask), k, largest=largest)
    assert found.shape == (rows, k)
    for row, candidates, columns in zip(table, mask, found.tolist(), strict=True):
        assert len(set(columns)) == k
        expected = by_sorting(torch.tensor(row, dtype=dtype).tolist(), candidates, k, largest)
        chosen = [(torch.tensor(row[c], dtype=dtype).item(), candidates[c]) for c in columns]
        assert chosen[: len(expected)] == [(value, True) for value in expected]
        assert not any(candidate for _, candidate in chosen[len(expected) :])


@pytest.mark.parametrize("largest", [False, True])
def test_blocks_of_rows_make_no_difference(largest, monkeypatch):
    values, candidates = torch.rand(7, 11, 30), torch.rand(7, 11, 30) < 0.8
    whole = hardest(values, candidates, 9, largest=largest)
    for block in (64, 16):  # two rows, and less than one
        monkeypatch.setattr(selection, "_BLOCK", block)
        assert torch.equal(hardest(values, candidates, 9, largest=largest), whole)
    assert torch.equal(hardest(values.double(), candidates, 9, largest=largest), whole)


@pytest.mark.parametrize(("n", "k"), [(256, 25), (257, 128), (1023, 25), (1024, 128), (1300, 60)])
@pytest.mark.parametrize("largest", [False, True])
def test_of_long_rows_the_same_are_found(n, k, largest):
    values, candidates = torch.rand(5, n), torch.rand(5, n) < 0.7
    values[0] = values[0].round(decimals=1)  # many alike
    values[1], candidates[2] = values[1].sort().values, False
    found = hardest(values, candidates, k, largest=largest)
    end = -math.inf if largest else math.inf
    expected = values.masked_fill(~candidates, end).topk(k, largest=largest).values
    assert torch.equal(values.masked_fill(~candidates, end).gather(1, found), expected)
    assert all(len(set(row)) == k for row in found.tolist())


def test_a_view_is_read_as_it_is():
    values, candidates = torch.rand(4, 6, 20), torch.ones(4, 6, 20, dtype=torch.bool)
    part = hardest(values[:, :, :7], candidates[:, :, :7], 3, largest=True)
    assert torch.equal(part, values[:, :, :7].topk(3).indices)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_nothing_is_found_where_there_is_nothing(shape):
    k = min(2, shape[1])
    assert hardest(torch.rand(shape), torch.ones(shape, dtype=torch.bool), k, largest=True).shape == (
        shape[0],
        k,
    )


def test_what_is_not_a_number_points_nowhere_else():
    values = torch.full((3, 8), float("nan"))
    values[1] = -1e-7  # rounding below zero
    found = hardest(values, torch.ones(3, 8, dtype=torch.bool), 8, largest=False)
    assert found.sort(1).values.tolist() == [list(range(8))] * 3


def test_the_step_is_one_that_a_compiler_can_take_whole():
    values, candidates = torch.rand(3, 8), torch.rand(3, 8) < 0.7
    rows = torch.tensor([True, False, True])
    torch.library.opcheck(selection.hardest, (values, candidates, rows, 2, True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_that_are_not_asked_for_change_nothing_and_point_somewhere(dtype):
    values, candidates = torch.rand(4, 5, 30, dtype=dtype), torch.rand(4, 5, 30) < 0.8
    rows = torch.rand(4, 5) < 0.5
    found = hardest_of_rows(values, candidates, rows, 6, largest=True)
    assert torch.equal(found[rows], hardest(values, candidates, 6, largest=True)[rows])
    assert ((found >= 0) & (found < 30)).all()
    none = hardest_of_rows(values, candidates, torch.zeros(4, 5, dtype=torch.bool), 6, largest=True)
    assert none.shape == (4, 5, 6)
