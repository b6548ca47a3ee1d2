"""Multinomial logistic regression on vectors: what every other method has to beat."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STRENGTHS = (1.0, 10.0, 100.0)
"""C, one over the weight of the squared norm, of vectors at unit length; tried from the smoothest on."""

ITERATIONS = 200

TOLERANCE = 1e-4
"""Largest component of the gradient of the mean loss at which L-BFGS stops."""

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

    Solved by L-BFGS in float64, each strength from the solution of the one before. Strengths are compared
    by class-balanced accuracy of the classes that have validation images, each class's probability divided
    by its share of the training images. Without validation images the smoothest is taken.

    Args:
        vectors: x, (n, D) of the training images.
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
    return LinearFit(weight, bias, strengths[best], _mean_loss(x @ weight + bias, y), values)


def _solved(x: Floats, y: Ints, strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
    """Weights (D, P) and bias (P,) for the P classes that are there, by strength."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True)
    found: list[tuple[Floats, Floats]] = []
    for strength in strengths:
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # near enough by then
            model.set_params(C=strength).fit(x, y)
        weight, bias = model.coef_.T.copy(), model.intercept_.copy()
        if weight.shape[1] == 1:  # scikit-learn keeps the difference of two classes
            weight, bias = np.hstack([0 * weight, weight]), np.array([0.0, bias[0]])
        found.append((weight, bias))
    return found


def _spread(weight: Floats, bias: Floats, present: Ints, num_classes: int) -> tuple[Floats, Floats]:
    """The same for all K classes, those that are not there never chosen."""
    whole_weight, whole_bias = np.zeros((len(weight), num_classes)), np.full(num_classes, NEVER)
    whole_weight[:, present], whole_bias[present] = weight, bias
    return whole_weight, whole_bias


def _mean_loss(logits: Floats, labels: Ints) -> float:
    from scipy.special import log_softmax

    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _balanced(scores: Floats, labels: Ints) -> float:
    known = labels >= 0
    truth, hits = labels[known], scores[known].argmax(1) == labels[known]
    classes = np.unique(truth)
    return float(np.mean([hits[truth == c].mean() for c in classes])) if len(classes) else float("nan")
