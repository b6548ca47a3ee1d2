"""What the losses on features share: unit vectors, their similarities, and which pairs are of one class."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.tensors import full_precision

SHORTEST = 1e-12
"""Below this length a vector has no direction."""


def unit_vectors(vectors: Tensor) -> Tensor:
    """x / ‖x‖₂ along the last dimension, in at least float32.

    A vector without a direction becomes 0 and has no gradient: dividing by a small constant
    instead would multiply its gradient by the inverse of that constant.
    """
    vectors = full_precision(vectors)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.masked_fill(length < SHORTEST, float("inf"))


def cosine_similarities(features: Tensor) -> Tensor:
    """Cosines between all vectors of an attribute; rounding may take them a little beyond ±1.

    Args:
        features: (N, J, D) or (N, 1, D) float.

    Returns:
        (J, N, N) or (1, N, N), at least float32, also under autocast.
    """
    unit = unit_vectors(features).transpose(0, 1)
    with torch.autocast(unit.device.type, enabled=False):
        return unit @ unit.transpose(1, 2)


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which two different labelled images share a class, and which do not; both orders of a pair.

    Args:
        labels: (N, J) int64, -1 = unlabelled.

    Returns:
        Two (J, N, N) bool.
    """
    by_attribute = labels.t()
    equal = by_attribute[:, :, None] == by_attribute[:, None, :]
    labelled = (by_attribute[:, :, None] >= 0) & (by_attribute[:, None, :] >= 0)
    itself = torch.eye(labels.shape[0], dtype=torch.bool, device=labels.device)
    return equal & labelled & ~itself, ~equal & labelled
