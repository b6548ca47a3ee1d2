"""Contrastive loss over all pairs of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.losses.vectors import compared_pairs
from longtail.tensors import masked_mean


def contrastive(features: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Pull images of one class together and push two classes apart; each side is averaged on its own.

        l = Σ_j ½ ( 1/|P+| Σ_{P+} d²  +  1/|P-| Σ_{P-} max(m - d, 0)² ),     d = ‖f_a - f_b‖₂, ‖f‖ = 1

    P+ and P- are the pairs of two labelled images of attribute j. A side without pairs adds 0,
    connected to the graph. Two images at the same point are not pushed apart: there is no
    direction to push them.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes; brought to
            unit length here.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        margin: m, on plain distances, which reach 2; 1.0 is the customary value.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Source: Hadsell, Chopra, LeCun, CVPR 2006, eq. 4, with the two means of Dong, Gong, Zhu,
    TPAMI 2019, eq. 13.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.875, 0.484123]])  # half a unit apart
        >>> contrastive(features, torch.tensor([0, 1]))
        tensor(0.1250)
    """
    cosines, same, other = compared_pairs(features, labels)
    squared = 2 - 2 * cosines
    # √ has no gradient at 0, and the clamp gives none to what rounding left at or below it
    distance = squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
    near = masked_mean(squared, same, (1, 2))
    far = masked_mean((margin - distance).clamp(min=0).square(), other, (1, 2))
    return 0.5 * (near + far).sum()
