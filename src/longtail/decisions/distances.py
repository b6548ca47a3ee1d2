"""Distances that decide."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.tensors import full_precision

DIAMETER = 4.0
"""The largest squared distance of two unit vectors."""


def squared_distances(features: Tensor, others: Tensor) -> Tensor:
    """D(f, m) = ‖f - m‖₂² = 2 - 2 f·m of unit vectors, in at least float32 also under autocast.

    Half precision would not tell near neighbours apart: next to f·m = 1 it steps by 0.0005 at best.

    Args:
        features: (N, J, D) or (N, 1, D) float.
        others: (J, M, D) or (1, M, D) float.

    Returns:
        (J, N, M), or (1, N, M) where both are shared by all attributes; within [0, 4].
    """
    features, others = full_precision(features), full_precision(others)
    with torch.autocast(features.device.type, enabled=False):
        cosine = features.transpose(0, 1) @ others.transpose(1, 2)
    return (2 - 2 * cosine).clamp(0.0, DIAMETER)  # torch.onnx takes no 0 beside a number with a point
