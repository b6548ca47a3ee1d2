"""The log-odds comparison: exact at the ends of the scale, and with a slope where probabilities have none."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longtail import ClassRectificationLoss
from longtail.rectification.log_odds import log_odds

from . import twin
from .cases import Batch, busy_batch, make, shapes
from .test_against_twin import compare, repeatable
from .test_choices import chosen

LABELS = torch.tensor([1, 1, 0, 0, 0])
"""Class 1 is the minority."""


def of_two_classes(odds: list[float], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor([[0.0, z] for z in odds], dtype=dtype).requires_grad_()


def loss_of(logits: Tensor, **how) -> Tensor:
    return ClassRectificationLoss(comparison="log-odds", **how)(logits, LABELS)


def test_two_classes_give_the_pairwise_logistic_loss_of_the_hardest():
    # positives 2, -1; of the negatives 0, 3, -4 the two hardest are 3 and 0
    value = loss_of(of_two_classes([2, -1, 0, 3, -4]), kappa=2, margin=0.5)
    by_hand = [math.log1p(math.exp(0.5 - gap)) for gap in (2 - 3, 2 - 0, -1 - 3, -1 - 0)]
    assert value.item() == pytest.approx(sum(by_hand) / 4)


def test_a_class_counts_alike_however_few_pairs_it_has():
    labels = torch.tensor([[1, 0]] * 2 + [[0, 1]] * 3 + [[0, 0]] * 4)
    logits = torch.zeros(9, 2, 2, dtype=torch.float64)
    logits[:2, 0, 1], logits[2:5, 1, 1] = 3.0, -2.0  # 2 · 7 pairs of gap 3, 3 · 6 of gap -2
    value = ClassRectificationLoss(comparison="log-odds", margin=0.5)(logits, labels)
    assert value.item() == pytest.approx((math.log1p(math.exp(-2.5)) + math.log1p(math.exp(2.5))) / 2)


def test_the_margin_is_1_unless_given():
    logits = of_two_classes([2, -1, 0, 3, -4])
    assert loss_of(logits).item() == loss_of(logits, margin=1.0).item() != loss_of(logits, margin=0.5).item()


@settings(repeatable, max_examples=12)
@given(shapes(), st.sampled_from([1, 3, 25]), st.sampled_from([1e2, 1e4]))
def test_far_logits_agree_with_the_twin(shape, kappa: int, scale: float):
    batch = make(shape)
    far = Batch((batch.logits.detach() * scale).requires_grad_(), *batch[1:])
    compare(far, "class", "log-odds", kappa=kappa)


@pytest.mark.parametrize("distance", [0.0, 20.0, 120.0, 1e4])
def test_a_positive_given_no_chance_is_still_pulled_up(distance: float):
    logits = of_two_classes([-distance] * 2 + [distance] * 3, torch.float32)
    (slope,) = torch.autograd.grad(loss_of(logits), logits)
    wrong = 1 / (1 + math.exp(-1 - 2 * min(distance, 300)))  # the slope of each of the 6 pairs
    assert slope[:, 1].tolist() == pytest.approx([-wrong / 2] * 2 + [wrong / 3] * 3)
    if distance > 100:  # the probability is 0, and so is its slope
        hinged = ClassRectificationLoss(level="class")(logits, LABELS)
        assert hinged.item() > 0
        assert torch.autograd.grad(hinged, logits)[0].abs().max() == 0


def test_log_odds_are_the_same_whatever_is_added_to_all_logits():
    z = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(log_odds(z + 7), log_odds(z))
    two = log_odds(z[..., :2])
    torch.testing.assert_close(two[..., 0], z[..., 0] - z[..., 1])


def test_log_odds_of_scores_that_are_equal_or_far_apart_are_exact_in_single_precision():
    z = torch.tensor([[0.0, 0, 0], [1e4, -1e4, 0], [-1e4, 90.0, -math.inf]])
    expected = [[-math.log(2)] * 3, [1e4, -2e4, -1e4], [-10090.0, 10090.0, -math.inf]]
    torch.testing.assert_close(log_odds(z), torch.tensor(expected))


def test_classes_that_an_attribute_lacks_change_nothing():
    batch = busy_batch()
    padded = torch.nn.functional.pad(batch.logits, (0, 3), value=-math.inf)
    crl = ClassRectificationLoss(comparison="log-odds")
    (slope,), (other,) = (
        twin.gradients(value, batch.logits) for value in (crl(*batch), crl(padded, *batch[1:]))
    )
    assert crl(padded, *batch[1:]).item() == pytest.approx(crl(*batch).item())
    torch.testing.assert_close(other, slope)


@pytest.mark.parametrize("kappa", [1, 2, 25])
def test_each_hard_image_of_a_class_is_counted_once(kappa: int):
    batch = busy_batch()
    expected = torch.zeros(2, len(batch.labels), dtype=torch.int64)
    for j, column in enumerate(batch.labels.t().tolist()):
        for c in twin.minorities(column, 0.5)[0]:
            z = {i: twin.log_odds(list(batch.logits[i, j]), c).item() for i, y in enumerate(column) if y >= 0}
            expected[0, sorted((i for i in z if column[i] == c), key=z.__getitem__)[:kappa]] += 1
            expected[1, sorted((i for i in z if column[i] != c), key=lambda i: -z[i])[:kappa]] += 1
    assert torch.equal(chosen(batch, "class", kappa, comparison="log-odds"), expected)
    assert expected.sum() > 0


def test_every_class_of_two_images_is_compared():
    labels = torch.tensor([0] * 4 + [1] * 2 + [2] * 2)  # the two classes fill the share of 4 images
    result = ClassRectificationLoss(comparison="log-odds").rectify(torch.zeros(8, 3), labels)
    assert (int(result.positive_pairs), int(result.negative_pairs)) == (2 + 2, 6 + 6)
