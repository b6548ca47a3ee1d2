from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.decisions.thresholds import Threshold
from longtail.evaluation.intervals import Estimate, Intervals, intervals, paired_difference, share_interval
from longtail.evaluation.metrics import METRICS, FrequencyBounds, Predictions, evaluate

from .problems import gaussian, problems, schema_of


def intervals_of(predictions: Predictions) -> Intervals:
    return intervals(predictions, evaluate(predictions))


def width(predictions: Predictions, name: str = "class_balanced_accuracy") -> float:
    found = intervals_of(predictions).mean.of(name)
    assert found is not None
    return found.high - found.low


def decided(classes: list[list[int]], frequency: FrequencyBounds = FrequencyBounds(1, 1)) -> Predictions:  # noqa: B008 - frozen
    """For each class whether each of its images is right; a wrong one goes to the next class."""
    size = len(classes)
    labels = np.repeat(np.arange(size), [len(images) for images in classes])[:, None]
    found = [c if right else (c + 1) % size for c, images in enumerate(classes) for right in images]
    scores = np.eye(size)[np.array(found, dtype=np.int64)][:, None]
    counts = np.bincount(labels[:, 0], minlength=size)[None]
    return Predictions(scores, labels, schema_of(size), counts, frequency)


def slow_wilson(value: float, n: float, z: float = 1.959963985) -> tuple[float, float]:
    """The two shares p that lie z standard errors √(p(1 - p)/n) from the value."""
    root = math.sqrt(z**2 * (z**2 + 4 * n * value * (1 - value)))
    return (2 * n * value + z**2 - root) / (2 * (n + z**2)), (2 * n * value + z**2 + root) / (2 * (n + z**2))


@pytest.mark.parametrize(
    ("hits", "images", "low", "high"),
    # the first two as printed by Brown, Cai and DasGupta's formula; one image, all and none of six
    [
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
        (1, 1, 0.2065, 1),
        (6, 6, 0.6097, 1),
        (0, 6, 0, 0.3903),
    ],
)
def test_the_interval_of_a_recall_is_wilsons(hits: int, images: int, low: float, high: float):
    predictions = decided([[1] * hits + [0] * (images - hits), []])
    found = intervals_of(predictions)
    expected = Estimate(hits / images, pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    assert found.recalls[0] == (expected, None)
    assert found.mean.class_balanced_accuracy == found.mean.accuracy == expected


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 1), max_size=9), min_size=2, max_size=5))
def test_every_recall_and_the_accuracy_equal_a_slow_twin(classes: list[list[int]]):
    found = intervals_of(decided(classes))
    for estimate, images in zip(found.recalls[0], classes, strict=True):
        assert (estimate is None) == (not images)
        if estimate is not None:
            ends = slow_wilson(sum(images) / len(images), len(images))
            assert (estimate.low, estimate.high) == pytest.approx(ends, abs=1e-9)
    every = [right for images in classes for right in images]
    if every:
        accuracy = found.mean.accuracy
        assert accuracy is not None
        assert (accuracy.low, accuracy.high) == pytest.approx(
            slow_wilson(sum(every) / len(every), len(every))
        )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=2, max_size=5))
def test_class_balanced_accuracy_has_as_many_images_as_a_share_needs_to_vary_alike(classes: list[list[int]]):
    found = intervals_of(decided(classes)).mean.class_balanced_accuracy
    assert found is not None
    theta, variance, at_the_ends = statistics.fmean(map(statistics.fmean, classes)), 0.0, 0.0
    for images in classes:
        own, u = statistics.fmean(images), len(images)
        together = (sum(images) + 4 * theta) / (u + 4)  # with four more at the mean
        variance += max(own * (1 - own), together * (1 - together)) / u / len(classes) ** 2
        at_the_ends += 1 / u / len(classes) ** 2
    n = theta * (1 - theta) / variance if 0 < theta < 1 else 1 / at_the_ends
    assert (found.low, found.high) == pytest.approx(slow_wilson(theta, n), abs=1e-9)


def test_classes_that_are_all_right_or_all_wrong_do_not_make_a_figure_sure():
    found = intervals_of(decided([[1] * 4, [0] * 4, [0] * 4])).mean.class_balanced_accuracy
    assert found is not None
    # with four more at a third 2/3, 1/6 and 1/6 are right: V = (2/9 + 2 · 5/36) / 36 = 1/72, n = (2/9) / V
    assert (found.low, found.high) == pytest.approx(slow_wilson(1 / 3, 16))


def test_one_image_of_each_class_gives_an_interval_with_two_ends():
    for right in (0, 1, 5, 10):
        found = intervals_of(decided([[int(c < right)] for c in range(10)])).mean
        for name in ("class_balanced_accuracy", "macro_f1", "mean_average_precision"):
            estimate = found.of(name)
            assert estimate is not None
            assert estimate.high - estimate.low > 0.25, (right, name)


@settings(deadline=None, max_examples=25)
@given(problems(), st.booleans())
def test_an_interval_holds_its_figure_and_is_absent_exactly_where_the_figure_is(
    predictions: Predictions, grouped: bool
):
    if grouped:
        predictions = replace(predictions, groups=np.arange(len(predictions.labels)) // 3)
    evaluation = evaluate(predictions)
    found = intervals_of(predictions)
    tables = [
        *zip(found.attributes, (a.figures for a in evaluation.attributes)),
        (found.mean, evaluation.mean),
    ]
    for estimates, figures in tables:
        for name in METRICS:
            estimate = estimates.of(name)
            assert (estimate is None) == math.isnan(figures.of(name))
            if estimate is not None:
                assert estimate.value == pytest.approx(figures.of(name))
                assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
                assert estimate.low < estimate.high


@pytest.mark.parametrize(
    "name", ["class_balanced_accuracy", "accuracy", "macro_f1", "mean_average_precision"]
)
def test_sixteen_times_the_images_give_about_a_quarter_of_the_width(name: str):
    assert width(gaussian(3200), name) == pytest.approx(width(gaussian(200), name) / 4, rel=0.3)


@pytest.mark.parametrize("name", METRICS)
def test_groups_of_equal_images_make_the_interval_as_wide_as_that_of_one_image_each(name: str):
    single = gaussian(100, (2,), groups=np.arange(100), frequency=FrequencyBounds(100, 60))
    copies = np.repeat(np.arange(100), 9)
    copied = replace(single, scores=single.scores[copies], labels=single.labels[copies], groups=copies)
    if evaluate(single).mean.of(name) == evaluate(single).mean.of(name):
        assert width(copied, name) == pytest.approx(width(single, name), rel=1e-9)
        assert width(replace(copied, groups=None), name) < width(copied, name) / 2


def test_few_groups_make_the_interval_wider_by_students_t():
    predictions = gaussian(60, groups=np.arange(60) % 5)
    hit = predictions.scores[:, 0].argmax(1) == predictions.labels[:, 0]
    theta, of_group = hit.mean(), hit.reshape(12, 5).mean(0)
    squares = (((of_group - theta) / 5) ** 2).sum()
    seen, spread = 5 * squares, theta * (1 - theta)
    unseen = max(0, (5 * seen + 4 * spread) / 9 - seen) / 5  # with four more groups at the mean
    found = intervals_of(predictions).mean.accuracy
    assert found is not None
    ends = slow_wilson(theta, spread / (5 / 4 * squares + unseen), z=2.7764451)  # t of 4 degrees of freedom
    assert (found.low, found.high) == pytest.approx(ends)


def test_the_recall_of_the_only_class_has_the_interval_of_the_class_balanced_accuracy_in_groups_too():
    right = np.random.default_rng(0).integers(0, 2, 60).tolist()
    found = intervals_of(replace(decided([right, []]), groups=np.arange(60) // 12))
    assert found.recalls[0] == (found.mean.class_balanced_accuracy, None)


def test_a_threshold_has_the_intervals_of_the_decisions_it_makes():
    plain = gaussian(200, (2,), signal=0.5)
    by_threshold = replace(plain, thresholds={0: Threshold(1, 1.0, 60)})
    same = replace(plain, scores=np.eye(2)[by_threshold.decided(0)][:, None])
    for name in ("class_balanced_accuracy", "accuracy", "macro_f1"):
        assert intervals_of(by_threshold).mean.of(name) == intervals_of(same).mean.of(name)


def test_with_one_single_group_images_are_the_units():
    predictions = gaussian(60)
    one_group = replace(predictions, groups=np.zeros(60, dtype=np.int64))
    assert intervals_of(one_group).mean == intervals_of(predictions).mean


@pytest.mark.parametrize("images", [1, 3, 12])
def test_intervals_hold_the_true_figure_in_nearly_nineteen_of_twenty_cases(images: int):
    truth, random = np.linspace(0.95, 0.3, 10), np.random.default_rng(images)
    held = 0
    for _ in range(200):
        right = (random.random((10, images)) < truth[:, None]).astype(int).tolist()
        found = intervals_of(decided(right)).mean.class_balanced_accuracy
        assert found is not None
        held += found.low <= truth.mean() <= found.high
    assert held >= 184


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


def test_many_comparisons_share_the_five_percent():
    a, b = [0.5, 0.6, 0.8], [0.4, 0.6, 0.5]
    one, ten = paired_difference(a, b), paired_difference(a, b, comparisons=10)
    assert ten.value == one.value
    # t(0.9975; 2) / t(0.975; 2)
    assert ten.high - ten.low == pytest.approx((14.0890 / 4.30265) * (one.high - one.low), rel=1e-4)


def test_seeds_that_split_one_data_set_get_the_factor_of_nadeau_and_bengio():
    a, b = [0.5, 0.6, 0.8, 0.7], [0.4, 0.6, 0.5, 0.7]
    one, other = paired_difference(a, b), paired_difference(a, b, test_to_train=0.25)
    assert other.high - other.low == pytest.approx(math.sqrt(1 + 4 * 0.25) * (one.high - one.low))


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


@pytest.mark.parametrize(("right", "images"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_of_no_images_or_of_more_than_there_are_is_refused(right: int, images: int):
    with pytest.raises(ValueError, match=f"at most all right, got {right} of {images}"):
        share_interval(right, images)
