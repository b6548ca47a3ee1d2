"""Triplet loss over all triplets of a batch."""

from __future__ import annotations

from torch import Tensor

from longtail.losses.vectors import compared_pairs
from longtail.tensors import hinge_sums


def triplet(features: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """Images of one class should be nearer to each other than to other classes, by a margin.

        l = Σ_j 1/|T_j| Σ_{(a,p,n) ∈ T_j} max(0, m + ‖f_a - f_p‖² - ‖f_a - f_n‖²),     ‖f‖ = 1

    T_j is every labelled image with every other image of its class and every image of another
    class; |T_j| counts them all, also those that cost nothing. An attribute without triplets adds
    0, connected to the graph.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes; brought to
            unit length here.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        margin: m, on squared distances, which reach 4; 0.2 as in FaceNet.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Memory: O(J·N²), although there are O(N³) triplets.

    Source: Schroff, Kalenichenko, Philbin, "FaceNet", CVPR 2015, section 3.1; the
    paper mines semi-hard triplets, here all of a batch count.
    """
    cosines, same, other = compared_pairs(features, labels)
    squared = (2 - 2 * cosines).expand_as(same)
    order = squared.detach().masked_fill(~other, float("inf")).argsort(2)
    m = squared.new_full(same.shape[:1], margin)
    hinges, _ = hinge_sums(squared, squared.gather(2, order), same, other.gather(2, order), m)
    triplets = (same.sum(2) * other.sum(2)).sum(1)  # |T_j|
    return (hinges.sum(1) / triplets.clamp(min=1)).sum()
