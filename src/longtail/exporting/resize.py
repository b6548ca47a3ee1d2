"""The resizing of `longtail.images.decode` in operators that ONNX has, equal to the last rounding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

FINEST = 22
"""Most bits of a weight, as torch has them for images of 8 bits."""

LIMIT = 2**15
"""Weights stay below it, as torch's do, which have 16 bits."""

LOW = 2.0**7
"""A weight is `LOW` times its upper part and a lower part: products of either with pixels, and their sums,
are whole numbers that float32 holds, in any order of summation, for reductions up to 250-fold."""


class Resize(nn.Module):
    """Images of any size -> of one size, as `decode` brings decoded pixels to it.

    The largest centred rectangle with the aspect of the result is resampled, bilinear and antialiased, first
    along rows, then along columns, each time rounded to 8 bits. Along one side that is a product with

        w_ip ∝ max(0, 1 - |p - left + ½ - s (i + ½)| / max(s, 1)),     s = crop / size,     Σ_p w_ip = 1

    where pixels p outside of the rectangle weigh nothing, and w is rounded to the fixed point of torch's
    kernel for 8 bits. torch's kernel is not for ONNX, and ONNX's own Resize rounds otherwise.

    Args:
        size: (height, width) of the result.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, C) uint8 -> (N, C, height, width) uint8."""
        sides = [torch.scalar_tensor(side, dtype=torch.float64) for side in images.shape[1:3]]
        scale = torch.minimum(sides[0] / self.size[0], sides[1] / self.size[1])
        rows, columns = (
            _along(side, scale, out, pixels)
            for side, out, pixels in zip(sides, self.size, images.shape[1:3], strict=True)
        )
        planes = images.permute(0, 3, 1, 2).float()
        narrow = _rounded(planes @ columns.upper.T, planes @ columns.lower.T, columns.unit)
        return _rounded(rows.upper @ narrow, rows.lower @ narrow, rows.unit).to(torch.uint8)


class _Weights(NamedTuple):
    """How much each of P pixels counts: w = (LOW · upper + lower) / (LOW · unit).

    Attributes:
        upper, lower: (size, P) float32, whole numbers.
        unit: scalar.
    """

    upper: Tensor
    lower: Tensor
    unit: Tensor


def _along(side: Tensor, scale: Tensor, size: int, pixels: int) -> _Weights:
    """Weights along a side: of `pixels` pixels, also as a tensor, brought to `size`."""
    crop = torch.minimum(torch.round(size * scale).clamp(min=1), side)
    left = torch.floor((side - crop) / 2)
    step = crop / size
    centre = step * (torch.arange(size, dtype=torch.float64) + 0.5)
    place = torch.arange(pixels, dtype=torch.float64) - left
    share = 1 - ((place - centre[:, None] + 0.5) / step.clamp(min=1)).abs()
    share = torch.where((place >= 0) & (place < crop), share.clamp(min=0), 0)
    return _fixed_point(share / share.sum(1, keepdim=True))


def _fixed_point(shares: Tensor) -> _Weights:
    """Shares in the most bits with which the largest of them stays below `LIMIT`."""
    units = 2.0 ** torch.arange(1, FINEST + 1, dtype=torch.float64)
    bits = (torch.floor(shares.max() * units + 0.5) < LIMIT).to(torch.float64).sum()
    unit = 2.0**bits
    whole = torch.floor(shares * unit + 0.5)
    upper = torch.floor(whole / LOW)
    return _Weights(upper.float(), (whole - LOW * upper).float(), (unit / LOW).float())


def _rounded(upper: Tensor, lower: Tensor, unit: Tensor) -> Tensor:
    """⌊(LOW · upper + lower) / (LOW · unit) + ½⌋ within 8 bits; every step is exact in float32."""
    return torch.floor((upper + torch.floor(lower / LOW) + unit / 2) / unit).clamp(0, 255)
