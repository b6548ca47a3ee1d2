"""Images to change."""

from __future__ import annotations

import torch

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, channels: int = 3, height: int = 16, width: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, height, width), generator=seeded(seed), dtype=torch.uint8)


def numbered(n: int, height: int, width: int) -> torch.Tensor:
    """Images in which every pixel has its own value."""
    return torch.arange(height * width, dtype=torch.uint8).reshape(1, 1, height, width).expand(n, 1, -1, -1)
