import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.verification import best_margin, verification

from .cases import mean, repeatable, seeds


def pairs(count: int, seed: int, width: int = 3):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, width, generator=generator, dtype=torch.float64)
    same, valid = torch.rand(2, count, generator=generator) < torch.tensor([[0.5], [0.8]])
    return first, second, same, valid


def verification_twin(first, second, same, valid, margin: float) -> float:
    terms = []
    for a, b, s, v in zip(first.tolist(), second.tolist(), same.tolist(), valid.tolist()):
        d = math.dist(a, b)
        if v and s:
            terms.append(0.5 * d * d)
        elif v:
            terms.append(0.5 * max(0.0, margin - d) ** 2)
    return mean(terms)


@repeatable
@given(st.integers(0, 12), seeds, st.sampled_from([0.5, 2.0, 5.0]))
def test_verification_is_the_mean_over_the_valid_pairs(count: int, seed: int, margin: float):
    case = pairs(count, seed)
    loss = verification(*case, torch.tensor(margin))
    assert float(loss) == pytest.approx(verification_twin(*case, margin), abs=1e-12)


@pytest.mark.parametrize("same", [True, False])
def test_half_a_unit_costs_an_eighth_on_either_side(same: bool):
    first, second = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.5]])  # lengths do not matter
    loss = verification(first, second, torch.tensor([same]), torch.tensor([True]), torch.tensor(1.0))
    assert float(loss) == pytest.approx(0.125)


@pytest.mark.parametrize("same", [True, False])
def test_coinciding_vectors_have_no_gradient(same: bool):
    first = torch.ones(1, 4, requires_grad=True)
    second = torch.ones(1, 4, requires_grad=True)
    loss = verification(first, second, torch.tensor([same]), torch.tensor([True]), torch.tensor(3.0))
    loss.backward()
    assert loss.item() == (0.0 if same else 4.5)
    assert first.grad is not None
    assert not first.grad.any()


def test_without_valid_pairs_verification_is_zero_and_connected():
    first, second, same, _ = pairs(5, 0)
    first.requires_grad_()
    loss = verification(first, second, same, torch.zeros(5, dtype=torch.bool), torch.tensor(1.0))
    loss.backward()
    assert loss.item() == 0
    assert first.grad is not None
    assert not first.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_difference_of_half_precision_vectors_is_not_rounded(dtype: torch.dtype):
    first, second = torch.tensor([[1.0078125]], dtype=dtype), torch.tensor([[-256.0]], dtype=dtype)
    yes = torch.tensor([True])
    loss = verification(first, second, yes, yes, torch.tensor(1.0))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(0.5 * 257.0078125**2, rel=1e-6)


def test_gradient_of_verification():
    first, second, same, valid = pairs(8, 2)
    margin = torch.tensor(4.0, dtype=torch.float64)
    inputs = (first.requires_grad_(), second.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: verification(a, b, same, valid, margin), inputs)


def margin_twin(distances: list[float], same: list[bool], valid: list[bool]) -> float:
    """Tries every midpoint and the largest distance, counting the errors anew each time."""
    together = sorted(d for d, s, v in zip(distances, same, valid) if v and s)
    apart = sorted(d for d, s, v in zip(distances, same, valid) if v and not s)
    ordered = sorted(together + apart)
    if not together or not apart:
        return ordered[-1] if ordered else 0.0
    best, lowest = 0.0, math.inf
    for cut in [(a + b) / 2 for a, b in pairwise(ordered)] + [ordered[-1]]:
        missed = sum(d > cut for d in together) * len(apart)
        error = missed + sum(d <= cut for d in apart) * len(together)
        if error < lowest:
            best, lowest = cut, error
    return best


@repeatable
@given(st.integers(1, 12), seeds, st.booleans(), st.sampled_from([0.1, 0.5, 0.9]))
def test_the_best_margin_is_the_best_of_all_midpoints(count: int, seed: int, ties: bool, share: float):
    generator = torch.Generator().manual_seed(seed)
    distances = torch.rand(count, generator=generator, dtype=torch.float64) * 4
    distances = distances.round() if ties else distances
    same, valid = torch.rand(2, count, generator=generator) < torch.tensor([[share], [0.8]])
    expected = margin_twin(distances.tolist(), same.tolist(), valid.tolist())
    assert float(best_margin(distances, same, valid)) == expected


def every(same: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(same), torch.ones(len(same), dtype=torch.bool)


def test_separable_distances_are_cut_in_the_middle_of_the_gap():
    distances = torch.tensor([3.0, 0.25, 2.0, 0.5, 9.0])
    assert float(best_margin(distances, *every([False, True, False, True, False]))) == 1.25


def test_few_same_pairs_do_not_collapse_the_margin():
    # 1 same pair among 200: the plain number of errors is smallest below all distances
    generator = torch.Generator().manual_seed(0)
    different = 0.9 + torch.rand(199, generator=generator)
    distances = torch.cat([torch.tensor([1.0]), different])
    margin = best_margin(distances, *every([True] + [False] * 199))
    assert float(margin) > 1.0


def test_what_an_invalid_pair_holds_does_not_matter():
    distances, (same, _) = torch.tensor([1.0, 2.0, 4.0, 0.0]), every([True, True, False, False])
    valid = torch.tensor([True, True, True, False])
    for content in (0.0, 3.0, 100.0, math.inf):
        distances[3] = content
        assert float(best_margin(distances, same, valid)) == 3.0


@pytest.mark.parametrize(("same", "valid"), [(True, True), (False, True), (True, False), (False, False)])
def test_with_one_kind_of_pair_the_margin_is_the_largest_distance_and_without_any_zero(same, valid):
    distances = torch.tensor([1.0, 3.0, 2.0])
    margin = best_margin(distances, torch.full((3,), same), torch.full((3,), valid))
    assert float(margin) == (3.0 if valid else 0.0)


def test_the_margin_carries_no_gradient():
    distances = torch.tensor([1.0, 3.0], requires_grad=True)
    assert not best_margin(distances, *every([True, False])).requires_grad
