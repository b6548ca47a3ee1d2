"""Cross entropy of many attributes."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy as torch_cross_entropy

from longtail.schema import UNLABELLED, as_labels, as_logits


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross entropy, summed over attributes, averaged over the labelled images of each.

        l_ce = - Σ_j 1/n_j Σ_i log p(y_ij = a_ij | x_i)

    Without missing labels n_j = N. An attribute without any label in the batch adds 0, connected
    to the graph.

    Args:
        logits: (N, J, K) float, -inf where an attribute lacks a class; (N, K) for J = 1.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.

    Source: Dong, Gong, Zhu, TPAMI 2019, eq. 2.
    """
    labels = as_labels(labels)
    logits = as_logits(logits, labels).float() if logits.element_size() < 4 else as_logits(logits, labels)
    per_image = torch_cross_entropy(
        logits.transpose(1, 2), labels, reduction="none", ignore_index=UNLABELLED
    )  # (N, J), 0 where unlabelled
    return (per_image.sum(0) / (labels >= 0).sum(0).clamp(min=1)).sum()
