"""A mistake is answered with the name of what is wrong, what was expected, and what came."""

from __future__ import annotations

import math

import pytest
import torch

from longtail import ClassRectificationLoss


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("level", "image"),
        ("comparison", "triplet"),
        ("kappa", 0),
        ("kappa", 2.5),
        ("kappa", math.inf),
        ("rho", 0.0),
        ("rho", 1.0),
        ("rho", math.nan),
        ("margin", math.nan),
        ("margin", 0.0),
        ("margin", math.inf),
        ("power", 3),
        ("nodes", 1),
        ("nodes", 11.5),
    ],
)
def test_a_setting_out_of_its_range_is_named(setting: str, value: object):
    with pytest.raises(ValueError, match=rf"{setting}: expected .*, got .*{value}"):
        ClassRectificationLoss(**{setting: value})


@pytest.mark.parametrize(
    ("logits", "labels", "features", "named"),
    [
        ((6, 3), (5,), (6, 4), "logits"),
        ((6, 2, 3), (6,), (6, 4), "logits"),
        ((6, 3), (6, 2), (6, 4), "logits"),
        ((6,), (6,), (6, 4), "logits"),
        ((6, 2, 3), (6, 2, 1), (6, 4), "labels"),
        ((6, 2, 3), (6, 2), (5, 4), "features"),
        ((6, 3, 3), (6, 3), (6, 2, 4), "features"),
        ((6, 3), (6,), (6,), "features"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(logits: tuple, labels: tuple, features: tuple, named: str):
    with pytest.raises(ValueError, match=rf"{named}: expected shape .*, got \("):
        ClassRectificationLoss(level="instance")(
            torch.zeros(logits), torch.zeros(labels, dtype=torch.int64), torch.zeros(features)
        )


@pytest.mark.parametrize("level", ["class", "instance"])
def test_labels_that_are_no_class_indices_are_refused(level: str):
    with pytest.raises(TypeError, match=r"labels: expected integers .*, got torch.float32"):
        ClassRectificationLoss(level=level)(torch.zeros(6, 3), torch.zeros(6), torch.zeros(6, 4))


def test_scores_that_are_no_real_numbers_are_refused():
    with pytest.raises(TypeError, match=r"logits: expected floating point, got torch.int64"):
        ClassRectificationLoss()(torch.zeros(6, 3, dtype=torch.int64), torch.zeros(6, dtype=torch.int64))


def test_log_odds_are_refused_at_instance_level():
    with pytest.raises(ValueError, match=r"comparison: 'log-odds' .* level 'class', got 'instance'"):
        ClassRectificationLoss(level="instance", comparison="log-odds")


def test_instance_level_without_features_is_refused():
    with pytest.raises(ValueError, match=r"features: expected"):
        ClassRectificationLoss(level="instance")(torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64))
