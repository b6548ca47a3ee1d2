"""t-distributed stochastic triplet embedding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from longtail.ranks import batch_mean
from longtail.tensors import full_precision


def tste(
    anchor: Tensor, positive: Tensor, negative: Tensor, alpha: float = 1.0, valid: Tensor | None = None
) -> Tensor:
    """How improbable it is, under a Student kernel, that the positive is nearer than the negative.

        p = k(a,+) / (k(a,+) + k(a,-)),     k(a,b) = (1 + ‖a - b‖² / α)^β,     β = -(1 + α) / 2
        l = - 1/|T| Σ_T log p

    Equal distances cost log 2. The gradient vanishes for triplets that are far from right, unlike
    that of a hinge. The value is 0, connected to the graph, without any valid triplet.

    Args:
        anchor: (T, D) float.
        positive: (T, D) float.
        negative: (T, D) float.
        alpha: α, degrees of freedom; van der Maaten and Weinberger take D - 1, which suits few
            dimensions; 1 suits vectors of unit length and is a guess.
        valid: (T,) bool, triplets that count; None: all.

    Raises:
        ValueError: when alpha is not positive.

    Source: van der Maaten and Weinberger, "Stochastic Triplet Embedding", MLSP 2012; for images of
    two domains Dong, Gong, Zhu, "Multi-Task Curriculum Transfer Deep Learning of Clothing
    Attributes", WACV 2017, which sums over triplets; here their mean is taken.

    Example:
        >>> anchor, positive = torch.zeros(1, 2), torch.ones(1, 2)
        >>> tste(anchor, positive, -positive)
        tensor(0.6931)
    """
    if not alpha > 0:
        raise ValueError(f"alpha: expected a positive number, got {alpha}")
    anchor = full_precision(anchor)
    log_near = _log_kernel(anchor - full_precision(positive), alpha)
    log_far = _log_kernel(anchor - full_precision(negative), alpha)
    cost = softplus(log_far - log_near)  # -log p
    return batch_mean(cost, torch.ones_like(cost, dtype=torch.bool) if valid is None else valid)


def _log_kernel(difference: Tensor, alpha: float) -> Tensor:
    """β log(1 + ‖x‖² / α): (T, D) -> (T,)."""
    return -0.5 * (1 + alpha) * torch.log1p(difference.square().sum(1) / alpha)
