"""Multinomial logistic regression on vectors: what every other method has to beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STRENGTHS = (1.0, 10.0, 100.0)
"""C, one over the weight of the squared norm, of vectors at unit length; tried from the smoothest on."""

ITERATIONS = 200

TOLERANCE = 5e-4
"""Largest component of the gradient, where curvature is about 1, at which L-BFGS stops: docs/decisions.md."""

CURVATURE = 0.02
"""Guess of the mean p (1 - p), which the variables are scaled by; any guess ends at the same solution."""

BLOCK = 2**22
"""Numbers that are held at a time beside vectors and weights: rows are taken in blocks."""

NEVER = -1e4
"""The logit of a class without a training image: its probability is 0, and all sums stay finite."""


@dataclass(frozen=True, eq=False)
class LinearFit:
    """logits = x weight + bias.

    Attributes:
        weight: (D, K).
        bias: (K,).
        strength: C that was chosen.
        loss: mean -log p of the labelled training images.
        values: by strength, the class-balanced accuracy on the validation images, NaN without any.
    """

    weight: Floats
    bias: Floats
    strength: float
    loss: float
    values: tuple[float, ...]


def fit_linear(
    vectors: Floats,
    labels: Ints,
    num_classes: int,
    validation: tuple[Floats, Ints],
    strengths: Sequence[float] = STRENGTHS,
) -> LinearFit:
    """The logistic regression whose strength validation images choose; of equals the smoothest.

        min_W,b  C Σ_i -log softmax(x_i W + b)_{y_i} + ½ ‖W‖²

    Solved by L-BFGS in float64, each strength from the solution of the one before, in variables that make
    the curvature nearly the same in all directions. Of two classes, W is their difference. Strengths are
    compared by class-balanced accuracy of the classes that have validation images, each class's probability
    divided by its share of the training images. Without validation images the smoothest is taken.

    Args:
        vectors: x, (n, D) of the training images, of any floating type.
        labels: (n,) int64, -1 = unlabelled: such an image counts for nothing.
        num_classes: K.
        validation: vectors and labels of the validation images.
        strengths: C, ascending.

    Example:
        >>> x = np.array([[0.0], [0.1], [0.9], [1.0]])
        >>> fit = fit_linear(x, np.array([0, 0, 1, 1]), 2, (x, np.array([0, 0, 1, 1])))
        >>> (x @ fit.weight + fit.bias).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    known = labels >= 0
    x, y = vectors[known], labels[known]
    counts = np.bincount(y, minlength=num_classes)
    present = np.flatnonzero(counts)
    if len(present) < 2:  # nothing to tell apart
        bias = np.where(counts > 0, 0.0, NEVER) if len(present) else np.zeros(num_classes)
        return LinearFit(np.zeros((vectors.shape[1], num_classes)), bias, strengths[0], 0.0, ())
    fits = [_spread(*found, present, num_classes) for found in _solved(x, y, strengths)]
    with np.errstate(divide="ignore"):
        prior = np.where(counts > 0, np.log(counts / counts.sum()), 0.0)
    values = tuple(_balanced(validation[0] @ w + b - prior, validation[1]) for w, b in fits)
    best = int(np.argmax(np.nan_to_num(values, nan=-1.0)))
    weight, bias = fits[best]
    loss, _ = _objective(x, y, np.vstack([weight, bias]), np.zeros(len(weight) + 1))
    return LinearFit(weight, bias, strengths[best], loss, values)


def _solved(x: Floats, y: Ints, strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
    """Weights (D, P) and bias (P,) for the P classes that are there, by strength."""
    classes, y = np.unique(y, return_inverse=True)
    gram, two = _gram(x), len(classes) == 2
    both = np.zeros((len(gram), len(classes)))  # W over b
    found: list[tuple[Floats, Floats]] = []
    for strength in strengths:
        ridge = np.full(len(gram), (2 if two else 1) / (strength * len(x)))  # each of two has half of W
        ridge[-1] = 0  # the bias is free
        both = _minimised(x, y, both, ridge, gram)
        shown = both - both[:, :1] if two else both
        found.append((shown[:-1].copy(), shown[-1].copy()))
    return found


def _minimised(x: Floats, y: Ints, both: Floats, ridge: Floats, gram: Floats) -> Floats:
    """W over b where `_objective` is least, from others on."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import minimize

    # with L Lᵀ about the curvature of each class's column, its curvature in V = Lᵀ W is about 1
    root = cholesky(CURVATURE * gram + np.diag(ridge), lower=True)

    def solved(right: Floats, transposed: int) -> Floats:
        return solve_triangular(root, right, trans=transposed, lower=True, check_finite=False)

    def slope(flat: Floats) -> tuple[float, Floats]:
        loss, gradient = _objective(x, y, solved(flat.reshape(both.shape), 1), ridge)
        return loss, solved(gradient, 0).ravel()

    options = {"maxiter": ITERATIONS, "gtol": TOLERANCE, "ftol": 0.0}
    end = minimize(slope, (root.T @ both).ravel(), jac=True, method="L-BFGS-B", options=options)
    return solved(end.x.reshape(both.shape), 1)


def _gram(x: Floats) -> Floats:
    """(D + 1, D + 1) mean of [x 1]ᵀ [x 1]."""
    total = np.zeros((x.shape[1] + 1, x.shape[1] + 1))
    for rows in _blocks(len(x), x.shape[1]):
        block = np.column_stack([x[rows], np.ones(len(x[rows]))])
        total += block.T @ block
    return total / len(x)


def _objective(x: Floats, y: Ints, weights: Floats, ridge: Floats) -> tuple[float, Floats]:
    """Mean -log p plus ½ Σ ridge W², and its gradient; the last row of W is the bias."""
    loss, gradient = 0.0, np.zeros_like(weights)
    for rows in _blocks(len(x), x.shape[1] + weights.shape[1]):
        block, truth = np.asarray(x[rows], np.float64), (np.arange(len(x[rows])), y[rows])
        logits = block @ weights[:-1] + weights[-1]
        logits -= logits.max(1, keepdims=True)
        own = logits[truth]
        np.exp(logits, out=logits)
        total = logits.sum(1, keepdims=True)
        loss += float(np.log(total).sum() - own.sum())
        logits /= total
        logits[truth] -= 1
        gradient[:-1] += (logits.T @ block).T  # twice as fast as blockᵀ logits
        gradient[-1] += logits.sum(0)
    pull = ridge[:, None] * weights
    return loss / len(x) + 0.5 * float((pull * weights).sum()), gradient / len(x) + pull


def _blocks(n: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // width)
    return (slice(start, start + step) for start in range(0, n, step))


def _spread(weight: Floats, bias: Floats, present: Ints, num_classes: int) -> tuple[Floats, Floats]:
    """The same for all K classes, those that are not there never chosen."""
    whole_weight, whole_bias = np.zeros((len(weight), num_classes)), np.full(num_classes, NEVER)
    whole_weight[:, present], whole_bias[present] = weight, bias
    return whole_weight, whole_bias


def _balanced(scores: Floats, labels: Ints) -> float:
    known = labels >= 0
    truth, hits = labels[known], scores[known].argmax(1) == labels[known]
    classes = np.unique(truth)
    return float(np.mean([hits[truth == c].mean() for c in classes])) if len(classes) else float("nan")
