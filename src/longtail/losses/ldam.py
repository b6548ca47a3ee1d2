"""Label-distribution-aware margins: the rarer a class, the farther its images must be from the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.losses.cross_entropy import cross_entropy
from longtail.schema import as_labels, as_logits
from longtail.tables import at_labels, count_table, expect_table
from longtail.tensors import full_precision, log_miss


def ldam_margins(counts: Sequence[Sequence[int]], largest: float = 0.5) -> Tensor:
    """Margins by the fourth root of the class counts.

        m_c = m_max · (n_min / n_c)^(1/4)

    n_min is the smallest count of the attribute that is not 0, so that the largest margin of every
    attribute is m_max. A class without training images is no label; its margin is 0.

    Args:
        counts: for each of J attributes the training images n_c of each of its classes.
        largest: m_max, on cosines; 0.5 as in the authors' released code.

    Returns:
        (J, K) float32.

    Raises:
        ValueError: when a count is negative.

    Source: Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with
    Label-Distribution-Aware Margin Loss", NeurIPS 2019.

    Example:
        >>> ldam_margins([[16, 1], [0, 9]])
        tensor([[0.2500, 0.5000],
                [0.0000, 0.5000]])
    """
    images = count_table(counts)
    fewest = images.masked_fill(images == 0, float("inf")).amin(1, keepdim=True)
    return torch.where(images > 0, largest * (fewest / images) ** 0.25, 0.0).float()


def ldam(
    logits: Tensor,
    labels: Tensor,
    margins: Tensor,
    scale: float = 30.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """`cross_entropy` of s z, after the logit of the true class was lowered by its margin.

        l = - Σ_j 1/n_j Σ_i w log e^{s (z_y - m_y)} / (e^{s (z_y - m_y)} + Σ_{k ≠ y} e^{s z_k}),   y = a_ij

    Args:
        logits: z, (N, J, K) float: cosines between unit vectors and unit class vectors, -inf where
            an attribute lacks a class; (N, K) for J = 1.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        margins: m, (J, K) float; see `ldam_margins`.
        scale: s; 30 as in the authors' released code, for cosines; for other logits take 1.
        class_weights: w, (J, K) float; the paper turns them on late in training; None: 1.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Source: Cao et al., NeurIPS 2019; the scale is in the authors' code.

    Example:
        >>> ldam(torch.zeros(1, 2), torch.tensor([1]), ldam_margins([[16, 1]]), scale=2.0)  # log(1 + e)
        tensor(1.3133)
    """
    labels = as_labels(labels)
    logits = full_precision(as_logits(logits, labels))
    margins = expect_table("margins", margins, *logits.shape[1:]).to(logits.dtype)
    lowering = -at_labels(margins, labels)[..., None]
    lowered = logits.scatter_add(2, labels.clamp(min=0)[..., None], lowering)
    return cross_entropy(scale * lowered, labels, class_weights)


def ldam_posterior(logits: Tensor, margins: Tensor, scale: float = 30.0) -> Tensor:
    """Logits of the posterior that margins learned: the softmax of s z is not that posterior.

        η_k ∝ p_k (1 - p_k + e^{-s m_k} p_k),     p = softmax(s z)

    At the minimum of the expected loss, which is convex in z; the order of the classes by η is not that
    by p where margins differ. Exact as far as cosines reach: with a small s they bound p.

    Args:
        logits: z, (N, J, K) float, -inf where an attribute lacks a class.
        margins: m, (J, K) float, of the training.
        scale: s, of the training.

    Returns:
        (N, J, K), at least float32: log η up to a constant, -inf as in `logits`.

    Example:
        >>> ldam_posterior(torch.tensor([[[0.5, 0.0]]]), torch.zeros(1, 2), 2.0).softmax(2)  # no margins
        tensor([[[0.7311, 0.2689]]])
    """
    scaled = scale * full_precision(logits)
    log_p = scaled.log_softmax(2)
    return log_p + torch.logaddexp(log_miss(scaled), log_p - scale * margins.to(log_p.dtype))
