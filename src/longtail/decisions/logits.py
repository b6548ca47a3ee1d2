"""Decisions on logits: thresholds adjusted to the shares in training, and shorter class vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.tensors import full_precision


def prior_scores(logits: Tensor, shares: Tensor) -> Tensor:
    """Predicted probabilities divided by the shares of the classes in training.

        score_k = (p_k / r_k) / Σ_k' (p_k' / r_k') = softmax(z - log r)_k

    With two classes the decision is p > r instead of p > ½; with equal shares it is the plain argmax.

    Args:
        logits: z, (N, J, K) float, -inf where an attribute lacks a class.
        shares: r, (J, K) float, of the training images, never of those that are decided on; 0 for a class
            that was not trained, and all 0 where an attribute has no labels and keeps p as it is.

    Returns:
        (N, J, K), at least float32, sum 1; 0 for classes that were not trained or do not exist.

    Source: J. J. Chen et al., SAR and QSAR in Environmental Research 17(3), 2006 (adjust the threshold by
    the prior); the division for more than two classes as remembered from its users, unverified.

    Example:
        >>> prior_scores(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[0.75, 0.25]]))
        tensor([[[0.2500, 0.7500]]])
    """
    logits = full_precision(logits)
    trained = shares > 0
    known = trained | ~trained.any(1, keepdim=True)
    prior = torch.where(trained, shares, 1).to(logits.dtype)
    return torch.where(known, logits - prior.log(), -torch.inf).softmax(2)


def tau_normalised(logits: Tensor, bias: Tensor, norms: Tensor, tau: Tensor) -> Tensor:
    """Logits of class vectors that are divided by a power of their length, without bias.

        z'_k = (z_k - b_k) / ‖w_k‖^τ = w_k · f / ‖w_k‖^τ

    τ = 0 leaves the class vectors as they are, τ = 1 brings all of them to length 1. Trained on long
    tails, the vectors of frequent classes are longer.

    Args:
        logits: z, (N, J, K) float, -inf where an attribute lacks a class.
        bias: b, (J, K).
        norms: ‖w‖₂, (J, K).
        tau: τ, scalar.

    Returns:
        (N, J, K), at least float32, -inf as in `logits`.

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR
    2020, section 4.1, eq. 4.

    Example:
        >>> z, b = torch.tensor([[[4.0, 3.0]]]), torch.zeros(1, 2)
        >>> tau_normalised(z, b, torch.tensor([[4.0, 2.0]]), torch.tensor(1.0))
        tensor([[[1.0000, 1.5000]]])
    """
    logits = full_precision(logits)
    return (logits - bias) / norms.clamp(min=torch.finfo(norms.dtype).tiny) ** tau
