"""How a head reads the vectors of a known backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from longtail.models.backbones import VECTOR_LENGTH

ROUNDING = 2**-6
"""Share of |μ| that joins σ: 64 times what half precision, which vectors are kept in, rounds at most."""

LEAST = 1e-3
"""Joins every σ, which is about 0.01: in units of a channel that never varies rounding would be a look."""


class Reading(nn.Module):
    """Vectors x = [v, u] of a known backbone, brought to one length; looks u count in units of their own.

        L [v / ‖v‖, ũ / ‖ũ‖] / √2,     ũ = (u / ‖u‖ - μ) / σ,     or L x / ‖x‖ where there are no looks

    μ and σ are mean and deviation of u / ‖u‖ over images that `fit` was given, 0 and 1 before; σ² has
    `ROUNDING`² μ² and `LEAST`² in it, so that what hardly varies is not all rounding.

    Args:
        looks: length of u, the last numbers of x.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, looks: int = 0) -> None:
        super().__init__()
        self.looks = looks
        self.register_buffer("mean", torch.zeros(looks), persistent=looks > 0)
        self.register_buffer("deviation", torch.ones(looks), persistent=looks > 0)

    def fit(self, vectors: Tensor) -> None:
        """Take μ and σ from vectors (n, B) of at least one image."""
        looks = normalize(vectors[:, vectors.shape[1] - self.looks :].to(self.mean))
        mean = looks.mean(0)
        variance = (looks - mean).square().mean(0)
        self.mean.copy_(mean)
        self.deviation.copy_((variance + (ROUNDING * mean).square() + LEAST**2).sqrt())

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, B) -> (N, B) of length L, `VECTOR_LENGTH`."""
        if not self.looks:
            return VECTOR_LENGTH * normalize(vectors)
        v, u = vectors.split([vectors.shape[1] - self.looks, self.looks], 1)
        u = (normalize(u) - self.mean) / self.deviation
        return VECTOR_LENGTH / 2**0.5 * torch.cat([normalize(v), normalize(u)], 1)
