"""Influences are derivatives of the figures by the weights of images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.evaluation.influence import Composite, Units, attribute_influence
from longtail.evaluation.metrics import METRICS, Predictions, evaluate
from longtail.evaluation.ranking import ranking_influence

from .problems import gaussian, problems
from .test_metrics import mean_or_nan


def slow_average_precision(scores: list[float], positive: list[bool], weights: np.ndarray) -> float:
    total = sum(w for w, hit in zip(weights, positive) if hit)
    area = 0.0
    for score, hit, weight in zip(scores, positive, weights):
        if hit:
            above = [(w, p) for s, p, w in zip(scores, positive, weights) if s >= score]
            area += weight * sum(w for w, p in above if p) / sum(w for w, _ in above)
    return area / total if total else math.nan


def slow_figures(predictions: Predictions, j: int, weights: np.ndarray) -> dict[str, float]:
    """Every figure of one attribute by plain loops over images that have weights."""
    size, trained = predictions.schema.num_classes[j], predictions.train_counts[j]
    images = [i for i in range(len(predictions.labels)) if predictions.labels[i, j] >= 0]
    truth = [int(predictions.labels[i, j]) for i in images]
    scores = [[float(predictions.scores[i, j, c]) for c in range(size)] for i in images]
    decided = [row.index(max(row)) for row in scores]
    w = np.array([weights[i] for i in images])
    recall, f1, ap = [], [], []
    for c in range(size):
        hits = sum(x for x, t, d in zip(w, truth, decided) if t == d == c)
        there, claimed = (sum(x for x, y in zip(w, ys) if y == c) for ys in (truth, decided))
        recall.append(hits / there if there else math.nan)
        f1.append(2 * hits / (there + claimed) if there else math.nan)
        ap.append(slow_average_precision([row[c] for row in scores], [t == c for t in truth], w))
    groups = predictions.class_groups(j)
    right = sum(x for x, t, d in zip(w, truth, decided) if t == d)
    return {
        "class_balanced_accuracy": mean_or_nan(recall),
        "accuracy": right / w.sum() if len(w) else math.nan,
        "macro_f1": mean_or_nan(f1),
        "mean_average_precision": mean_or_nan(ap),
        **{
            f"{group}_recall": mean_or_nan([r for r, g in zip(recall, groups) if g == group])
            for group in ("many", "medium", "few")
        },
        "rare_average_precision": ap[int(trained[0] >= trained[1])] if size == 2 else math.nan,
    }


def slow_influence(predictions: Predictions, j: int, image: int) -> dict[str, float]:
    """Half the difference between a little more and a little less weight of one image."""
    step, up, down = 1e-5, np.ones(len(predictions.labels)), np.ones(len(predictions.labels))
    up[image], down[image] = 1 + step, 1 - step
    more, less = slow_figures(predictions, j, up), slow_figures(predictions, j, down)
    return {name: (more[name] - less[name]) / (2 * step) for name in METRICS}


@settings(deadline=None, max_examples=25)
@given(problems(most_images=8), st.booleans())
def test_influences_equal_slow_derivatives(predictions: Predictions, grouped: bool):
    if grouped:
        predictions = replace(predictions, groups=np.arange(len(predictions.labels)) // 3)
    units = Units.of(predictions)
    for j, figures in enumerate(evaluate(predictions).attributes):
        found = attribute_influence(predictions, j, figures, units)
        slow = [slow_influence(predictions, j, i) for i in range(len(predictions.labels))]
        for name in METRICS:
            composite = found.of(name)
            value = figures.figures.of(name)
            assert (len(composite.weights) == 0) == math.isnan(value)
            if not math.isnan(value):
                np.testing.assert_allclose(composite.weights @ composite.values, value, err_msg=name)
                each = [derivatives[name] for derivatives in slow]
                expected = np.bincount(units.of_image, each, minlength=units.number)
                np.testing.assert_allclose(composite.moved, expected, atol=1e-8, err_msg=name)


def test_squares_are_those_of_the_influence_on_each_class():
    predictions = gaussian(40, (3,), groups=np.arange(40) // 2)
    (figures,) = evaluate(predictions).attributes
    units = Units.of(predictions)
    found = attribute_influence(predictions, 0, figures, units)
    for name, of_class in (
        ("class_balanced_accuracy", "recall"),
        ("macro_f1", "f1"),
        ("mean_average_precision", "average_precision"),
    ):
        assert found.of(name).values.tolist() == getattr(figures, of_class).tolist()
    scores, labels = predictions.of_attribute(0)
    moved = [ranking_influence(scores[:, c], labels == c) for c in range(3)]
    by_group = [np.bincount(units.of_image, one) for one in moved]
    np.testing.assert_allclose(found.mean_average_precision.squares, [(one**2).sum() for one in by_group])
    pairs = {(int(g), int(c)) for g, c in zip(units.of_image, labels)}
    assert found.macro_f1.units.tolist() == [sum(c == k for _, c in pairs) for k in range(3)]


def test_the_mean_over_attributes_adds_what_an_image_moves_in_each():
    predictions = gaussian(30, (3, 3))
    found = evaluate(predictions)
    parts = [
        attribute_influence(predictions, j, a, Units.of(predictions)).class_balanced_accuracy
        for j, a in enumerate(found.attributes)
    ]
    mean = Composite.mean(parts)
    np.testing.assert_allclose(mean.weights @ mean.values, found.mean.class_balanced_accuracy)
    np.testing.assert_allclose(mean.moved, (parts[0].moved + parts[1].moved) / 2)
    undefined = replace(parts[0], weights=np.zeros(0))
    assert Composite.mean([undefined, parts[1]]).weights.tolist() == parts[1].weights.tolist()
    assert not len(Composite.mean([undefined, undefined]).weights)


def test_groups_are_units_and_a_single_one_is_not():
    predictions = gaussian(6, groups=np.array([7, 7, 3, -1, 3, 7]))
    units = Units.of(predictions)
    assert (units.number, units.grouped) == (3, True)
    assert units.of_image.tolist() == [2, 2, 1, 0, 1, 2]
    for groups in (None, np.zeros(6, np.int64)):
        units = Units.of(replace(predictions, groups=groups))
        assert (units.number, units.grouped, units.of_image.tolist()) == (6, False, list(range(6)))
