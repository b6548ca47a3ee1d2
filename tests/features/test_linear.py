"""The regression against its own definition: the gradient of the objective, written out, is 0 there."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.features import linear
from longtail.features.linear import NEVER, fit_attributes, fit_linear

NONE = (np.zeros((0, 4)), np.zeros(0, np.int64))


def problem(seed, n=40, k=3, d=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, k, n)
    labels[:k] = np.arange(k)
    return rng.normal(size=(n, d)) + np.eye(max(k, d))[labels.clip(0), :d], labels


def gradient(x, y, weight, bias, strength):
    """Of C Σ -log p + ½ ‖W‖², one image at a time."""
    grad_w, grad_b = weight.copy(), np.zeros_like(bias)
    for xi, yi in zip(x, y):
        if yi < 0:
            continue
        z = xi @ weight + bias
        p = np.exp(z - z.max())
        p /= p.sum()
        p[yi] -= 1
        grad_w += strength * np.outer(xi, p)
        grad_b += strength * p
    return grad_w, grad_b


@given(st.integers(0, 30), st.sampled_from([1.0, 10.0]), st.integers(3, 5))
def test_the_objective_has_no_slope_where_it_ends(seed, strength, k):
    x, y = problem(seed, k=k)
    fit = fit_linear(x, y, k, NONE, [strength])
    assert fit.strength == strength
    for part in gradient(x, y, fit.weight, fit.bias, strength):
        assert np.abs(part).max() < 0.05 * strength  # a thousandth an image


def test_the_loss_is_the_mean_over_labelled_images_without_the_squared_norm():
    x, y = problem(0)
    fit, known = fit_linear(x, y, 3, NONE, [1.0]), y >= 0
    z = (x @ fit.weight + fit.bias)[known]
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    assert fit.loss == pytest.approx(-log_p[np.arange(known.sum()), y[known]].mean())


def test_each_attribute_is_solved_on_its_own_labels_and_chosen_by_its_own():
    x, y = problem(7, n=60)
    labels = np.stack([y, np.roll(y, 1)], 1)
    fits = fit_attributes(x, labels, (3, 3), (x, labels))
    for j, fit in enumerate(fits):
        alone = fit_linear(x, labels[:, j], 3, (x, labels[:, j]))
        np.testing.assert_array_equal(fit.weight, alone.weight)
        assert fit.values == alone.values


def test_two_classes_have_the_decision_of_their_difference():
    x, y = problem(0, k=2)
    fit = fit_linear(x, y, 2, NONE, [1.0])
    z = x @ fit.weight + fit.bias
    p = 1 / (1 + np.exp(z[:, 0] - z[:, 1]))
    known = y >= 0
    loss = -np.log(np.where(y == 1, p, 1 - p))[known].sum() + 0.5 * ((fit.weight[:, 1]) ** 2).sum()
    for _ in range(20):
        rng = np.random.default_rng(_)
        w = fit.weight[:, 1] + 0.05 * rng.normal(size=4)
        q = 1 / (1 + np.exp(-(x @ w + fit.bias[1])))
        assert -np.log(np.where(y == 1, q, 1 - q))[known].sum() + 0.5 * (w**2).sum() >= loss - 1e-3


def test_a_class_without_training_images_is_never_chosen():
    x, y = problem(1)
    fit = fit_linear(x, np.where(y == 1, -1, y), 5, NONE)
    assert set(np.flatnonzero(fit.bias == NEVER)) == {1, 3, 4}
    assert not np.isin((x @ fit.weight + fit.bias).argmax(1), [1, 3, 4]).any()
    assert np.isfinite(fit.weight).all()


@pytest.mark.parametrize("labels", [[-1] * 6, [2] * 6, [2, -1, 2, -1, -1, -1]])
def test_with_one_class_or_none_there_is_nothing_to_learn(labels):
    fit = fit_linear(np.random.default_rng(0).normal(size=(6, 4)), np.array(labels), 3, NONE)
    assert not fit.weight.any()
    assert fit.bias.argmax() == (2 if 2 in labels else 0)


def test_unlabelled_images_and_their_order_make_no_difference():
    x, y = problem(2)
    fit = fit_linear(x, y, 3, (x, y))
    order = np.random.default_rng(0).permutation(len(y))
    other = fit_linear(x[order], y[order], 3, (x, y))
    np.testing.assert_allclose(fit.weight, other.weight, atol=0.02)
    known = y >= 0
    alone = fit_linear(x[known], y[known], 3, (x, y))
    np.testing.assert_array_equal(fit.weight, alone.weight)


def test_validation_images_choose_and_of_equals_the_smoothest_wins(monkeypatch):
    x, y = problem(3)
    values = iter([0.5, 0.75, 0.75])
    monkeypatch.setattr(linear, "_balanced", lambda scores, labels: next(values))
    fit = fit_linear(x, y, 3, (x, y))
    assert (fit.strength, fit.values) == (10.0, (0.5, 0.75, 0.75))


def test_without_validation_images_the_smoothest_is_taken():
    x, y = problem(4)
    fit = fit_linear(x, y, 3, (x[:0], y[:0]))
    assert fit.strength == 1.0
    assert np.isnan(fit.values).all()


def test_strengths_are_compared_class_by_class_against_the_prior():
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [190, 10])
    x, seen = (rng.normal(size=(200, 1)) + y[:, None] for _ in range(2))
    known = np.where(np.arange(200) % 7, y, -1)  # unlabelled validation images count for nothing
    fit = fit_linear(x, y, 2, (seen, known), [1.0])
    logits = seen @ fit.weight + fit.bias
    plain, adjusted = (
        np.mean([(z.argmax(1) == y)[known == k].mean() for k in (0, 1)])
        for z in (logits, logits - np.log([0.95, 0.05]))
    )
    assert plain < 0.6 < adjusted
    assert fit.values == (pytest.approx(adjusted),)


@pytest.mark.parametrize("k", [2, 4])
def test_blocks_of_rows_and_single_precision_make_no_difference(monkeypatch, k):
    x, y = problem(5, k=k)
    whole = fit_linear(x, y, k, (x, y))
    monkeypatch.setattr(linear, "BLOCK", 50)
    blocks = fit_linear(x.astype(np.float32), y, k, (x, y))
    assert blocks.strength == whole.strength
    np.testing.assert_allclose(blocks.weight, whole.weight, atol=0.02)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_solution_is_that_of_scikit_learn(k):
    from sklearn.linear_model import LogisticRegression

    x, y = problem(6, n=60, k=k)
    fit = fit_linear(x, y, k, NONE, [3.0])
    known = y >= 0
    other = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(x[known], y[known])
    difference = fit.weight.T - (other.coef_ if k > 2 else np.vstack([0 * other.coef_, other.coef_]))
    np.testing.assert_allclose(difference - difference.mean(0), 0, atol=0.03)


def test_thousands_of_classes_need_no_table_of_pairs(monkeypatch):
    monkeypatch.setattr(linear, "ITERATIONS", 2)
    monkeypatch.setattr(linear, "BLOCK", 2**15)
    rng, k = np.random.default_rng(0), 1500
    x, y = rng.normal(size=(2 * k, 8)), np.arange(2 * k) % k
    tracemalloc.start()
    fit_linear(x, y, k, (x[:0], y[:0]), [1.0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * k * k / 2
