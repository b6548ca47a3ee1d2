"""Channels of mean 0 and standard deviation 1: measured on the training images, then applied to all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def normalise(
    images: Tensor,
    mean: Sequence[float] | Tensor,
    std: Sequence[float] | Tensor,
    result: Tensor | None = None,
) -> Tensor:
    """x ← (x / 255 - mean) / std, for every channel.

    Args:
        images: (N, C, H, W) uint8, or floating point in 0..255.
        mean, std: (C,) on the scale where white is 1.
        result: where to write it; memory of its own when left out.

    Returns:
        (N, C, H, W) float32.
    """
    scale, shift = scale_and_shift(mean, std, images)
    # One channel behind the other: a channel's number then goes with many pixels in a row.
    return torch.mul(images.contiguous(), scale[:, None], out=result).sub_(shift[:, None])


def scale_and_shift(
    mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor, images: Tensor
) -> tuple[Tensor, Tensor]:
    """(C, 1) each, with which `normalise` is x ← scale x - shift."""
    mean = torch.as_tensor(mean, dtype=torch.float32, device=images.device)
    std = torch.as_tensor(std, dtype=torch.float32, device=images.device)
    return (1 / (255 * std))[:, None], (mean / std)[:, None]


def measure_normalisation(batches: Iterable[Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel over all pixels, for `normalise`.

    Sums are whole numbers: the result depends neither on the order nor on the grouping of the images.
    A standard deviation below 1/255, one grey level, is raised to it: a constant channel divides by it.

    Args:
        batches: tensors (N, C, H, W) uint8.

    Returns:
        mean and std, C numbers each, on the scale where white is 1.

    Raises:
        ValueError: when there is no pixel.
    """
    pixels, total, squares = 0, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    for images in batches:
        values = images.transpose(0, 1).flatten(1).long().cpu()
        pixels += values.shape[1]
        total, squares = total + values.sum(1), squares + values.square().sum(1)
    if pixels == 0:
        raise ValueError("expected at least one image to measure mean and standard deviation on, got none")
    mean = total.double() / pixels
    std = (squares.double() / pixels - mean.square()).clamp(min=1).sqrt()
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())
