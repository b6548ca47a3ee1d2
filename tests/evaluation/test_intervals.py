from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from longtail.evaluation import intervals
from longtail.evaluation.intervals import Estimate, Intervals, bootstrap_intervals, paired_difference
from longtail.evaluation.metrics import METRICS, FrequencyBounds, Predictions, class_counts, evaluate

from .problems import gaussian, problems, schema_of


def bootstrap(predictions: Predictions, resamples: int = 200, seed: int = 0) -> Intervals:
    return bootstrap_intervals(predictions, evaluate(predictions), resamples=resamples, seed=seed)


def width(predictions: Predictions, name: str = "class_balanced_accuracy") -> float:
    found = bootstrap(predictions).mean.of(name)
    assert found is not None
    return found.high - found.low


def drawn_weights(predictions: Predictions, resamples: int, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(intervals._weights(predictions, resamples, seed)), axis=1)


@settings(deadline=None, max_examples=40)
@given(problems(), st.integers(0, 5), st.booleans())
def test_weighted_figures_equal_the_figures_of_images_that_are_really_copied(
    predictions: Predictions, seed: int, grouped: bool
):
    if grouped:
        predictions = replace(predictions, groups=np.arange(len(predictions.labels)) // 3)
    drawn = intervals._resampled_figures(predictions, 5, seed)
    weights = drawn_weights(predictions, 5, seed).astype(int)
    for resample in range(5):
        copies = np.repeat(np.arange(len(predictions.labels)), weights[:, resample])
        copied = replace(
            predictions, scores=predictions.scores[copies], labels=predictions.labels[copies], groups=None
        )
        for j, attribute in enumerate(evaluate(copied).attributes):
            for name in METRICS:
                np.testing.assert_allclose(
                    drawn.of(name)[resample, j], attribute.figures.of(name), atol=1e-12, err_msg=name
                )


@settings(deadline=None, max_examples=25)
@given(problems())
def test_an_interval_holds_its_figure_and_is_absent_exactly_where_the_figure_is(predictions: Predictions):
    evaluation = evaluate(predictions)
    found = bootstrap(predictions, resamples=100)
    tables = [
        *zip(found.attributes, (a.figures for a in evaluation.attributes)),
        (found.mean, evaluation.mean),
    ]
    for estimates, figures in tables:
        for name in METRICS:
            estimate = estimates.of(name)
            assert (estimate is None) == math.isnan(figures.of(name))
            if estimate is not None:
                assert estimate.value == figures.of(name)
                assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_the_interval_of_accuracy_is_the_binomial_one():
    predictions = gaussian(2000)
    found = bootstrap(predictions, resamples=1000).mean.accuracy
    assert found is not None
    half = 1.96 * math.sqrt(found.value * (1 - found.value) / 2000)
    assert found.low == pytest.approx(found.value - half, abs=0.15 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.15 * half)


@pytest.mark.parametrize(
    "name", ["class_balanced_accuracy", "accuracy", "macro_f1", "mean_average_precision"]
)
def test_sixteen_times_the_images_give_about_a_quarter_of_the_width(name: str):
    assert width(gaussian(3200), name) == pytest.approx(width(gaussian(200), name) / 4, rel=0.3)


def test_groups_of_equal_images_make_the_interval_as_wide_as_that_of_one_image_each():
    single = gaussian(100)
    copies = np.repeat(np.arange(100), 9)
    copied = replace(single, scores=single.scores[copies], labels=single.labels[copies])
    grouped = replace(copied, groups=copies)
    assert width(copied) < width(grouped) / 2
    assert width(grouped) == pytest.approx(width(single), rel=1e-9)


def test_images_of_a_group_are_drawn_together_and_as_many_groups_as_there_are():
    groups = np.array([7, 7, 3, 3, 3, 11, -1])
    weights = drawn_weights(gaussian(7, groups=groups), 300)
    _, first = np.unique(groups, return_index=True)
    for group in set(groups.tolist()):
        assert (np.ptp(weights[groups == group], axis=0) == 0).all()
    np.testing.assert_array_equal(weights[first].sum(0), 4)
    np.testing.assert_allclose(weights[first].mean(1), 1, atol=0.2)


def test_images_are_drawn_as_often_as_there_are_images_and_alike():
    weights = drawn_weights(gaussian(40), 2000)
    np.testing.assert_array_equal(weights.sum(0), 40)
    np.testing.assert_allclose(weights.mean(1), 1, atol=0.12)
    np.testing.assert_allclose(weights.var(), 1 - 1 / 40, rtol=0.03)


def test_with_one_single_group_images_are_drawn():
    predictions = gaussian(60)
    one_group = replace(predictions, groups=np.zeros(60, dtype=np.int64))
    assert bootstrap(one_group).mean == bootstrap(predictions).mean


def test_the_seed_decides_the_draws_and_the_size_of_blocks_does_not(monkeypatch: pytest.MonkeyPatch):
    predictions = gaussian(80, (3, 5))
    first = bootstrap(predictions, seed=3)
    assert bootstrap(predictions, seed=4).mean != first.mean
    monkeypatch.setattr(intervals, "_WEIGHTS_AT_ONCE", 80 * 7)
    again = bootstrap(predictions, seed=3)
    for before, after in zip((*first.attributes, first.mean), (*again.attributes, again.mean), strict=True):
        for name in METRICS:
            one, other = before.of(name), after.of(name)
            assert (one and astuple(one)) == pytest.approx(other and astuple(other), abs=1e-12)


def one_rare_image(decided: list[int]) -> Predictions:
    """49 images of class 0 and one of class 1, decided as told."""
    scores = np.eye(2)[decided][:, None]
    labels = np.array([[0]] * 49 + [[1]])
    counts = class_counts(labels, schema_of(2))
    return Predictions(scores, labels, schema_of(2), counts, FrequencyBounds(20, 10))


def test_a_class_that_a_resample_lacks_is_left_out_of_it():
    drawn = intervals._resampled_figures(one_rare_image([0] * 50), 500, 0)
    # recalls 1 and 0: the mean is 1/2 with the rare class drawn, 1 without it, never 0
    assert set(drawn.class_balanced_accuracy.ravel()) == {0.5, 1.0}
    without = np.isnan(drawn.few_recall)
    assert without.mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.06)
    np.testing.assert_array_equal(without, drawn.class_balanced_accuracy == 1.0)
    found = bootstrap(one_rare_image([0] * 50)).mean
    assert found.few_recall == Estimate(0.0, 0.0, 0.0)


def test_an_interval_ends_at_zero_also_where_recentring_would_pass_it():
    # one image in 49 is right: draws without it give 0, and their mean lies above the figure
    found = bootstrap(one_rare_image([0] + [1] * 48 + [0])).mean.class_balanced_accuracy
    assert found is not None
    assert found.low == 0.0 < found.value < found.high


@pytest.mark.parametrize("name", ["class_balanced_accuracy", "mean_average_precision"])
def test_intervals_are_centred_on_the_figure_though_rare_classes_bias_the_draws(name: str):
    predictions = gaussian(120, (40,), signal=3.0)
    labels = predictions.labels[:, 0]
    scores = predictions.scores.copy()
    scores[np.arange(120), 0, labels] -= np.where(np.bincount(labels)[labels] < 3, 2.5, 0.0)
    predictions = replace(predictions, scores=scores)
    raw = intervals._resampled_figures(predictions, 400, 0).of(name)
    found = bootstrap(predictions, resamples=400).mean.of(name)
    assert found is not None
    assert raw.mean() > found.value + 0.01
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.15 * (found.high - found.low))
    assert found.high - found.low == pytest.approx(float(np.ptp(np.quantile(raw, (0.025, 0.975)))))


def test_an_interval_whose_spread_is_all_in_the_tails_still_holds_its_figure():
    found = intervals._estimate(0.5, np.array([0.0] * 990 + [1.0] * 10))
    assert found == Estimate(0.5, pytest.approx(0.49), 0.5)
    mirrored = intervals._estimate(0.5, np.array([1.0] * 990 + [0.0] * 10))
    assert mirrored == Estimate(0.5, 0.5, pytest.approx(0.51))


def test_too_few_resamples_are_refused():
    with pytest.raises(ValueError, match="at least 100, got 99"):
        bootstrap(gaussian(10), resamples=99)


@pytest.mark.parametrize(("n", "t"), [(2, 12.7062), (3, 4.30265), (5, 2.77645), (10, 2.26216)])
def test_a_paired_difference_is_the_mean_with_the_textbook_t_interval(n: int, t: float):
    random = np.random.default_rng(n)
    a, b = random.normal(size=n).tolist(), random.normal(size=n).tolist()
    differences = [x - y for x, y in zip(a, b)]
    half = t * statistics.stdev(differences) / math.sqrt(n)
    found = paired_difference(a, b)
    assert found.value == pytest.approx(statistics.mean(differences))
    assert found.low == pytest.approx(found.value - half, rel=1e-4)
    assert found.high == pytest.approx(found.value + half, rel=1e-4)


def test_what_both_methods_owe_to_a_seed_drops_out_of_the_difference():
    found = paired_difference([0.52, 0.72, 0.32], [0.5, 0.7, 0.3])
    assert found.high - found.low < 1e-12
    assert found.value == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("a", "b"), [([0.5], [0.4]), ([], []), ([0.5, 0.6], [0.4]), ([0.5, math.nan], [0.4, 0.4])]
)
def test_figures_that_are_not_paired_seeds_are_refused(a: list[float], b: list[float]):
    with pytest.raises(ValueError, match="expected"):
        paired_difference(a, b)
