import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.class_weights import (
    effective_number_weights,
    exp_share_weights,
    inverse_frequency_weights,
)
from longtail.losses.cross_entropy import cross_entropy

from .cases import repeatable

counts_of_attributes = st.lists(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=6), min_size=1, max_size=4
)


def twin_exp(row: list[int], c: int) -> float:
    return math.exp(-row[c] / sum(row)) if c < len(row) and row[c] else 1.0


def twin_inverse(row: list[int], c: int) -> float:
    occurring = len([n for n in row if n])
    return sum(row) / (occurring * row[c]) if c < len(row) and row[c] else 1.0


@pytest.mark.parametrize(
    ("weights", "twin"), [(exp_share_weights, twin_exp), (inverse_frequency_weights, twin_inverse)]
)
def test_every_weight_is_that_of_the_formula_and_one_where_no_image_is(weights, twin):
    @repeatable
    @given(counts_of_attributes)
    def on_random_counts(counts: list[list[int]]) -> None:
        result = weights(counts)
        width = max(len(row) for row in counts)
        expected = [[twin(row, c) for c in range(width)] for row in counts]
        torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float32))

    on_random_counts()


def test_the_mean_inverse_frequency_weight_of_a_training_image_is_one():
    counts = torch.tensor([[900, 90, 10], [5, 0, 1]])
    weights = inverse_frequency_weights(counts.tolist())
    mean = (weights * counts).sum(1) / counts.sum(1)
    torch.testing.assert_close(mean, torch.ones(2))


def test_rarer_classes_weigh_more_and_the_exponential_at_most_e_times_more():
    counts = [[10**6, 1000, 1]]
    for weights in (exp_share_weights(counts), inverse_frequency_weights(counts)):
        assert all(common < rare for common, rare in pairwise(weights[0].tolist()))
    exp = exp_share_weights(counts)
    assert float(exp.max() / exp.min()) <= math.e


def test_each_class_has_the_same_part_in_the_inverse_frequency_loss():
    logits, labels = torch.zeros(8, 2), torch.tensor([0] * 6 + [1] * 2)
    loss = cross_entropy(logits, labels, inverse_frequency_weights([[6, 2]]))
    rare_only = cross_entropy(logits[6:], labels[6:], inverse_frequency_weights([[6, 2]])) * 2 / 8
    assert float(rare_only) == pytest.approx(float(loss) / 2)
    assert float(loss) == pytest.approx(math.log(2))


@repeatable
@given(counts_of_attributes, st.sampled_from([0.0, 0.5, 0.9, 0.9999, 1 - 1e-9]))
def test_effective_numbers_are_the_sum_of_ever_smaller_parts_and_the_mean_weight_of_a_class_is_one(
    counts: list[list[int]], beta: float
):
    width = max(len(row) for row in counts)
    expected = [[twin_effective(row, c, beta) for c in range(width)] for row in counts]
    weights = effective_number_weights(counts, beta)
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float32))


def twin_effective(row: list[int], c: int, beta: float) -> float:
    """E_n = (1 - β^n) / (1 - β) in exact fractions would be slow; the logarithm keeps the digits."""
    if c >= len(row) or not row[c]:
        return 1.0
    numbers = [-math.expm1(n * math.log(beta)) / (1 - beta) if beta else 1.0 for n in row if n]
    own = -math.expm1(row[c] * math.log(beta)) / (1 - beta) if beta else 1.0
    return len(numbers) / own / sum(1 / number for number in numbers)


def test_an_effective_number_is_the_sum_of_the_powers_of_beta():
    effective = [sum(0.9**i for i in range(n)) for n in (20, 5, 1)]
    mean_inverse = sum(1 / e for e in effective) / 3
    expected = torch.tensor([[1 / e / mean_inverse for e in effective]])
    torch.testing.assert_close(effective_number_weights([[20, 5, 1]], 0.9), expected)


def test_effective_numbers_go_from_equal_weights_to_the_inverse_frequency():
    counts = [[900, 90, 10], [5, 0, 1]]
    assert torch.equal(effective_number_weights(counts, 0.0), torch.ones(2, 3))
    nearly_inverse = effective_number_weights(counts, 1 - 1e-12)
    inverse = inverse_frequency_weights(counts)
    torch.testing.assert_close(nearly_inverse[0] / nearly_inverse[0, 0], inverse[0] / inverse[0, 0])
    assert torch.equal(effective_number_weights(counts), effective_number_weights(counts, 0.9999))


def test_attributes_without_images_have_effective_number_weights_of_one():
    assert torch.equal(effective_number_weights([[0, 0], [3, 3]]), torch.ones(2, 2))


@pytest.mark.parametrize("beta", [-0.1, 1.0, math.nan])
def test_beta_must_be_below_one(beta: float):
    with pytest.raises(ValueError, match="beta: expected a number from 0 to below 1"):
        effective_number_weights([[3, 1]], beta)


@pytest.mark.parametrize("weights", [exp_share_weights, inverse_frequency_weights, effective_number_weights])
def test_a_negative_count_is_refused(weights):
    with pytest.raises(ValueError, match="counts"):
        weights([[3, 1], [2, -1]])
