import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from longtail.decisions.logits import prior_scores, tau_normalised
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("kind", ("a", "b")), Attribute("size", ("s", "m", "l"))))


def scores_by_loops(logits, shares):
    """p_k / r_k of one image and attribute, normalised."""
    weights = [math.exp(z) for z in logits]
    p = [w / sum(weights) for w in weights]
    adjusted = [pk / rk if rk > 0 else 0.0 for pk, rk in zip(p, shares)] if any(shares) else p
    return [a / sum(adjusted) for a in adjusted]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**20), st.integers(1, 5), st.integers(1, 3), st.integers(2, 5))
def test_the_scores_are_probabilities_over_shares(seed, n, attributes, classes):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, attributes, classes, generator=generator, dtype=torch.float64)
    logits[:, 0, -1] = -torch.inf
    shares = torch.rand(attributes, classes, generator=generator, dtype=torch.float64)
    shares[:, 1] *= shares[:, 1] > 0.5  # a class that was not trained
    shares[0, -1] = 0
    scores = prior_scores(logits, shares)
    for i in range(n):
        for j in range(attributes):
            expected = scores_by_loops(logits[i, j].tolist(), shares[j].tolist())
            assert_close(scores[i, j].tolist(), expected)


def test_equal_shares_leave_the_probabilities_as_they_are():
    logits = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0))
    assert_close(prior_scores(logits, torch.full((3, 4), 0.25)), logits.softmax(2))


def test_with_two_classes_the_threshold_is_the_share():
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    logits = torch.stack([(1 - p).log(), p.log()], 1)[:, None]
    decided = prior_scores(logits, torch.tensor([[0.895, 0.105]])).argmax(2)[:, 0]
    assert torch.equal(decided, (p > 0.105).long())


def test_classes_that_were_not_trained_or_do_not_exist_get_nothing():
    logits = torch.tensor([[[0.0, 50.0, -torch.inf, 0.0]]])
    shares = torch.tensor([[0.5, 0.0, 0.0, 0.5]])
    assert prior_scores(logits, shares).tolist() == [[[0.5, 0, 0, 0.5]]]


def test_an_attribute_that_was_not_trained_keeps_its_probabilities():
    logits = torch.tensor([[[1.0, 2.0, -torch.inf]]])
    assert_close(prior_scores(logits, torch.zeros(1, 3)), logits.softmax(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_logits_and_shares_stay_finite(dtype):
    logits = torch.tensor([[[6e4, -6e4]], [[-6e4, 6e4]]], dtype=dtype)
    scores = prior_scores(logits, torch.tensor([[1e-30, 1.0]], dtype=torch.float64))
    assert scores.dtype == torch.float32
    assert scores.tolist() == [[[1, 0]], [[0, 1]]]


def test_large_logits_of_half_type_are_adjusted_in_full_precision():
    scores = prior_scores(torch.tensor([[[300.0, 300.0]]], dtype=torch.bfloat16), torch.tensor([[0.6, 0.4]]))
    assert_close(scores, torch.tensor([[[0.4, 0.6]]]))


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 999), st.floats(0, 1))
def test_the_class_vectors_are_divided_by_a_power_of_their_length(seed, tau):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    f = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    b = torch.randn(1, 3, generator=generator, dtype=torch.float64)
    z = (f @ w.T + b)[:, None]
    found = tau_normalised(z, b, w.norm(dim=1)[None], torch.tensor(tau, dtype=torch.float64))
    for i in range(4):
        for k in range(3):
            length = math.sqrt(sum(x * x for x in w[k].tolist()))
            expected = sum(x * y for x, y in zip(w[k].tolist(), f[i].tolist())) / length**tau
            assert found[i, 0, k].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_classes_that_an_attribute_lacks_stay_out():
    z = torch.tensor([[[1.0, -math.inf]]])
    assert tau_normalised(z, torch.zeros(1, 2), torch.ones(1, 2), torch.tensor(1.0))[0, 0, 1] == -math.inf


def test_a_class_vector_without_length_has_a_logit_of_nought():
    norms, one = torch.tensor([[0.0, 1.0]]), torch.tensor(1.0)
    assert tau_normalised(torch.zeros(1, 1, 2), torch.zeros(1, 2), norms, one).tolist() == [[[0, 0]]]
