"""What the losses on features share: unit vectors, their similarities, and which pairs are of one class."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.schema import as_features, as_labels
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


def compared_pairs(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines of all images of a batch with each other, which pairs share a class, and which do not.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.

    Returns:
        (J, N, N) or (1, N, N), at least float32 also under autocast; rounding may take cosines a little
        beyond ±1. Two (J, N, N) bool: both orders of the pairs of two labelled images.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.
    """
    labels = as_labels(labels)
    unit = unit_vectors(as_features(features, labels)).transpose(0, 1)
    with torch.autocast(unit.device.type, enabled=False):
        cosines = unit @ unit.transpose(1, 2)
    columns = labels.t()
    equal = columns[:, :, None] == columns[:, None, :]
    labelled = (columns[:, :, None] >= 0) & (columns[:, None, :] >= 0)
    itself = torch.eye(labels.shape[0], dtype=torch.bool, device=labels.device)
    return cosines, equal & labelled & ~itself, ~equal & labelled
