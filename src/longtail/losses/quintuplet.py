"""Large margin local embedding: the triple-header hinge loss on quintuplets."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.ranks import batch_mean
from longtail.tensors import unit_vectors


def quintuplet(
    embeddings: Tensor, valid: Tensor, margins: tuple[float, float, float] = (0.05, 0.05, 0.2)
) -> Tensor:
    """Keep the clusters of a class apart from each other, and the classes farther apart.

        l = 1/B Σ  max(0, g₁ + D(x, p⁺)  - D(x, p⁻))
                 + max(0, g₂ + D(x, p⁻)  - D(x, p⁻⁻))
                 + max(0, g₃ + D(x, p⁻⁻) - D(x, n)),     D(a, b) = ‖f_a - f_b‖²,  ‖f‖ = 1

    A hinge counts where both of its partners exist. In a class of a single cluster p⁻ and p⁻⁻ do
    not; p⁺ then takes the place of p⁻⁻ in the third hinge. B is the number of rows with at least
    one hinge; without any the value is 0, connected to the graph.

    Args:
        embeddings: (5, B, D) float: x, p⁺ (farthest of its cluster), p⁻ (nearest of another
            cluster of its class), p⁻⁻ (farthest of another cluster of its class), n (nearest of
            another class); brought to unit length here. Rows that do not exist hold anything finite.
        valid: (5, B) bool, which of them exist.
        margins: g₁, g₂, g₃ on squared distances, which reach 4. The defaults are a guess:
            the values that the paper used are not known here.

    Raises:
        ValueError: when the shapes do not fit.

    Source: Huang, Li, Loy, Tang, "Learning Deep Representation for Imbalanced Classification",
    CVPR 2016, eq. 2, whose sum is taken as a mean; the weight decay of eq. 2 belongs to the optimiser.
    """
    if embeddings.ndim != 3 or embeddings.shape[0] != 5 or valid.shape != embeddings.shape[:2]:
        raise ValueError(
            "embeddings, valid: expected shapes (5, B, D) and (5, B), "
            f"got {tuple(embeddings.shape)} and {tuple(valid.shape)}"
        )
    g1, g2, g3 = margins
    unit = unit_vectors(embeddings)
    d_near, d_next, d_far, d_other = (unit[1:] - unit[0]).square().sum(2).unbind()
    near, nxt, far, other = (valid[1:] & valid[0]).unbind()
    single_cluster = ~nxt & ~far
    d_last = torch.where(single_cluster, d_near, d_far)
    last = torch.where(single_cluster, near, far)
    hinges = torch.stack([g1 + d_near - d_next, g2 + d_next - d_far, g3 + d_last - d_other]).clamp(min=0)
    counts = torch.stack([near & nxt, nxt & far, last & other])
    return batch_mean((hinges * counts).sum(0), counts.any(0))
