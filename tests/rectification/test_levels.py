"""What differs between the two levels: scores, margins and how far distances reach."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from longtail.rectification.comparison import HardPairs
from longtail.rectification.levels import FEW_CLASSES, ClassLevel, InstanceLevel
from longtail.rectification.loss import ClassRectificationLoss

LOGITS = torch.tensor([[[0.0, 1.0, -math.inf], [0.0, 1.0, 2.0]]])  # of two and of three classes
LABELS = torch.zeros(1, 2, dtype=torch.int64)


def pairs(positive: float, negative: float) -> HardPairs:
    """One of each that counts, and one far away that does not."""
    mask = torch.tensor([[[True, False]]])
    return HardPairs(torch.tensor([[[positive, 99.0]]]), torch.tensor([[[negative, 99.0]]]), mask, mask)


def numbers(span: tuple[Tensor, Tensor]) -> list[float]:
    return [end.item() for end in span]


@pytest.mark.parametrize("level", [ClassLevel(None), InstanceLevel(None, normalize=True)])
def test_the_default_margin_is_a_half_where_distances_are_bounded(level):
    assert level.margins(LOGITS).tolist() == [0.5, 0.5]


def test_the_default_margin_of_raw_features_follows_the_number_of_classes():
    margins = InstanceLevel(None, normalize=False).margins(LOGITS)
    assert margins.tolist() == pytest.approx([math.pi, 2 * math.pi / 3])


@pytest.mark.parametrize("level", [ClassLevel(2), InstanceLevel(2, True), InstanceLevel(2, False)])
def test_a_given_margin_serves_every_attribute(level):
    assert level.margins(LOGITS).tolist() == [2, 2]


@pytest.mark.parametrize("level", [ClassLevel(None), InstanceLevel(None, True), InstanceLevel(None, False)])
@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)]
)
def test_margins_are_in_full_precision(level, dtype, expected):
    assert level.margins(LOGITS.to(dtype)).dtype == expected


def test_histograms_reach_as_far_as_distances_can():
    assert numbers(ClassLevel(None).span(pairs(0.2, 0.3))) == [-1, 1]
    assert numbers(InstanceLevel(None, normalize=True).span(pairs(0.2, 0.3))) == [0, 2]


@pytest.mark.parametrize(("positive", "negative"), [(5.0, 3.0), (3.0, 5.0)])
def test_histograms_of_raw_features_reach_the_largest_distance_mined(positive, negative):
    assert numbers(InstanceLevel(None, normalize=False).span(pairs(positive, negative))) == [0, 5]


@pytest.mark.parametrize("classes", [2, FEW_CLASSES, FEW_CLASSES + 1])
def test_class_level_mines_on_probabilities(classes):
    logits = torch.randn(5, 2, classes, generator=torch.Generator().manual_seed(0))
    scores = ClassLevel(None).scores(logits, torch.zeros(5, 2, dtype=torch.int64), None)
    torch.testing.assert_close(scores, logits.softmax(2))


@pytest.mark.parametrize("normalize", [False, True])
def test_instance_level_mines_on_features_of_unit_length_if_asked(normalize):
    features = torch.tensor([[[3.0, 4.0]]])
    scores = InstanceLevel(None, normalize).scores(LOGITS, LABELS, features)
    assert scores.norm().item() == pytest.approx(1 if normalize else 5)


def test_a_feature_without_a_direction_has_no_gradient():
    features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    features[5] = 0
    features.requires_grad_()
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    loss = ClassRectificationLoss("instance", normalize=True)(torch.zeros(8, 3), labels, features)
    (gradient,) = torch.autograd.grad(loss, features)
    assert gradient[5].abs().max() == 0
    assert 0 < gradient.abs().max() < 10
