"""Histogram loss over all pairs of a batch."""

from __future__ import annotations

from torch import Tensor

from longtail.losses.vectors import compared_pairs
from longtail.tensors import soft_histogram


def histogram(features: Tensor, labels: Tensor, nodes: int = 201) -> Tensor:
    """The probability that a pair of two classes is at least as similar as a pair of one class.

        l = Σ_j Σ_r h_r⁻ φ_r⁺,     φ_r⁺ = Σ_{q ≤ r} h_q⁺     ≈  Σ_j P(s₊ ≤ s₋)

    h⁺ and h⁻ are the cosine similarities of the pairs of one class and of two classes, on R nodes
    over [-1, 1]. φ⁺ includes its own node, so that two equal histograms h cost ½ + ½ Σ h_r², not
    ½. A pair has a gradient only where the other histogram has mass beside it: if both lie apart
    in the wrong order the loss is 1 and flat. An attribute without pairs on either side adds 0,
    connected to the graph.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        nodes: R; 201 as in the authors' released network, for batches of 128 or 256. With few
            pairs of a kind take fewer: of 16 random ones each, 86 % have no gradient at 201 nodes
            and 21 % at 21.

    Raises:
        TypeError, ValueError: when types or shapes do not fit, or there are fewer than two nodes.

    Source: Ustinova and Lempitsky, "Learning Deep Embeddings with Histogram Loss", NIPS 2016,
    section 3.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> histogram(features, torch.tensor([0, 0, 1])), histogram(features, torch.tensor([0, 1, 0]))
        (tensor(0.), tensor(1.))
    """
    if nodes < 2:
        raise ValueError(f"nodes: expected at least 2, got {nodes}")
    similarity, same, other = (table.flatten(1) for table in compared_pairs(features, labels))  # (J, N²)
    similarity = similarity.expand_as(same)
    zero = similarity.new_zeros(())
    positive = soft_histogram(similarity, same, zero - 1, zero + 1, nodes)
    negative = soft_histogram(similarity, other, zero - 1, zero + 1, nodes)
    return (negative * positive.cumsum(1)).sum()
