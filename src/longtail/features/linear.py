"""Multinomial logistic regression on vectors: what every other method has to beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

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

SINGLE = 1e-7
"""Share of a curvature that joins it, so that it stays positive: it is summed in single precision."""

ROWS = 4096
"""Vectors whose products are summed in single precision at a time."""

BLOCK = 2**24
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


def fit_attributes(
    vectors: Floats,
    labels: Ints,
    num_classes: Sequence[int],
    validation: tuple[Floats, Ints],
    strengths: Sequence[float] = STRENGTHS,
) -> list[LinearFit]:
    """`fit_linear` of each attribute; those that are labelled on the same images share their scale.

    Args:
        vectors, strengths: as of `fit_linear`.
        labels: (n, J) int64, -1 = unlabelled.
        num_classes: K of each attribute.
        validation: vectors and labels (m, J) of the validation images.
    """
    known, scale, fits = labels >= 0, None, list[LinearFit]()
    for j, size in enumerate(num_classes):
        if scale is None or not np.array_equal(known[:, j], known[:, j - 1]):
            scale = _Scale(vectors[known[:, j]])
        fits.append(
            _fit(scale, labels[known[:, j], j], size, (validation[0], validation[1][:, j]), strengths)
        )
    return fits


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
    return _fit(_Scale(vectors[known]), labels[known], num_classes, validation, strengths)


class _Scale:
    """Vectors x (n, D), and variables in which the curvature of a regression on them is about 1.

    The curvature of a class's column of [W; b] is about C' [x 1]ᵀ [x 1] / n + R, with R the ridge; that of
    Lᵀ [W; b] is about 1, with L Lᵀ the above.
    """

    def __init__(self, vectors: Floats) -> None:
        # converted once where that is no more than is held anyhow
        self.x = vectors.astype(np.float64) if vectors.size <= BLOCK else vectors
        self._roots: dict[float, Floats] = {}

    @cached_property
    def _gram(self) -> Floats:
        return _gram(self.x)

    def root(self, weight: float) -> Floats:
        """L (D + 1, D + 1), lower, for a ridge of this weight; the bias has none."""
        from scipy.linalg import cholesky

        if weight not in self._roots:
            curvature = CURVATURE * self._gram + np.diag(_ridge(weight, self.x.shape[1]))
            curvature += SINGLE * np.trace(self._gram) * np.eye(len(curvature))
            self._roots[weight] = cholesky(curvature, lower=True, overwrite_a=True)
        return self._roots[weight]


def _fit(
    scale: _Scale, y: Ints, num_classes: int, validation: tuple[Floats, Ints], strengths: Sequence[float]
) -> LinearFit:
    x, counts = scale.x, np.bincount(y, minlength=num_classes)
    present = np.flatnonzero(counts)
    if len(present) < 2:  # nothing to tell apart
        bias = np.where(counts > 0, 0.0, NEVER) if len(present) else np.zeros(num_classes)
        return LinearFit(np.zeros((x.shape[1], num_classes)), bias, strengths[0], 0.0, ())
    fits = [_spread(*found, present, num_classes) for found in _solved(scale, y, strengths)]
    with np.errstate(divide="ignore"):
        prior = np.where(counts > 0, np.log(counts / counts.sum()), 0.0)
    values = tuple(_balanced(validation[0] @ w + b - prior, validation[1]) for w, b in fits)
    best = int(np.argmax(np.nan_to_num(values, nan=-1.0)))
    weight, bias = fits[best]
    loss, _ = _objective(x, y, np.vstack([weight, bias]), np.zeros(len(weight) + 1))
    return LinearFit(weight, bias, strengths[best], loss, values)


def _solved(scale: _Scale, y: Ints, strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
    """Weights (D, P) and bias (P,) for the P classes that are there, by strength."""
    classes, y = np.unique(y, return_inverse=True)
    n, size = scale.x.shape
    two = len(classes) == 2
    both = np.zeros((size + 1, len(classes)))  # W over b
    found: list[tuple[Floats, Floats]] = []
    for strength in strengths:
        both = _minimised(scale, y, both, (2 if two else 1) / (strength * n))  # each of two has half of W
        shown = both - both[:, :1] if two else both
        found.append((shown[:-1].copy(), shown[-1].copy()))
    return found


def _ridge(weight: float, size: int) -> Floats:
    """(D + 1,) the weight of each row of W over b; the bias is free."""
    return np.append(np.full(size, weight), 0.0)


def _minimised(scale: _Scale, y: Ints, both: Floats, weight: float) -> Floats:
    """W over b where `_objective` is least, from others on; the variables are those of the scale."""
    from scipy.linalg import solve_triangular
    from scipy.optimize import minimize

    root, ridge = scale.root(weight), _ridge(weight, scale.x.shape[1])

    def solved(right: Floats, transposed: int) -> Floats:
        return solve_triangular(root, right, trans=transposed, lower=True, check_finite=False)

    def slope(flat: Floats) -> tuple[float, Floats]:
        loss, gradient = _objective(scale.x, y, solved(flat.reshape(both.shape), 1), ridge)
        return loss, solved(gradient, 0).ravel()

    options = {"maxiter": ITERATIONS, "gtol": TOLERANCE, "ftol": 0.0}
    end = minimize(slope, (root.T @ both).ravel(), jac=True, method="L-BFGS-B", options=options)
    return solved(end.x.reshape(both.shape), 1)


def _gram(x: Floats) -> Floats:
    """(D + 1, D + 1) mean of [x 1]ᵀ [x 1], its products in single precision: no solution depends on it."""
    total = np.zeros((x.shape[1] + 1, x.shape[1] + 1))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        block = np.column_stack([x[rows], np.ones(len(x[rows]))]).astype(np.float32)
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
    if not len(truth):
        return float("nan")
    images = np.bincount(truth)
    there = images > 0
    return float((np.bincount(truth, hits)[there] / images[there]).mean())
