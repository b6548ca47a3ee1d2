import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.decisions.thresholds import Threshold
from longtail.evaluation.trust import reliability, set_results, threshold_results


def error_by_loops(scores, labels, weights):
    """The mean over bins of confidence of how far it is from the share of right decisions."""
    total = 0.0
    for b in range(15):
        gap = 0.0
        for q, y, w in zip(scores, labels, weights):
            sure = max(q)
            if min(int(sure * 15), 14) == b:
                gap += w * ((q.index(sure) == y) - sure)
        total += abs(gap)
    return total / sum(weights)


def problem(seed, n=40, classes=4):
    generator = np.random.default_rng(seed)
    scores = generator.dirichlet(np.full(classes, 0.5), n)
    weights = generator.random(n)
    return scores, generator.integers(classes, size=n), weights / weights.sum()


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**20), st.integers(1, 40))
def test_the_calibration_error_is_that_of_plain_loops(seed, n):
    scores, labels, weights = problem(seed, n)
    few = np.array([False, True, True, False])
    found = reliability(scores, labels, weights, few)
    assert found.error == pytest.approx(error_by_loops(scores.tolist(), labels.tolist(), weights.tolist()))
    own = [i for i in range(n) if few[scores[i].argmax()]]
    expected = (
        error_by_loops(*(values[own].tolist() for values in (scores, labels, weights))) if own else None
    )
    assert found.few_error == (None if expected is None else pytest.approx(expected))
    assert sum(b.weight for b in found.bins) == pytest.approx(1)


def test_scores_that_are_as_sure_as_right_have_no_error():
    scores = np.tile([0.75, 0.25], (4, 1))
    found = reliability(scores, np.array([0, 0, 0, 1]), np.full(4, 0.25), np.zeros(2, bool))
    assert found.error == 0
    assert [(b.confidence, b.accuracy) for b in found.bins] == [(0.75, 0.75)]


def test_the_order_of_images_changes_nothing_and_no_image_gives_no_figure():
    scores, labels, weights = problem(1)
    order, few = np.random.default_rng(2).permutation(40), np.ones(4, bool)
    one, other = (
        reliability(scores, labels, weights, few),
        reliability(scores[order], labels[order], weights[order], few),
    )
    assert one.error == pytest.approx(other.error)
    nothing = reliability(scores[:0], labels[:0], weights[:0], few)
    assert (nothing.error, nothing.few_error, nothing.bins) == (None, None, ())


def test_images_without_weight_give_no_figure_of_the_classes_with_few_images():
    scores = np.array([[0.9, 0.1], [0.1, 0.9]])
    found = reliability(scores, np.array([0, 1]), np.array([1.0, 0.0]), np.array([False, True]))
    assert found.few_error is None


def test_a_threshold_stands_beside_the_analytic_one():
    scores = np.array([[0.7, 0.3], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
    labels = np.array([1, 0, 1, 0])
    found = threshold_results(scores, labels, Threshold(1, 0.25, 60), "recall=0.9", ("no", "yes"))
    assert (found.rare, found.value, found.positives) == ("yes", 0.25, 60)
    assert (found.analytic.recall, found.analytic.precision) == (0.5, 1.0)
    assert (found.tuned.recall, found.tuned.precision) == (1.0, pytest.approx(2 / 3))
    assert found.tuned.class_balanced_accuracy == 0.75
    assert found.tuned.f1 == pytest.approx(0.8)


def test_the_rare_class_may_be_the_first():
    scores = np.array([[0.4, 0.6], [0.1, 0.9]])
    found = threshold_results(scores, np.array([0, 1]), Threshold(0, 0.3, 60), "f1", ("no", "yes"))
    assert (found.rare, found.analytic.recall, found.tuned.recall) == ("no", 0.0, 1.0)


def test_sets_are_counted_by_image_and_by_class():
    members = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=bool)
    labels = np.array([0, 0, 0, 1, 2, 2])
    found = set_results(members, labels, 0.9, np.array([False, True, True]))
    assert (found.covered, found.few, found.mean_size) == (0.5, 0.25, pytest.approx(8 / 6))
    assert found.class_balanced == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)
    nothing = set_results(members[:0], labels[:0], 0.9, np.zeros(3, bool))
    assert (nothing.covered, nothing.few, nothing.mean_size) == (None, None, None)
