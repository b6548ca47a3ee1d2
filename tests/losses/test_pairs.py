import math

import pytest
import torch

from longtail.losses.pairs import contrastive, histogram, triplet

from .cases import Batch, make, mean, on_random_batches, unit_columns


def triplet_twin(batch: Batch, margin: float) -> float:
    """Every anchor with every positive and every negative, one triplet after the other."""
    total = 0.0
    for vectors, classes in unit_columns(batch):
        hinges = []
        images = range(len(vectors))
        for a in images:
            for p in images:
                for n in images:
                    if p != a and classes[p] == classes[a] and classes[n] != classes[a]:
                        d_pos, d_neg = (math.dist(vectors[a], vectors[b]) ** 2 for b in (p, n))
                        hinges.append(max(0.0, margin + d_pos - d_neg))
        total += mean(hinges)
    return total


@pytest.mark.parametrize("margin", [0.2, 1.5])
def test_it_is_the_sum_over_attributes_of_the_mean_over_all_triplets(margin: float):
    def check(batch: Batch) -> float:
        loss = float(triplet(*batch, margin=margin))
        assert loss == pytest.approx(triplet_twin(batch, margin), abs=1e-12)
        return loss

    on_random_batches(check)


def test_the_default_margin_is_that_of_facenet():
    batch = make(9, 2, 2, False, 1)
    expected = triplet_twin(batch, 0.2)
    assert float(triplet(*batch)) == pytest.approx(expected, abs=1e-12) != triplet_twin(batch, 0.0)


def test_squared_distances_on_the_circle_give_the_number_worked_out_by_hand():
    # at 0 and 90 degrees class 0, at 180 degrees class 1: d+ = 2; d- = 4 and 2; margin 0.5
    features = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    loss = triplet(features, torch.tensor([0, 0, 1]), margin=0.5)
    assert float(loss) == pytest.approx((0 + 0.5) / 2)  # the satisfied triplet counts


def test_classes_apart_by_more_than_the_margin_cost_nothing():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]], requires_grad=True)
    loss = triplet(features, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == 0
    assert features.grad is not None
    assert not features.grad.any()


@pytest.mark.parametrize("shared", [False, True])
def test_triplet_has_the_gradient_of_its_value(shared: bool):
    features, labels = make(7, 2, 2, shared, 3)
    assert torch.autograd.gradcheck(lambda x: triplet(x, labels, 1.0), features.requires_grad_())


def contrastive_twin(batch: Batch, margin: float) -> float:
    """Every pair i < j; the two sides have a mean each."""
    total = 0.0
    for vectors, classes in unit_columns(batch):
        near, far = [], []
        for i in range(len(vectors)):
            for j in range(i + 1, len(vectors)):
                d = math.dist(vectors[i], vectors[j])
                if classes[i] == classes[j]:
                    near.append(d**2)
                else:
                    far.append(max(margin - d, 0.0) ** 2)
        total += 0.5 * (mean(near) + mean(far))
    return total


@pytest.mark.parametrize("margin", [1.0, 1.9])
def test_it_is_the_sum_over_attributes_of_half_the_mean_pull_and_half_the_mean_push(margin: float):
    def check(batch: Batch) -> float:
        loss = float(contrastive(*batch, margin=margin))
        assert loss == pytest.approx(contrastive_twin(batch, margin), abs=1e-12)
        return loss

    on_random_batches(check)


def half_a_unit_apart() -> torch.Tensor:
    return torch.tensor([[1.0, 0.0], [0.875, math.sqrt(1 - 0.875**2)]], dtype=torch.float64)


@pytest.mark.parametrize("labels", [[0, 0], [0, 1]])
def test_half_a_unit_costs_an_eighth_on_either_side(labels: list[int]):
    loss = contrastive(half_a_unit_apart(), torch.tensor(labels))
    assert float(loss) == pytest.approx(0.125)  # m - d² in place of (m - d)² would make it 0.375


def test_many_negatives_do_not_drown_the_positives():
    angles = torch.tensor([0.0, 0.5, 3.0, 3.0, 3.0, 3.0, 3.0], dtype=torch.float64)
    features = torch.stack([angles.cos(), angles.sin()], 1)
    loss = contrastive(features, torch.tensor([0, 0, 1, 2, 3, 4, 5]), margin=1e-9)
    assert float(loss) == pytest.approx(0.5 * (2 * math.sin(0.25)) ** 2)


@pytest.mark.parametrize("labels", [[0, 1], [0, 0]])
@pytest.mark.parametrize("vector", [[1.0, 0.0], [0.3, 0.7]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coinciding_vectors_have_a_finite_gradient(labels: list[int], vector: list[float], dtype):
    features = torch.tensor([vector, vector], dtype=dtype, requires_grad=True)
    loss = contrastive(features, torch.tensor(labels))
    loss.backward()
    assert loss.item() == pytest.approx(0.5 if labels == [0, 1] else 0.0, abs=1e-3)
    assert features.grad is not None
    assert features.grad.abs().max() < 2  # never more than the push m of a pair that is nearly there


def test_nothing_pushes_two_images_at_exactly_the_same_point():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = contrastive(features, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0.5
    assert features.grad is not None
    assert not features.grad.any()


@pytest.mark.parametrize("shared", [False, True])
def test_contrastive_has_the_gradient_of_its_value(shared: bool):
    features, labels = make(7, 2, 2, shared, 3)
    assert torch.autograd.gradcheck(lambda x: contrastive(x, labels, 1.5), features.requires_grad_())


def shares(values: list[float], nodes: int) -> list[float]:
    """The triangular kernel at every node over [-1, 1], straight from its definition."""
    step = 2 / (nodes - 1)
    grid = [-1 + r * step for r in range(nodes)]
    inside = [min(max(v, -1.0), 1.0) for v in values]
    return [sum(max(0.0, 1 - abs(v - t) / step) for v in inside) / max(len(values), 1) for t in grid]


def histogram_twin(batch: Batch, nodes: int) -> float:
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
        assert loss == pytest.approx(histogram_twin(batch, nodes), abs=1e-9)
        return loss

    on_random_batches(check)


def test_the_default_grid_has_a_spacing_of_a_hundredth():
    # the positive at 0.3 and the negative at 0.296 share the spacing from 0.29 to 0.30
    cosines = torch.tensor([1.0, 0.3, 0.296], dtype=torch.float64)
    features = torch.stack([cosines, torch.sqrt(1 - cosines**2)], 1)[:, None]
    batch = Batch(features, torch.tensor([[0], [0], [1]]))
    expected = histogram_twin(batch, 201)
    assert float(histogram(*batch)) == pytest.approx(expected, abs=1e-9)
    assert all(abs(expected - histogram_twin(batch, nodes)) > 1e-3 for nodes in (101, 200, 202))


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
def test_histogram_has_the_gradient_of_its_value(shared: bool):
    features, labels = make(8, 2, 2, shared, 3)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: histogram(x, labels, 11), features)
    (grad,) = torch.autograd.grad(histogram(features, labels, 11), features)
    assert grad.abs().max() > 0.01
