"""The posteriors that focal, asymmetric and margin losses learn: against loops, and where floats end."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.decisions.logits import prior_scores
from longtail.losses.asymmetric import asymmetric_ceiling, asymmetric_posterior
from longtail.losses.focal import focal_posterior
from longtail.losses.ldam import ldam_posterior

MARGINS = torch.tensor([[0.1, 0.2, 0.5], [0.3, 0.5, 0.0]])


def softmax(logits):
    weights = [math.exp(z) for z in logits]
    return [weight / sum(weights) for weight in weights]


def normalised(values):
    return [value / sum(values) for value in values]


def logits_of(seed):
    """(4, 2, 3) in float64; the second attribute has two classes."""
    logits = 2 * torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits[:, 1, 2] = -math.inf
    return logits


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 999), st.floats(0, 5))
def test_focal_posteriors_are_one_over_the_slope_of_the_loss(seed, gamma):
    logits = logits_of(seed)
    found = focal_posterior(logits, gamma).softmax(2)
    for i in range(4):
        for j, classes in enumerate((3, 2)):
            slopes = [(1 - p) ** gamma / p - gamma * (1 - p) ** (gamma - 1) * math.log(p)
                      for p in softmax(logits[i, j, :classes].tolist())]  # fmt: skip
            expected = [*normalised([1 / slope for slope in slopes]), *[0.0] * (3 - classes)]
            assert found[i, j].tolist() == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 999), st.floats(0.5, 20))
def test_margin_posteriors_are_one_over_the_slope_of_the_loss(seed, scale):
    logits = logits_of(seed) / scale
    found = ldam_posterior(logits, MARGINS, scale).softmax(2)
    for i in range(4):
        for j, classes in enumerate((3, 2)):
            p = softmax([scale * z for z in logits[i, j, :classes].tolist()])
            kept = [math.exp(-scale * m) for m in MARGINS[j].tolist()]
            weights = [pk * (1 - pk + a * pk) for pk, a in zip(p, kept)]
            expected = [*normalised(weights), *[0.0] * (3 - classes)]
            assert found[i, j].tolist() == pytest.approx(expected, rel=1e-6)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.floats(0.06, 0.99), st.floats(0, 3), st.floats(0.1, 6))
def test_asymmetric_posteriors_are_the_ratio_of_the_two_slopes(p, pos, neg):
    q = p - 0.05
    negative = q**neg / (1 - q) - neg * q ** (neg - 1) * math.log(1 - q)
    positive = (1 - p) ** pos / p - pos * (1 - p) ** (pos - 1) * math.log(p)
    logits = torch.tensor([[[1 - p, p]]], dtype=torch.float64).log()
    found = asymmetric_posterior(logits, pos, neg, 0.05).softmax(2)[0, 0, 1].item()
    assert found == pytest.approx(negative / (negative + positive), rel=1e-9)


def test_without_their_powers_and_margins_all_three_are_the_softmax():
    logits = logits_of(0)
    torch.testing.assert_close(focal_posterior(logits, 0.0).softmax(2), logits.softmax(2))
    unmoved = ldam_posterior(logits, torch.zeros(2, 3), 1.0).softmax(2)
    torch.testing.assert_close(unmoved, logits.softmax(2))
    two = logits[..., :2]
    torch.testing.assert_close(asymmetric_posterior(two, 0.0, 0.0, 0.0).softmax(2), two.softmax(2))


def test_a_negative_that_costs_nothing_is_no_positive_and_at_the_ceiling_nothing_is_surer():
    logits = torch.tensor([[[0.96, 0.04]], [[0.95, 0.05]], [[1.0, 0.0]]]).log()
    assert asymmetric_posterior(logits).softmax(2)[:, 0].tolist() == [[1, 0]] * 3
    surest = asymmetric_posterior(torch.tensor([[[-100.0, 100.0]]])).softmax(2)[0, 0, 1].item()
    assert surest == pytest.approx(asymmetric_ceiling(), abs=1e-6)
    assert asymmetric_ceiling(clip=0.0) == asymmetric_ceiling(gamma_pos=1.0) == 1


def test_where_only_the_second_class_was_trained_on_it_keeps_all_of_the_score():
    learned = asymmetric_posterior(torch.tensor([[[9.0, -9.0]]]))
    assert prior_scores(learned, torch.tensor([[0.0, 1.0]])).tolist() == [[[0, 1]]]


FORMS = {
    "focal": lambda z: focal_posterior(z, 2.0),
    "focal below 1": lambda z: focal_posterior(z, 0.5),
    "ldam": lambda z: ldam_posterior(z / 30, torch.full((1, z.shape[2]), 0.5)),
    "asymmetric": lambda z: asymmetric_posterior(z, 1.0, 4.0, 0.0),
    "asymmetric, clipped": asymmetric_posterior,
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("form", FORMS)
def test_extreme_logits_have_finite_posteriors_in_their_order(form, dtype):
    logits = torch.tensor([[[100.0, -100]], [[-100, 100]], [[6e4, -6e4]], [[-6e4, 6e4]], [[20, 0]]])
    found = FORMS[form](logits.to(dtype)).softmax(2)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert (found.argmax(2) == logits.argmax(2)).all()


@pytest.mark.parametrize("form", ["focal", "focal below 1", "ldam"])
def test_the_only_class_of_an_attribute_is_certain(form):
    assert FORMS[form](torch.tensor([[[3.0, -torch.inf]]])).softmax(2).tolist() == [[[1, 0]]]


def test_classes_far_apart_keep_their_distance():
    apart = focal_posterior(torch.tensor([[[0.0, -60.0]]]), 2.0).log_softmax(2)[0, 0, 1].item()
    assert apart == pytest.approx(-60 - 120 + math.log(3), abs=1e-3)  # p / ((1 - p)^2 (1 + γ)) of the first
