"""Weights that make mistakes on rare classes cost more, from the class counts of the training data.

A class that does not occur in the training data, and the places beyond an attribute's own classes,
have weight 1: no training image can meet them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.tables import count_table


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
    images = count_table(counts)
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
    images = count_table(counts)
    occurring = (images > 0).sum(1, keepdim=True)
    return _where_images(images, images.sum(1, keepdim=True) / (occurring * images))


def effective_number_weights(counts: Sequence[Sequence[int]], beta: float = 0.9999) -> Tensor:
    """A class weighs less the more images it has, but ever less so; the mean weight of a class is 1.

        w_c = C · (1/E_c) / Σ_k (1/E_k),     E_c = (1 - β^n_c) / (1 - β), the effective number of images

    β = 0 weighs all classes alike; β → 1 approaches the inverse frequency, which has the same
    ratios as `inverse_frequency_weights` on another scale: here the mean is taken over the C
    classes that occur, there over the training images.

    Args:
        counts: for each of J attributes the training images n_c of each of its classes.
        beta: β, from 0 to below 1; 0.9999 is one of the four values that the paper tries.

    Returns:
        (J, K) float32.

    Raises:
        ValueError: when a count is negative, or beta is outside of [0, 1).

    Source: Cui, Jia, Lin, Song, Belongie, CVPR 2019: the class-balanced term, with its scale Σ w = C.

    Example:
        >>> effective_number_weights([[3, 1], [0, 5]], beta=0.5)  # 1 / 1.75 and 1 / 1, then scaled
        tensor([[0.7273, 1.2727],
                [1.0000, 1.0000]])
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta: expected a number from 0 to below 1, got {beta}")
    images = count_table(counts)
    occurring = images > 0
    weights = ((1 - beta) / (1 - beta**images)).masked_fill(~occurring, 0)
    return _where_images(images, weights * occurring.sum(1, keepdim=True) / weights.sum(1, keepdim=True))


def _where_images(images: Tensor, weights: Tensor) -> Tensor:
    return torch.where(images > 0, weights, 1.0).float()
