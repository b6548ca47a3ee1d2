import math

import pytest
import torch

from longtail.losses.contrastive import contrastive

from .cases import Batch, make, mean, on_random_batches, unit_columns


def twin(batch: Batch, margin: float) -> float:
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
        assert loss == pytest.approx(twin(batch, margin), abs=1e-12)
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
def test_gradient(shared: bool):
    features, labels = make(7, 2, 2, shared, 3)
    assert torch.autograd.gradcheck(lambda x: contrastive(x, labels, 1.5), features.requires_grad_())
