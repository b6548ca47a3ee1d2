import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.asymmetric import asymmetric
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.focal import focal

from .cases import Scores, labelled_rows, make_scores, mean, repeatable, seeds


def twin(batch: Scores, gamma_pos: float, gamma_neg: float, clip: float) -> float:
    total = 0.0
    for j in range(batch.labels.shape[1]):
        costs = []
        for _, (absent, present), label in labelled_rows(batch, j):
            p = math.exp(present) / (math.exp(absent) + math.exp(present))
            shifted = max(p - clip, 0.0)
            positive = (1 - p) ** gamma_pos * math.log(p)
            negative = shifted**gamma_neg * math.log(1 - shifted)
            costs.append(-(positive if label else negative))
        total += mean(costs)
    return total


@repeatable
@given(
    st.builds(make_scores, st.integers(0, 9), st.integers(1, 4), st.just(2), seeds, st.just(True)),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 4.0]),
    st.sampled_from([0.0, 0.05, 0.6]),
)
def test_positives_and_shifted_negatives_have_a_power_each(batch, gamma_pos, gamma_neg, clip):
    loss = float(asymmetric(*batch, gamma_pos, gamma_neg, clip))
    assert loss == pytest.approx(twin(batch, gamma_pos, gamma_neg, clip), abs=1e-11)


def test_the_defaults_are_those_of_the_authors_training():
    batch = make_scores(9, 2, 2, 0, same_size=True)
    assert torch.equal(asymmetric(*batch), asymmetric(*batch, 0.0, 4.0, 0.05))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_equal_powers_without_a_shift_are_the_focal_loss(gamma: float):
    batch = make_scores(20, 3, 2, 4, same_size=True)
    torch.testing.assert_close(asymmetric(*batch, gamma, gamma, 0.0), focal(*batch, gamma))


def test_without_powers_and_shift_it_is_cross_entropy():
    batch = make_scores(20, 3, 2, 4, same_size=True)
    torch.testing.assert_close(asymmetric(*batch, 0.0, 0.0, 0.0), cross_entropy(*batch))


def test_an_easy_negative_costs_nothing_and_is_left_alone():
    logits = torch.tensor([[3.0, 0.0]], requires_grad=True)  # p = 0.047
    loss = asymmetric(logits, torch.tensor([0]))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
    assert asymmetric(torch.tensor([[2.9, 0.0]]), torch.tensor([0])) > 0  # p = 0.052


@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("gap", [-1e4, -90.0, 17.0, 90.0, 1e4])
def test_the_gradient_is_that_of_float64_however_sure_the_model_is(clip, gamma, label, gap):
    gradients = []
    for dtype in (torch.float32, torch.float64):
        logits = torch.tensor([[0.0, gap]], dtype=dtype, requires_grad=True)
        asymmetric(logits, torch.tensor([label]), gamma, gamma, clip).backward()
        assert logits.grad is not None
        gradients.append(logits.grad.double())
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)
    if clip == 0 and abs(gap) >= 90 and (gap > 0) == (label == 0):  # surely wrong
        expected = torch.tensor([[-1.0, 1.0]], dtype=torch.float64) * math.copysign(1, gap)
        torch.testing.assert_close(gradients[1], expected)


def test_a_negative_that_is_surely_mistaken_pulls_less_than_one_in_doubt():
    pulls = []
    for gap in (2.0, 12.0):
        logits = torch.tensor([[0.0, gap]], requires_grad=True)
        asymmetric(logits, torch.tensor([0])).backward()
        assert logits.grad is not None
        pulls.append(float(logits.grad[0, 1]))
    assert 0 < pulls[1] < 0.01 * pulls[0]


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_an_attribute_that_lacks_the_positive_class_costs_nothing(clip: float):
    logits = torch.tensor([[[2.0, -math.inf]], [[-5.0, -math.inf]]], requires_grad=True)
    loss = asymmetric(logits, torch.tensor([[0], [-1]]), clip=clip)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("classes", [1, 3])
def test_other_than_two_classes_are_refused(classes: int):
    with pytest.raises(ValueError, match=f"expected two classes, absent and present, got {classes}"):
        asymmetric(torch.zeros(4, 2, classes), torch.zeros(4, 2, dtype=torch.int64))


@pytest.mark.parametrize("mistake", [(-1.0, 4.0, 0.05), (0.0, -1.0, 0.05), (0.0, 4.0, 1.0), (0.0, 4.0, -0.1)])
def test_parameters_out_of_range_are_refused(mistake):
    with pytest.raises(ValueError, match="gamma_pos, gamma_neg, clip: expected"):
        asymmetric(torch.zeros(1, 2), torch.tensor([0]), *mistake)


@pytest.mark.parametrize("parameters", [(0.0, 4.0, 0.05), (1.0, 2.0, 0.0), (0.5, 0.5, 0.0)])
def test_gradient(parameters):
    logits, labels = make_scores(8, 2, 2, 5, same_size=True)
    assert torch.autograd.gradcheck(lambda x: asymmetric(x, labels, *parameters), logits.requires_grad_())
