import math

import pytest
import torch

from longtail.losses.triplet import triplet

from .cases import Batch, make, mean, on_random_batches, unit_columns


def twin(batch: Batch, margin: float) -> float:
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
        assert loss == pytest.approx(twin(batch, margin), abs=1e-12)
        return loss

    on_random_batches(check)


def test_the_default_margin_is_that_of_facenet():
    batch = make(9, 2, 2, False, 1)
    assert float(triplet(*batch)) == pytest.approx(twin(batch, 0.2), abs=1e-12) != twin(batch, 0.0)


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
def test_gradient(shared: bool):
    features, labels = make(7, 2, 2, shared, 3)
    assert torch.autograd.gradcheck(lambda x: triplet(x, labels, 1.0), features.requires_grad_())
