"""Image weights under which the classes of all attributes are even, and how even classes are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from longtail.schema import UNLABELLED

SWEEPS = 50
"""Most sweeps over the attributes; where no weights can even out all of them, they end here."""

CAP = 10.0
"""How many times the mean an image may weigh, and its inverse how little, with several attributes.

The evener the classes, the fewer images carry them. On 40 simulated, correlated two-class attributes
(160,000 images, largest over smallest class 6.1 on average) a cap of 100 leaves a ratio of 2.0 and
weights worth 1 % of the images, (Σ w)² / (n Σ w²); a cap of 10 leaves 2.6 and 11 %.
"""

_TOLERANCE = 1e-6  # a sweep that moves no weight by more than this share of it was the last
_HALVINGS = 45  # of an interval of a few ln(cap) down to 1e-12


def joint_weights(
    labels: NDArray[np.int64], num_classes: Sequence[int], cap: float = CAP
) -> NDArray[np.float64]:
    """Weights of the images under which the classes of every attribute are as even as they can be.

    With one attribute each of the C classes that have an image gets the same total,

        w_i = n / (C n_{y_i}),

    n: labelled images; n_c: images of class c; unlabelled images weigh 1. With more attributes the
    weights are raked (iterative proportional fitting): starting from 1, attribute after attribute

        w_i ← w_i · T_j / (C_j S_{j,a_ij}),   S_{j,c} = Σ_{i: a_ij = c} w_i,   T_j = Σ_c S_{j,c},

    which gives the C_j present classes of attribute j equal totals and leaves images without a
    value of j alone; after each sweep w is brought to mean 1 and clipped to [1/cap, cap]. So
    w_i = Π_j u_{j,a_ij} as long as nothing is clipped: an image that is rare in one attribute and
    common in another is weighed for both at once. A mean of 1/n_{j,a_ij} over the attributes is
    not: attributes share images, and what it lifts in one it pushes down in another.

    The rule for more attributes is ours, in the spirit of ML-ROS (Charte et al., Neurocomputing
    163, 2015), which clones images of rare labels; raking is due to Deming and Stephan (1940).

    Args:
        labels: (n, J) int64, -1 = unlabelled.
        num_classes: |Z_j| of every attribute.
        cap: bound of the weights beside their mean, for J > 1; our choice. Classes that occur only
            together cannot all be even, and without it raking would rest on a few images.

    Returns:
        (n,) float64 with mean 1.

    Raises:
        ValueError: when the labels do not fit `num_classes`, or cap < 1.

    Example:
        >>> joint_weights(np.array([[0], [0], [0], [1]]), [2]).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """
    _check_labels(labels, num_classes)
    if not cap >= 1:
        raise ValueError(f"cap: expected a bound of at least 1, got {cap}")
    columns = np.ascontiguousarray(labels.T + 1)  # 0 = unlabelled, so that classes count from 1
    bound = cap if len(num_classes) > 1 else np.inf
    weights = np.ones(len(labels))
    for _ in range(SWEEPS if len(labels) else 0):
        before = weights
        for column, size in zip(columns, num_classes):
            weights = weights * _factors(_class_totals(column, weights, size))[column]
        weights = _within(weights, bound)
        if np.allclose(weights, before, rtol=_TOLERANCE, atol=0):
            break
    return weights


def class_shares(
    labels: NDArray[np.int64], weights: NDArray[np.float64], num_classes: Sequence[int]
) -> NDArray[np.float64]:
    """Share of each class in a training that draws images in proportion to their weights.

        share_{j,c} = Σ_{i: a_ij = c} w_i / Σ_{i: a_ij ≥ 0} w_i

    Args:
        labels: (n, J) int64, -1 = unlabelled.
        weights: (n,) not negative.
        num_classes: |Z_j| of every attribute.

    Returns:
        (J, K) float64, K = most classes of any attribute; 0 where a class is absent.

    Raises:
        ValueError: when the labels do not fit `num_classes`.

    Example:
        >>> class_shares(np.array([[0], [0], [1], [-1]]), np.array([1.0, 1, 2, 9]), [2]).tolist()
        [[0.5, 0.5]]
    """
    _check_labels(labels, num_classes)
    totals = np.array([_class_totals(column + 1, weights, max(num_classes)) for column in labels.T])[:, 1:]
    labelled = totals.sum(1, keepdims=True)
    return np.divide(totals, labelled, out=np.zeros_like(totals), where=labelled > 0)


def imbalance_ratio(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(J,) largest over smallest share of the present classes; NaN where an attribute has none.

    Args:
        shares: (J, K) as `class_shares` gives them.

    Example:
        >>> imbalance_ratio(np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0]])).tolist()
        [9.0, 1.0]
    """
    present = shares > 0
    smallest = np.min(shares, axis=1, where=present, initial=np.inf)
    undefined = np.full(len(shares), np.nan)
    return np.divide(shares.max(1), smallest, out=undefined, where=present.any(1))


def _within(weights: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """The weights times the s at which, clipped to [1/bound, bound], they have mean 1."""
    scaled = weights / weights.mean()
    if scaled.min() >= 1 / bound and scaled.max() <= bound:
        return scaled
    low, high = np.log(1 / bound / scaled.max()), np.log(bound / scaled.min())
    for _ in range(_HALVINGS):  # the mean grows with s
        middle = (low + high) / 2
        mean = np.clip(np.exp(middle) * scaled, 1 / bound, bound).mean()
        low, high = (middle, high) if mean < 1 else (low, middle)
    return np.clip(np.exp(high) * scaled, 1 / bound, bound)


def _class_totals(column: NDArray[np.int64], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(1 + size,) weight of the unlabelled images, then of every class."""
    return np.bincount(column, weights, minlength=size + 1).astype(np.float64, copy=False)


def _factors(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + size,) what evens out these totals; 1 for the unlabelled and for absent classes."""
    present = totals > 0
    present[0] = False
    even = totals[present].mean() if present.any() else 1.0
    return np.divide(even, totals, out=np.ones_like(totals), where=present)


def _check_labels(labels: NDArray[np.int64], num_classes: Sequence[int]) -> None:
    if labels.ndim != 2 or labels.shape[1] != len(num_classes):
        raise ValueError(f"labels: expected shape (n, {len(num_classes)}), got {labels.shape}")
    if (labels < UNLABELLED).any() or (labels >= np.asarray(num_classes)).any():
        raise ValueError("labels: expected class indices below num_classes, -1 = unlabelled")
