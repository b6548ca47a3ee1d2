"""Cross entropy of scaled and shifted logits, so that rare classes are kept apart by a larger margin.

Training adjusts the logits, the decision does not: the largest plain logit wins. The tables are
made once from the class counts. A class without training images is treated as if it had one: it
stays in the softmax as a class to tell others apart from, and its logit is trained down. Left out
instead, it would keep the logit of its initialisation, which nothing stops from winning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from longtail.losses.cross_entropy import cross_entropy
from longtail.schema import as_labels, as_logits
from longtail.tables import count_table, expect_table
from longtail.tensors import full_precision


class VectorScaling(NamedTuple):
    """Factor of each logit, and what is added after the multiplication.

    Attributes:
        scale: Δ, (J, K) float32, in (0, 1]; 1 beyond an attribute's own classes.
        shift: ι, (J, K) float32, at most 0; 0 beyond an attribute's own classes.
    """

    scale: Tensor
    shift: Tensor


def adjusted_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    shift: Tensor,
    scale: Tensor | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    """`cross_entropy` of Δ_jk z_ijk + ι_jk.

    Args:
        logits: z, (N, J, K) float, -inf where an attribute lacks a class; (N, K) for J = 1.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        shift: ι, (J, K) float, finite; see `log_prior`.
        scale: Δ, (J, K) float, above 0; see `vector_scaling`; None: 1.
        class_weights: w, (J, K) float; None: 1.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Source: Kini, Paraskevas, Oymak, Thrampoulidis, NeurIPS 2021 (VS loss).

    Example:
        >>> counts = [[3, 1]]
        >>> logits, labels = torch.zeros(1, 2), torch.tensor([1])
        >>> adjusted_cross_entropy(logits, labels, log_prior(counts))  # log 4
        tensor(1.3863)
    """
    labels = as_labels(labels)
    logits = full_precision(as_logits(logits, labels))
    if scale is not None:
        logits = logits * expect_table("scale", scale, *logits.shape[1:]).to(logits.dtype)
    logits = logits + expect_table("shift", shift, *logits.shape[1:]).to(logits.dtype)
    return cross_entropy(logits, labels, class_weights)


def log_prior(counts: Sequence[Sequence[float]], tau: float = 1.0) -> Tensor:
    """The shift of logit adjustment.

        ι_c = τ log(n_c / n)

    Args:
        counts: for each of J attributes the training images n_c of each of its classes, or how many are
            drawn in an epoch; n is their sum; a class without images counts as one.
        tau: τ; 1, the paper's default, is also the balanced softmax.

    Returns:
        (J, K) float32, finite; 0 beyond an attribute's own classes.

    Raises:
        ValueError: when a count is negative.

    Source: Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021; for τ = 1
    Ren et al., "Balanced Meta-Softmax", NeurIPS 2020.

    Example:
        >>> log_prior([[3, 1], [0, 1]])
        tensor([[-0.2877, -1.3863],
                [-0.6931, -0.6931]])
    """
    images = count_table(counts, least=1)
    shift = tau * (images / images.sum(1, keepdim=True)).log()
    return torch.where(images > 0, shift, 0.0).float()


def vector_scaling(counts: Sequence[Sequence[int]], gamma: float = 0.3, tau: float = 1.0) -> VectorScaling:
    """Scale and shift of the vector-scaling loss.

        Δ_c = (n_c / max_k n_k)^γ,     ι_c = τ log(n_c / n)

    γ = 0 is logit adjustment. The shift acts early in training; once all training images are
    classified correctly only the scale moves the decision.

    Args:
        counts: for each of J attributes the training images n_c of each of its classes; a class
            without images counts as one.
        gamma: γ, at least 0; 0.3 as in the authors' released code. They tune γ and τ for each data set.
        tau: τ; 1 as in the authors' released code.

    Raises:
        ValueError: when a count or gamma is negative.

    Source: Kini, Paraskevas, Oymak, Thrampoulidis, "Label-Imbalanced and Group-Sensitive
    Classification under Overparameterization", NeurIPS 2021; both formulas agree with that code.

    Example:
        >>> vector_scaling([[16, 1]], gamma=0.5).scale
        tensor([[1.0000, 0.2500]])
    """
    if not gamma >= 0:
        raise ValueError(f"gamma: expected a number of at least 0, got {gamma}")
    images = count_table(counts, least=1)
    scale = (images / images.amax(1, keepdim=True)) ** gamma
    return VectorScaling(torch.where(images > 0, scale, 1.0).float(), log_prior(counts, tau))
