"""What every model gives."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """Scores of a batch and the features they were computed from.

    Attributes:
        logits: (N, J, K) float, -inf where an attribute lacks a class.
        features: (N, J, D) float, or (N, 1, D) when all attributes share one vector.
        vector: (N, B) float, what the backbone gives and all attributes start from.
    """

    logits: Tensor
    features: Tensor
    vector: Tensor
