"""Focal loss: what is nearly right counts less."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtail.losses.cross_entropy import costs
from longtail.ranks import batch_mean
from longtail.schema import as_labels, as_logits
from longtail.tables import weighed
from longtail.tensors import full_precision, log_miss

_NEAR = 1e-4  # -log p below which -log p / (1 - p) is 1 + half of it to float32


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0, class_weights: Tensor | None = None) -> Tensor:
    """Cross entropy that counts less, the more probable the true class already is.

        l = - Σ_j 1/n_j Σ_i w_{j,a_ij} (1 - p_ij)^γ log p_ij,     p_ij = p(y_ij = a_ij | x_i)

    γ = 0 is `cross_entropy`. n_j counts the labelled images; an attribute without any adds 0,
    connected to the graph. Value and gradient are finite for all finite logits.

    Args:
        logits: (N, J, K) float, -inf where an attribute lacks a class; (N, K) for J = 1.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        gamma: γ, at least 0; 2 is the paper's default.
        class_weights: w, (J, K) float (α in the paper); None: 1.

    Raises:
        TypeError, ValueError: when types or shapes do not fit, or gamma is negative.

    Source: Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", ICCV 2017,
    eq. 5, with a softmax in place of its sigmoid.

    Example:
        >>> focal(torch.zeros(1, 2), torch.tensor([0]))  # (1 - ½)² log 2
        tensor(0.1733)
    """
    if not gamma >= 0:
        raise ValueError(f"gamma: expected a number of at least 0, got {gamma}")
    labels = as_labels(labels)
    logits = full_precision(as_logits(logits, labels))
    cost = costs(logits, labels)
    cost = modulated(cost, torch.full_like(cost, gamma))
    return batch_mean(weighed(cost, logits, labels, class_weights), labels >= 0, 0).sum()


def modulated(cost: Tensor, gamma: Tensor) -> Tensor:
    """(1 - p)^γ · c with p = e^-c.

    Args:
        cost: c = -log p ≥ 0, float.
        gamma: γ ≥ 0, of the same shape.
    """
    # 1 - p has no rounding near p = 1; x^γ has no finite derivative at 0 where γ < 1
    miss = (-torch.expm1(-cost)).clamp(min=torch.finfo(cost.dtype).tiny)
    return miss**gamma * cost


def focal_posterior(logits: Tensor, gamma: float = 2.0) -> Tensor:
    """Logits of the posterior that focal loss learned: its own softmax is not that posterior.

        η_k ∝ -1 / ℓ'(p_k),     ℓ(p) = -(1 - p)^γ log p,     p = softmax(z)

    At the minimum of Σ_k η_k ℓ(p_k) under Σ_k p_k = 1 all η_k ℓ'(p_k) are equal. The order of the classes
    is that of p, but p is less sure: with two classes and γ = 2, p = 0.9 stands for η = 0.997.

    Args:
        logits: z, (N, J, K) float, -inf where an attribute lacks a class.
        gamma: γ, of the training.

    Returns:
        (N, J, K), at least float32: log η up to a constant, -inf as in `logits`.

    Source: Charoenphakdee et al., "On Focal Loss for Class-Posterior Probability Estimation", CVPR 2021.

    Example:
        >>> logits = torch.tensor([[[0.9, 0.1]]]).log()
        >>> focal_posterior(logits).softmax(2)
        tensor([[[0.9974, 0.0026]]])
    """
    logits = full_precision(logits)
    return -log_slope(logits.log_softmax(2), log_miss(logits), gamma)


def log_slope(log_p: Tensor, log_miss: Tensor, gamma: float) -> Tensor:
    """log |ℓ'(p)| of ℓ(p) = -(1 - p)^γ log p, for p up to 1 and down to 0.

        |ℓ'(p)| = (1 - p)^γ (1/p - γ log p / (1 - p))

    Args:
        log_p: log p, float.
        log_miss: log(1 - p), of the same shape.
        gamma: γ ≥ 0.
    """
    cost = -log_p
    if gamma == 0:
        return cost
    ratio = torch.where(cost < _NEAR, 1 + cost / 2, cost / log_miss.exp())  # -log p / (1 - p)
    return gamma * log_miss + torch.logaddexp(cost, math.log(gamma) + ratio.log())
