import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.tensors import full_precision, hinge_sums, log_miss, masked_mean, soft_histogram

seeds = st.integers(0, 2**32 - 1)


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single(dtype: torch.dtype):
    assert full_precision(torch.ones(2, dtype=dtype)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_precision_stays_the_same_tensor(dtype: torch.dtype):
    values = torch.ones(2, dtype=dtype)
    assert full_precision(values) is values


def test_a_mean_counts_only_what_the_mask_holds():
    values = torch.tensor([[1.0, 3.0, 100.0], [5.0, 100.0, 100.0]])
    mask = values < 100
    assert masked_mean(values, mask).item() == 3
    assert masked_mean(values, mask, 1).tolist() == [2, 5]


def test_a_mean_of_nothing_is_0_and_has_a_gradient():
    values = torch.ones(3, requires_grad=True)
    loss = masked_mean(values, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(values.grad, torch.zeros(3))


def on_grid(values: torch.Tensor, nodes: int, low: float = -1.0, high: float = 1.0) -> torch.Tensor:
    low_node, high_node = (torch.tensor(v, dtype=values.dtype) for v in (low, high))
    return soft_histogram(values, torch.ones_like(values, dtype=torch.bool), low_node, high_node, nodes)


EDGES = [-1 - 1e-6, -1.0, -1 + 1e-7, -0.5, 0.0, 0.3, 0.5, 1 - 1e-7, 1.0, 1 + 1e-6, 7.0, -7.0]


@pytest.mark.parametrize("nodes", [2, 3, 11, 50, 51, 100, 101, 150, 200, 201])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_value_has_mass_one_and_none_of_it_negative(nodes: int, dtype: torch.dtype):
    table = on_grid(torch.tensor(EDGES, dtype=dtype)[:, None], nodes)  # a histogram a value
    torch.testing.assert_close(table.sum(1), torch.ones(len(EDGES), dtype=dtype))
    assert table.min() > -1e-4  # rounding at the last node
    torch.testing.assert_close(table[1], torch.eye(nodes, dtype=dtype)[0])
    torch.testing.assert_close(table[8], torch.eye(nodes, dtype=dtype)[-1], atol=1e-4, rtol=0)


def test_a_value_on_a_node_counts_once():
    nodes = torch.linspace(-1, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(on_grid(nodes[:, None], 5), torch.eye(5, dtype=torch.float64))


def test_histograms_of_a_table_are_those_of_its_rows():
    values = torch.rand(2, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = values > 0.3
    zero = values.new_zeros(())
    table = soft_histogram(values, mask, zero, zero + 1, 7)
    for i in range(2):
        for j in range(3):
            expected = on_grid(values[i, j][mask[i, j]], 7, 0.0, 1.0)
            torch.testing.assert_close(table[i, j], expected)


@given(seeds, st.integers(2, 40))
def test_similarities_and_distances_agree_when_the_nodes_are_mapped(seed: int, nodes: int):
    generator = torch.Generator().manual_seed(seed)
    s_pos, s_neg = (torch.rand(6, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2))
    on_similarities = (on_grid(s_neg, nodes) * on_grid(s_pos, nodes).cumsum(0)).sum()
    d_pos, d_neg = (on_grid(1 - s, nodes, 0.0, 2.0) for s in (s_pos, s_neg))
    torch.testing.assert_close(on_similarities, (d_pos * d_neg.cumsum(0)).sum())


@pytest.mark.parametrize(("nodes", "expected"), [(11, 0.547), (201, 0.5025)])
def test_equal_histograms_cost_a_little_more_than_a_half(nodes: int, expected: float):
    # similarities spread evenly over [-1, 1], the same for both kinds: ½ + ½ Σ h²
    h = on_grid(torch.linspace(-1, 1, 100_001, dtype=torch.float64), nodes)
    assert float((h * h.cumsum(0)).sum()) == pytest.approx(float(0.5 + 0.5 * h.square().sum()))
    assert float((h * h.cumsum(0)).sum()) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("scale", [1.0, 50.0, 1e4])
def test_the_log_of_a_miss_is_the_others_against_all_with_a_finite_gradient(scale: float):
    z = (scale * seeded(6, 4, seed=3)).float().requires_grad_()
    exact = z.detach().double().requires_grad_()
    others = torch.stack([exact[:, [i for i in range(4) if i != k]].logsumexp(1) for k in range(4)], 1)
    expected = others - exact.logsumexp(1, keepdim=True)
    torch.testing.assert_close(log_miss(z).double(), expected, rtol=1e-6, atol=1e-6)
    weights = seeded(6, 4, seed=4)
    (slope,) = torch.autograd.grad((log_miss(z) * weights.float()).sum(), z)
    (right,) = torch.autograd.grad((expected * weights).sum(), exact)
    torch.testing.assert_close(slope.double(), right, rtol=1e-5, atol=1e-6)


@given(seeds, st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.0, 0.3, 1.0]))
def test_sums_of_hinges_are_those_of_all_triplets(seed: int, positives: int, negatives: int, margin: float):
    attributes, anchors = 2, 3
    positive = seeded(attributes, anchors, positives, seed=seed).requires_grad_()
    negative = seeded(attributes, anchors, negatives, seed=seed + 1).sort(2).values.requires_grad_()
    positive_mask = seeded(attributes, anchors, positives, seed=seed + 2) < 0.7
    negative_mask = (seeded(attributes, anchors, negatives, seed=seed + 3) < 0.7).sort(2, True).values
    margins = torch.tensor([margin, margin + 0.1], dtype=torch.float64)
    sums, active = hinge_sums(positive, negative, positive_mask, negative_mask, margins)
    expected, costly = torch.zeros_like(sums), torch.zeros_like(active)
    for j, a, p, q in itertools.product(*map(range, (attributes, anchors, positives, negatives))):
        hinge = (margins[j] + positive[j, a, p] - negative[j, a, q]).clamp(min=0)
        counts = positive_mask[j, a, p] & negative_mask[j, a, q]
        expected[j, a] = expected[j, a] + hinge * counts
        costly[j, a] += counts & (hinge > 0)
    torch.testing.assert_close(sums, expected)
    assert torch.equal(active, costly)
    if expected.requires_grad:
        leaves = (positive, negative)
        slopes, others = torch.autograd.grad(sums.sum(), leaves), torch.autograd.grad(expected.sum(), leaves)
        torch.testing.assert_close(slopes, others)
