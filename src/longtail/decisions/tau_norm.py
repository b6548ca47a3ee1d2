"""Logits with shorter class vectors: tau-normalisation of a trained classifier."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.tensors import full_precision


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
