import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.balance import class_shares, imbalance_ratio, joint_weights

CASES = settings(deadline=None, derandomize=True, max_examples=30)


@st.composite
def problems(draw, most_attributes=3):
    n, attributes = draw(st.integers(1, 14)), draw(st.integers(1, most_attributes))
    num_classes = draw(st.lists(st.integers(1, 4), min_size=attributes, max_size=attributes))
    rows = st.tuples(*(st.integers(-1, size - 1) for size in num_classes))
    return np.array(draw(st.lists(rows, min_size=n, max_size=n))), num_classes


def twin_bounded(weights, cap):
    """s is where the piecewise linear mean of clip(s·w, 1/cap, cap) crosses 1; solve each piece."""

    def clipped(s):
        return [min(max(s * w, 1 / cap), cap) for w in weights]

    corners = sorted({b / w for w in weights for b in (1 / cap, cap)})
    for left, right in itertools.pairwise(corners):
        below, above = sum(clipped(left)) / len(weights), sum(clipped(right)) / len(weights)
        if below <= 1 < above:
            return clipped(left + (right - left) * (1 - below) / (above - below))
    return clipped(corners[-1])


def twin_weights(labels, num_classes, cap):
    weights = [1.0] * len(labels)
    for _ in range(50):
        before = list(weights)
        for j in range(len(num_classes)):
            totals = {}
            for w, row in zip(weights, labels):
                if row[j] >= 0:
                    totals[row[j]] = totals.get(row[j], 0.0) + w
            for i, row in enumerate(labels):
                if row[j] >= 0:
                    weights[i] *= sum(totals.values()) / (len(totals) * totals[row[j]])
        if len(num_classes) > 1:
            weights = twin_bounded(weights, cap)
        if all(abs(w - b) <= 1e-6 * b for w, b in zip(weights, before)):
            break
    return weights


@CASES
@given(problems(), st.sampled_from([1.0, 1.5, 4.0, 100.0]))
def test_weights_are_those_of_the_loops(problem, cap):
    labels, num_classes = problem
    expected = twin_weights(labels.tolist(), num_classes, cap)
    np.testing.assert_allclose(joint_weights(labels, num_classes, cap), expected, rtol=1e-5)


@CASES
@given(problems(), st.sampled_from([1.0, 1.5, 4.0, 100.0]))
def test_weights_have_mean_1_and_with_several_attributes_keep_within_the_cap(problem, cap):
    labels, num_classes = problem
    weights = joint_weights(labels, num_classes, cap)
    assert weights.mean() == pytest.approx(1, rel=1e-10)
    if len(num_classes) > 1:
        assert weights.min() >= 1 / cap * (1 - 1e-12)
        assert weights.max() <= cap * (1 + 1e-12)


@CASES
@given(problems(most_attributes=1))
def test_one_attribute_weighs_by_inverse_frequency_without_a_cap(problem):
    labels, num_classes = problem
    known = labels[labels >= 0].tolist()
    weights = joint_weights(labels, num_classes, cap=1.0)
    for (label,), weight in zip(labels.tolist(), weights):
        expected = len(known) / (len(set(known)) * known.count(label)) if label >= 0 else 1
        assert weight == pytest.approx(expected, rel=1e-12)


def test_weights_follow_their_images_when_these_are_reordered():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, (60, 4))
    order = rng.permutation(60)
    np.testing.assert_allclose(
        joint_weights(labels[order], [3] * 4), joint_weights(labels, [3] * 4)[order], rtol=1e-9
    )


def correlated(n, attributes, seed):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 3)) @ rng.normal(size=(3, attributes)) / math.sqrt(3)
    values = shared + rng.normal(size=(n, attributes))
    return (values > np.quantile(values, rng.uniform(0.6, 0.95, attributes), axis=0).diagonal()).astype(int)


@pytest.mark.parametrize("seed", range(4))
def test_correlated_attributes_become_even_where_a_mean_of_inverse_frequencies_leaves_them_uneven(seed):
    labels, num_classes = correlated(4000, 5, seed), [2] * 5
    mean = sum(1 / np.bincount(column)[column] for column in labels.T)
    uneven = imbalance_ratio(class_shares(labels, mean, num_classes))
    even = imbalance_ratio(class_shares(labels, joint_weights(labels, num_classes, cap=100), num_classes))
    assert even.max() < 1.01
    assert uneven.max() > 2


def test_classes_that_occur_only_together_do_not_run_away():
    labels = np.array([[0, 0]] * 50 + [[0, 1]] * 49 + [[1, 1]])  # even only without the 49
    weights = joint_weights(labels, [2, 2], cap=20)
    assert weights.min() == pytest.approx(1 / 20)
    assert weights.max() == pytest.approx(20)


@pytest.mark.parametrize("labels", [[[2]], [[-2]], [[0, 0]], [0]])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(ValueError, match="labels: expected"):
        joint_weights(np.array(labels), [2])


@pytest.mark.parametrize("cap", [0.5, math.nan])
def test_a_cap_that_leaves_nothing_between_the_bounds_is_refused(cap):
    with pytest.raises(ValueError, match="cap: expected"):
        joint_weights(np.array([[0, 0]]), [1, 1], cap)


@CASES
@given(problems())
def test_shares_and_ratios_are_those_of_the_loops(problem):
    labels, num_classes = problem
    weights = np.random.default_rng(len(labels)).random(len(labels)) + 0.1
    shares = class_shares(labels, weights, num_classes)
    assert shares.shape == (len(num_classes), max(num_classes))
    for j, row in enumerate(shares):
        totals = [
            math.fsum(w for w, a in zip(weights, labels[:, j]) if a == c) for c in range(max(num_classes))
        ]
        np.testing.assert_allclose(row, np.array(totals) / (sum(totals) or 1), rtol=1e-12)
        present = [total for total in totals if total]
        expected = max(present) / min(present) if present else math.nan
        assert imbalance_ratio(shares)[j] == pytest.approx(expected, nan_ok=True)
