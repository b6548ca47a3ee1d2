"""Weights that make mistakes on rare classes cost more, from the class counts of the training data.

A class that does not occur in the training data, and the places beyond an attribute's own classes,
have weight 1: no training image can meet them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def exp_share_weights(counts: Sequence[Sequence[int]]) -> Tensor:
    """A mild cost: the largest ratio between two weights is e ≈ 2.72.

        w_c = exp(-r_c),     r_c = n_c / n

    Args:
        counts: for each of J attributes the training images n_c of each of its classes.

    Returns:
        (J, K) float32.

    Raises:
        ValueError: when a count is negative.

    Source: the cost-sensitive baseline of Dong, Gong, Zhu, ICCV 2017; the formula is the form
    commonly attributed to it and was not checked against the paper's text.

    Example:
        >>> exp_share_weights([[3, 1], [0, 5]])
        tensor([[0.4724, 0.7788],
                [1.0000, 0.3679]])
    """
    images = _table(counts)
    weights = torch.exp(-images / images.sum(1, keepdim=True))
    return _where_images(images, weights)


def inverse_frequency_weights(counts: Sequence[Sequence[int]]) -> Tensor:
    """Every class weighs alike in total; the mean weight of a training image is 1.

        w_c = n / (C · n_c)

    Args:
        counts: for each of J attributes the training images n_c of each of its classes; n is their
            sum, C the number of classes that occur.

    Returns:
        (J, K) float32.

    Raises:
        ValueError: when a count is negative.

    Source: King and Zeng, "Logistic Regression in Rare Events Data", 2001, for two classes.

    Example:
        >>> inverse_frequency_weights([[3, 1], [0, 5]])
        tensor([[0.6667, 2.0000],
                [1.0000, 1.0000]])
    """
    images = _table(counts)
    occurring = (images > 0).sum(1, keepdim=True)
    return _where_images(images, images.sum(1, keepdim=True) / (occurring * images))


def _table(counts: Sequence[Sequence[int]]) -> Tensor:
    """Ragged counts as (J, K) float64, 0 beyond an attribute's own classes."""
    if any(count < 0 for row in counts for count in row):
        raise ValueError("counts: expected numbers of images, got a negative number")
    width = max(len(row) for row in counts)
    rows = [[*row, *[0] * (width - len(row))] for row in counts]
    return torch.tensor(rows, dtype=torch.float64)


def _where_images(images: Tensor, weights: Tensor) -> Tensor:
    return torch.where(images > 0, weights, 1.0).float()
