import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.focal import focal

from .cases import Scores, labelled_rows, log_probability, make_scores, make_table, mean, repeatable, scores


def twin(batch: Scores, gamma: float, weights) -> float:
    total = 0.0
    for j in range(batch.labels.shape[1]):
        costs = []
        for _, row, k in labelled_rows(batch, j):
            log_p = log_probability(row, k)
            costs.append(-float(weights[j, k]) * (1 - math.exp(log_p)) ** gamma * log_p)
        total += mean(costs)
    return total


@repeatable
@given(scores, st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]))
def test_it_is_the_weighted_cost_times_the_power_of_what_is_missing_to_certainty(batch, gamma):
    _, j, k = batch.logits.shape
    weights = make_table(j, k, 1)
    assert float(focal(*batch, gamma, weights)) == pytest.approx(twin(batch, gamma, weights), abs=1e-12)
    ones = torch.ones(j, k)
    assert float(focal(*batch, gamma)) == pytest.approx(twin(batch, gamma, ones), abs=1e-12)


def test_the_default_is_that_of_the_paper():
    batch = make_scores(9, 2, 3, 0)
    assert torch.equal(focal(*batch), focal(*batch, gamma=2.0))


def test_gamma_zero_is_cross_entropy_bit_by_bit():
    batch = make_scores(9, 3, 4, 2)
    weights = make_table(3, 4, 0)
    assert torch.equal(focal(*batch, gamma=0.0), cross_entropy(*batch))
    assert torch.equal(focal(*batch, 0.0, weights), cross_entropy(*batch, weights))


def test_what_is_nearly_right_counts_less_than_what_is_wrong():
    nearly, wrong = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    label = torch.tensor([0])
    for logits, most, least in ((nearly, 0.01, 0.0), (wrong, 1.0, 0.9)):
        ratio = float(focal(logits, label) / cross_entropy(logits, label))
        assert least < ratio < most


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("gap", [-1e4, -200.0, -90.0, 0.0, 17.0, 90.0, 200.0, 1e4])
def test_the_gradient_is_that_of_float64_however_sure_the_model_is(gamma: float, gap: float):
    gradients = []
    for dtype in (torch.float32, torch.float64):
        logits = torch.tensor([[gap, 0.0]], dtype=dtype, requires_grad=True)
        focal(logits, torch.tensor([0]), gamma).backward()
        assert logits.grad is not None
        gradients.append(logits.grad.double())
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)
    if gap <= -90:
        torch.testing.assert_close(gradients[1], torch.tensor([[-1.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("gamma", [-1.0, math.nan])
def test_gamma_must_not_be_negative(gamma: float):
    with pytest.raises(ValueError, match="gamma: expected a number of at least 0"):
        focal(torch.zeros(1, 2), torch.tensor([0]), gamma)


@pytest.mark.parametrize("gamma", [0.0, 0.7, 2.0])
def test_gradient(gamma: float):
    logits, labels = make_scores(6, 2, 3, 5, same_size=True)
    weights = make_table(2, 3, 3)
    assert torch.autograd.gradcheck(lambda x: focal(x, labels, gamma, weights), logits.requires_grad_())
