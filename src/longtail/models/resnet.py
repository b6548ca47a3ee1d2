"""Residual networks: ResNet-32 for small images, ResNet-18 for photos."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import pad, relu


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Args:
        in_channels, out_channels: channels before and after.
        stride: of the first convolution.
        projection: how the shortcut changes shape: True by a 1×1 convolution, False by taking
            every second pixel and filling new channels with zeros, which has no parameters.

    Source: He et al., CVPR 2016, section 3.3 (options B and A).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.convolution2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.new_channels = out_channels - in_channels
        self.shortcut: nn.Module | None = None
        if projection and (stride != 1 or self.new_channels):
            convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H / stride, W / stride)."""
        residual = self.norm2(self.convolution2(relu(self.norm1(self.convolution1(x)))))
        return relu(residual + self._carry(x))

    def _carry(self, x: Tensor) -> Tensor:
        if self.shortcut is not None:
            return cast(Tensor, self.shortcut(x))
        if self.stride == 1 and not self.new_channels:
            return x
        before = self.new_channels // 2
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))


class ResNet(nn.Module):
    """A stem, stages of blocks, and the mean over what is left of the plane.

    Args:
        stem: images to `widths[0]` channels.
        widths: channels after the stem and after each stage; all stages but the first halve the plane.
        blocks: of each stage.
        projection: see `BasicBlock`.
    """

    def __init__(self, stem: nn.Sequential, widths: tuple[int, ...], blocks: int, projection: bool) -> None:
        super().__init__()
        self.out_features = widths[-1]
        self.stem = stem
        self._blocks = blocks
        layers: list[nn.Module] = []
        for stage, (before, width) in enumerate(pairwise(widths)):
            layers.append(BasicBlock(before, width, 1 if stage == 0 else 2, projection))
            layers += [BasicBlock(width, width, 1, projection) for _ in range(blocks - 1)]
        self.stages = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, widths[-1])."""
        return self.mapped(images)[0]

    def mapped(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors (N, widths[-1]), and the map that they are the mean of, (N, widths[-1], H', W')."""
        maps = self.stages(self.stem(images))
        return maps.mean((2, 3)), maps

    def halves(self, images: Tensor) -> tuple[nn.Module, nn.Module]:  # noqa: ARG002
        """Images -> maps before the last stage, and maps -> vectors."""
        stages, kept = [*self.stages], len(self.stages) - self._blocks
        return (
            nn.Sequential(self.stem, *stages[:kept]),
            nn.Sequential(*stages[kept:], nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )


def resnet32(channels: int = 3) -> ResNet:
    """The ResNet-32 of the CIFAR experiments: 3 stages of 5 blocks, 16-32-64 channels.

    0.46 M parameters with a 10-class layer on top.

    Source: He et al., CVPR 2016, section 4.2.
    """
    stem = nn.Sequential(nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return ResNet(stem, (16, 16, 32, 64), blocks=5, projection=False)


def resnet18(channels: int = 3) -> ResNet:
    """ResNet-18 for photos: a 7×7 stem, then 4 stages of 2 blocks, 64-128-256-512 channels.

    11.2 M parameters.

    Source: He et al., CVPR 2016, table 1.
    """
    convolution = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    stem = nn.Sequential(convolution, nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return ResNet(stem, (64, 64, 128, 256, 512), blocks=2, projection=True)
