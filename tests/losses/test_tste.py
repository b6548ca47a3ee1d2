import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.tste import tste

from .cases import mean, repeatable, seeds


def triplets(count: int, seed: int, scale: float = 1.0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(3, count, 4, generator=generator, dtype=torch.float64) * scale
    return points.unbind(), torch.rand(count, generator=generator) < 0.7


def twin(points, valid, alpha: float) -> float:
    """The probability of every triplet from the two kernels themselves."""
    beta = -(1 + alpha) / 2
    costs = []
    for a, p, n, v in zip(*(x.tolist() for x in points), valid.tolist()):
        near, far = ((1 + math.dist(a, x) ** 2 / alpha) ** beta for x in (p, n))
        if v:
            costs.append(-math.log(near / (near + far)))
    return mean(costs)


@repeatable
@given(st.integers(0, 9), seeds, st.sampled_from([0.5, 1.0, 3.0, 20.0]), st.booleans())
def test_it_is_the_mean_cost_of_the_valid_triplets(count: int, seed: int, alpha: float, masked: bool):
    points, valid = triplets(count, seed)
    counted = valid if masked else torch.ones_like(valid)
    loss = tste(*points, alpha=alpha, valid=valid if masked else None)
    assert float(loss) == pytest.approx(twin(points, counted, alpha), abs=1e-12)


def test_one_degree_of_freedom_is_the_default():
    points, valid = triplets(6, 0)
    assert float(tste(*points)) == pytest.approx(twin(points, torch.ones_like(valid), 1.0), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 100.0])
def test_equal_distances_cost_log_two(alpha: float):
    anchor, offset = torch.zeros(3, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e4, 0.0]])
    assert float(tste(anchor, offset, -offset, alpha)) == pytest.approx(math.log(2))


def test_the_wrong_order_costs_more():
    anchor, near, far = torch.zeros(1, 2), torch.ones(1, 2), torch.full((1, 2), 2.0)
    assert tste(anchor, near, far) < math.log(2) < tste(anchor, far, near)


def test_a_triplet_that_is_far_from_right_pulls_less():
    pulls = []
    for distance in (1.0, 100.0):
        positive = torch.tensor([[distance]], requires_grad=True)
        tste(torch.zeros(1, 1), positive, torch.tensor([[0.5]])).backward()
        assert positive.grad is not None
        pulls.append(positive.grad.item())
    assert 0 < pulls[1] < 0.1 * pulls[0]


@pytest.mark.parametrize("alpha", [1.0, 50.0])
def test_far_points_give_a_finite_loss_and_gradient(alpha: float):
    points = [torch.tensor([[x]], requires_grad=True) for x in (0.0, 1e15, 1e-15)]
    loss = tste(*points, alpha=alpha)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in points)


@pytest.mark.parametrize("valid", [torch.zeros(3, dtype=torch.bool), None])
def test_without_triplets_it_is_zero_and_connected(valid):
    count = 0 if valid is None else 3
    points = [torch.randn(count, 2, requires_grad=True) for _ in range(3)]
    loss = tste(*points, valid=valid)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in points)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan])
def test_degrees_of_freedom_must_be_positive(alpha: float):
    points, _ = triplets(2, 0)
    with pytest.raises(ValueError, match="alpha: expected a positive number"):
        tste(*points, alpha=alpha)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_points_are_subtracted_in_full_precision(dtype: torch.dtype):
    points = [torch.tensor([[x]], dtype=dtype) for x in (256.0, -1.0078125, 1.0)]
    loss = tste(*points)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, tste(*(p.double() for p in points)).float())


def test_gradient():
    points, valid = triplets(5, 1)
    inputs = tuple(p.requires_grad_() for p in points)
    assert torch.autograd.gradcheck(lambda a, p, n: tste(a, p, n, 2.0, valid), inputs)
