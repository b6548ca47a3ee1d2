"""A four-layer convolutional network for small images and small machines."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu


class ConvNet(nn.Module):
    """Four 3×3 convolutions (32, 64, 128, 128) with batch normalisation, halving the image each time.

    About 0.25 M parameters. Images from 8×8 up; (N, channels, H, W) -> (N, 128), the mean over
    what is left of the plane.
    """

    out_features = 128

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        widths = (channels, 32, 64, 128, 128)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after))
            for before, after in pairwise(widths)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 128)."""
        return self.mapped(images)[0]

    def mapped(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors (N, 128), and the map that they are the mean of, (N, 128, H', W')."""
        for stage in self.stages:
            images = stage(images)
            if min(images.shape[2:]) >= 2:
                images = max_pool2d(images, 2)
            images = relu(images)  # after the pooling: the same numbers from a quarter of the work
        return images.mean((2, 3)), images
