"""Prediction sets: all classes that an image may well show, the true one among them as often as asked."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def typicality(scores: Tensor, assumed: Tensor, shares: Tensor) -> Tensor:
    """How much more likely each class is for an image than without it.

        s_k = p(k | x) / r_k = v_k / Σ_k' r_k' v_k',    v = q / a

    Args:
        scores: q, (..., J, K) float, posteriors where classes are as frequent as a.
        assumed: a, (J, K) float; 0 for a class that was not trained or does not exist.
        shares: r, (J, K) float, of the training images, of the same classes.

    Returns:
        (..., J, K), from 0; 0 for classes that were not trained.

    Source: Ding, Fermanian, Salmon, "Conformal Prediction for Long-Tailed Classification", 2025: the
    prevalence-adjusted softmax, here for scores that may be adjusted already.

    Example:
        >>> half = torch.tensor([[0.5, 0.5]])
        >>> typicality(torch.tensor([[0.75, 0.25]]), half, torch.tensor([[0.9, 0.1]]))
        tensor([[1.0714, 0.3571]])
    """
    known = assumed > 0
    v = torch.where(known, scores / torch.where(known, assumed, 1), 0)
    return v / (v * shares).sum(-1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)


def smallest_typical(true: Tensor, coverage: float) -> float:
    """Typicality from which on a class is in the set: the ⌊(n + 1)(1 - c)⌋-th smallest of validation images.

    For images like these, the true class is then in the set with a probability of c at least, over the
    validation images and the new one. -∞ where n is too small for c: the set is all classes.

    Args:
        true: (n,) typicality of the true class of validation images.
        coverage: c, between 0 and 1.

    Example:
        >>> smallest_typical(torch.arange(1, 10), 0.8)
        2.0
    """
    rank = math.floor((len(true) + 1) * (1 - coverage) + 1e-9)
    return float(true.sort().values[rank - 1]) if rank >= 1 else -math.inf
