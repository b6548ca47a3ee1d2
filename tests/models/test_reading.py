"""What a head reads of a vector, against a twin that takes one number at a time."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.models.reading import Reading

NUMBERS = st.floats(-3, 3, allow_nan=False, width=32)


def unit(numbers):
    length = math.sqrt(sum(x * x for x in numbers))
    return [x / length if length > 1e-12 else 0.0 for x in numbers]


def twin(known, vector, looks):
    """10 [v / ‖v‖, ũ / ‖ũ‖] / √2 of one vector, with the units of `known`."""
    if not looks:
        return [10 * x for x in unit(vector)]
    units = [unit(other[-looks:]) for other in known]
    read = []
    for place, x in enumerate(unit(vector[-looks:])):
        column = [other[place] for other in units]
        mean = sum(column) / len(column)
        variance = sum((y - mean) ** 2 for y in column) / len(column)
        read.append((x - mean) / math.sqrt(variance + (mean / 64) ** 2 + 1e-6))
    return [10 / math.sqrt(2) * x for x in [*unit(vector[:-looks]), *unit(read)]]


@given(st.data(), st.integers(1, 6), st.integers(0, 3))
def test_vectors_are_read_as_the_twin_reads_them(data, images, looks):
    rows = st.lists(NUMBERS, min_size=4, max_size=4).filter(
        lambda row: min(map(abs, row)) > 0.1  # where nothing is near 0, rounding is small
    )
    known = data.draw(st.lists(rows, min_size=images, max_size=images, unique_by=tuple))
    vector = data.draw(rows)
    reading = Reading(looks).double()
    reading.fit(torch.tensor(known, dtype=torch.float64))
    found = reading(torch.tensor([vector], dtype=torch.float64))
    assert found.tolist()[0] == pytest.approx(twin(known, vector, looks), rel=1e-9, abs=1e-9)


def test_one_image_is_enough_and_what_does_not_vary_has_the_least_deviation():
    reading = Reading(2).double()
    reading.fit(torch.tensor([[1.0, 3.0, 4.0]], dtype=torch.float64))
    assert reading.mean.tolist() == pytest.approx([0.6, 0.8])
    assert reading.deviation.tolist() == pytest.approx(
        [math.hypot(0.6 / 64, 1e-3), math.hypot(0.8 / 64, 1e-3)]
    )
    same, other = reading(torch.tensor([[2.0, 3.0, 4.0], [1.0, 1.0, 0.0]], dtype=torch.float64))
    assert same.tolist() == pytest.approx([10 / math.sqrt(2), 0, 0])
    assert other.norm() == pytest.approx(10)


def test_a_vector_of_zeros_stays_finite_and_has_a_gradient():
    reading = Reading(3)
    vectors = torch.zeros(2, 5, requires_grad=True)
    reading(vectors).sum().backward()
    assert vectors.grad is not None
    assert bool(vectors.grad.isfinite().all())


def test_the_gradient_is_that_of_differences():
    reading = Reading(2).double()
    reading.fit(torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    x = torch.tensor([[1.0, -2.0, 0.5, 0.7, -0.3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reading, (x,))


def test_units_are_kept_with_the_weights_only_where_there_are_looks():
    assert sorted(Reading(2).state_dict()) == ["deviation", "mean"]
    assert not Reading().state_dict()


def test_what_half_precision_rounds_of_numbers_that_hardly_vary_is_not_read():
    random = torch.Generator().manual_seed(0)
    vectors = torch.rand(1, 500, generator=random) + 1e-5 * torch.rand(30, 500, generator=random)
    angles = 6 * torch.rand(30, 5, generator=random)
    vectors[:, 490:] = 3 * torch.cat([angles.cos(), angles.sin()], 1)  # these vary, and the length does not
    reading = Reading(490)
    reading.fit(vectors.half())
    found, kept = reading(vectors), reading(vectors.half().float())
    assert (found - kept).norm(dim=1).max() < 0.1 * 10
