"""Cross entropy of many attributes."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy as torch_cross_entropy

from longtail.ranks import batch_mean
from longtail.schema import UNLABELLED, as_labels, as_logits
from longtail.tables import weighed
from longtail.tensors import full_precision


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Softmax cross entropy, summed over attributes, averaged over the labelled images of each.

        l_ce = - Σ_j 1/n_j Σ_i w_{j,a_ij} log p(y_ij = a_ij | x_i)

    Without missing labels n_j = N. An attribute without any label in the batch adds 0, connected
    to the graph. The mean divides by the number of images, not by the sum of their weights: else
    the rare classes that a batch happens to hold would change the learning rate of all others.

    Args:
        logits: (N, J, K) float, -inf where an attribute lacks a class; (N, K) for J = 1.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        class_weights: w, (J, K) float, on the device of the logits; None: 1.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Source: Dong, Gong, Zhu: their ICCV 2017 poster, on cross entropy; TPAMI 2019, eq. 2 as reviewed.
    """
    labels = as_labels(labels)
    logits = full_precision(as_logits(logits, labels))
    return batch_mean(weighed(costs(logits, labels), logits, labels, class_weights), labels >= 0, 0).sum()


def costs(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p of the label, (N, J), from (N, J, K) logits and (N, J) labels; 0 where unlabelled."""
    return torch_cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=UNLABELLED)
