import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.histogram import histogram
from longtail.rectification.comparison import soft_histogram

from .cases import Batch, make, on_random_batches, repeatable, seeds, unit_columns


def shares(values: list[float], nodes: int) -> list[float]:
    """The triangular kernel at every node over [-1, 1], straight from its definition."""
    step = 2 / (nodes - 1)
    grid = [-1 + r * step for r in range(nodes)]
    inside = [min(max(v, -1.0), 1.0) for v in values]
    return [sum(max(0.0, 1 - abs(v - t) / step) for v in inside) / max(len(values), 1) for t in grid]


def twin(batch: Batch, nodes: int) -> float:
    """Every pair i < j on two histograms; Σ_r h⁻_r Σ_{q ≤ r} h⁺_q."""
    total = 0.0
    for vectors, classes in unit_columns(batch):
        positive, negative = [], []
        for i in range(len(vectors)):
            for j in range(i + 1, len(vectors)):
                s = sum(x * y for x, y in zip(vectors[i], vectors[j]))
                (positive if classes[i] == classes[j] else negative).append(s)
        h_pos, h_neg = shares(positive, nodes), shares(negative, nodes)
        total += sum(h_neg[r] * h_pos[q] for r in range(nodes) for q in range(r + 1))
    return total


@pytest.mark.parametrize("nodes", [2, 11, 50])
def test_it_is_the_sum_over_attributes_of_the_chance_that_a_negative_is_more_similar(nodes: int):
    def check(batch: Batch) -> float:
        loss = float(histogram(*batch, nodes=nodes))
        assert loss == pytest.approx(twin(batch, nodes), abs=1e-9)
        return loss

    on_random_batches(check)


def test_the_default_grid_has_a_spacing_of_a_hundredth():
    # the positive at 0.3 and the negative at 0.296 share the spacing from 0.29 to 0.30
    cosines = torch.tensor([1.0, 0.3, 0.296], dtype=torch.float64)
    features = torch.stack([cosines, torch.sqrt(1 - cosines**2)], 1)[:, None]
    batch = Batch(features, torch.tensor([[0], [0], [1]]))
    assert float(histogram(*batch)) == pytest.approx(twin(batch, 201), abs=1e-9)
    assert all(abs(twin(batch, 201) - twin(batch, nodes)) > 1e-3 for nodes in (101, 200, 202))


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


@repeatable
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


@pytest.mark.parametrize("nodes", [3, 21, 201])
def test_a_completely_inverted_order_costs_one_and_is_flat(nodes: int):
    # class-mates opposite to each other, the other class at right angles to both
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    loss = histogram(features, torch.tensor([0, 0, 1]), nodes)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.0)
    assert features.grad is not None
    assert not features.grad.any()


def test_duplicate_images_stay_on_the_grid():
    features = torch.full((6, 1, 7), 0.3)
    for nodes in (2, 21, 50, 201):
        loss = histogram(features, torch.tensor([0, 0, 0, 1, 1, 1]), nodes)
        assert float(loss) == pytest.approx(1.0)


def test_features_that_are_not_numbers_show_in_the_loss_instead_of_a_wild_index():
    features = torch.tensor([[1.0, 0.0], [float("nan"), 0.0], [0.0, 1.0]])
    assert histogram(features, torch.tensor([0, 0, 1])).isnan()


@pytest.mark.parametrize("nodes", [-1, 0, 1])
def test_fewer_than_two_nodes_are_refused(nodes: int):
    with pytest.raises(ValueError, match="nodes: expected at least 2"):
        histogram(torch.ones(2, 2), torch.tensor([0, 1]), nodes)


@pytest.mark.parametrize("shared", [False, True])
def test_gradient(shared: bool):
    features, labels = make(8, 2, 2, shared, 3)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: histogram(x, labels, 11), features)
    (grad,) = torch.autograd.grad(histogram(features, labels, 11), features)
    assert grad.abs().max() > 0.01
