import pytest
import torch

from longtail.losses.histogram import histogram

from .cases import Batch, make, on_random_batches, unit_columns


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
