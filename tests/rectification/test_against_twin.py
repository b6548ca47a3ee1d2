"""The loss, its gradient and its statistics are those of the brute-force twin, on random batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from longtail import ClassRectificationLoss

from .cases import PRODUCTS, Batch, busy_batch, make, shapes
from .twin import Outcome, gradients, twin

TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}

repeatable = settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Settings of the loss that both comparisons and levels understand."""
    return {
        "kappa": draw(st.sampled_from([1, 2, 3, 25])),
        "rho": draw(st.sampled_from([0.5, 0.5, 0.1, 0.29, 0.7, 0.95])),
        "margin": draw(st.sampled_from([None, None, 0.05, 0.3, 2.0])),
        "power": draw(st.sampled_from([1, 2])),
        "normalize": draw(st.booleans()),
        "nodes": draw(st.sampled_from([2, 5, 21])),
    }


def as_mask(classes: list[set[int]], width: int) -> Tensor:
    mask = torch.zeros(len(classes), width, dtype=torch.bool)
    for j, members in enumerate(classes):
        mask[j, list(members)] = True
    return mask


def assert_same_statistics(result, expected: Outcome, width: int) -> None:
    assert torch.equal(result.classes_kept, as_mask(expected.kept, width))
    assert torch.equal(result.classes_skipped, as_mask(expected.skipped, width))
    assert result.anchors.tolist() == expected.anchors
    assert int(result.positive_pairs) == expected.positive_pairs
    assert int(result.negative_pairs) == expected.negative_pairs
    assert int(result.triplets) == expected.triplets
    assert not any(s.requires_grad for s in result if s is not None and s is not result.loss)


def compare(batch: Batch, level: str, comparison: str, **how) -> Outcome:
    """Asserts that loss and twin agree on one batch, and returns what the twin found in it."""
    expected = twin(*batch, level=level, comparison=comparison, **how)
    result = ClassRectificationLoss(level=level, comparison=comparison, **how).rectify(*batch)
    assert_same_statistics(result, expected, batch.logits.shape[-1])
    torch.testing.assert_close(result.loss, expected.loss, **TOLERANCE)
    if comparison in ("relative", "log-odds"):
        assert float(result.active_share) == pytest.approx(expected.active_share, abs=1e-6)
    leaves = (batch.logits, batch.features)
    for mine, other in zip(gradients(result.loss, *leaves), gradients(expected.loss, *leaves)):
        torch.testing.assert_close(mine, other, **TOLERANCE)
    return expected


@pytest.mark.parametrize(("level", "comparison"), PRODUCTS)
def test_value_gradient_and_statistics_are_those_of_the_twin_on_random_batches(level: str, comparison: str):
    costly = []

    @repeatable
    @given(shapes(), options())
    def on_one_batch(shape, how):
        outcome = compare(make(shape), level, comparison, **how)
        costly.append(outcome.loss.item() > 0)

    on_one_batch()
    assert sum(costly) >= 0.3 * len(costly), "too few of the random batches have anything to rectify"


@pytest.mark.parametrize(("level", "comparison"), PRODUCTS)
@pytest.mark.parametrize("shared", [False, True])
def test_the_defaults_are_those_of_the_twin(level: str, comparison: str, shared: bool):
    outcome = compare(busy_batch(28, seed=9, shared=shared), level, comparison)
    assert outcome.loss.item() > 0
    assert any(outcome.skipped)
    assert sum(count > 0 for count in outcome.anchors) == 3


@pytest.mark.parametrize("comparison", ["relative", "distribution"])
def test_class_level_needs_no_features(comparison: str):
    batch = busy_batch()
    expected = twin(*batch, comparison=comparison)
    value = ClassRectificationLoss(comparison=comparison)(batch.logits, batch.labels)
    torch.testing.assert_close(value, expected.loss, **TOLERANCE)


@pytest.mark.parametrize(("level", "comparison"), PRODUCTS)
def test_one_attribute_may_come_without_its_axis(level: str, comparison: str):
    labels = torch.tensor([0] * 9 + [1] * 3 + [2] * 4 + [-1])
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(17, 3, generator=generator, dtype=torch.float64)
    features = torch.randn(17, 4, generator=generator, dtype=torch.float64)
    expected = twin(logits[:, None], labels[:, None], features[:, None], level=level, comparison=comparison)
    result = ClassRectificationLoss(level=level, comparison=comparison).rectify(logits, labels, features)
    torch.testing.assert_close(result.loss, expected.loss, **TOLERANCE)
    assert_same_statistics(result, expected, 3)
    assert expected.triplets > 0


@pytest.mark.parametrize(("rho", "classes", "images"), [(0.7, 10, 9), (0.84, 25, 3)])
def test_the_share_is_an_exact_decimal_fraction(rho: float, classes: int, images: int):
    # 63 images fill the share exactly: though 0.7 * 90 < 63 in double, and 0.84 * 75 < 63 in single precision
    labels = torch.arange(classes).repeat_interleave(images)
    logits = torch.randn(len(labels), classes, generator=torch.Generator().manual_seed(0))
    result = ClassRectificationLoss(rho=rho).rectify(logits, labels)
    assert result.classes_kept.sum() * images == 63
    assert result.anchors.tolist() == [63]
    # the anchors are listed in double precision alone, in a table of ⌊ρN⌋ rows
    in_double = ClassRectificationLoss(rho=rho).rectify(logits.double(), labels)
    assert in_double.anchors.tolist() == [63]


@pytest.mark.parametrize("images", [10, 20, 30, 40])
@pytest.mark.parametrize("rho", [0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
def test_a_class_that_reaches_the_share_exactly_is_still_a_minority(images: int, rho: float):
    few = round(images * min(rho, 1 - rho))
    labels = torch.tensor([0] * few + [1] * (images - few))
    logits = torch.randn(images, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = ClassRectificationLoss(rho=rho).rectify(logits, labels)
    minority = result.classes_kept | result.classes_skipped
    assert minority.tolist() == [[True, False]]
