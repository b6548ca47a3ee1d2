"""The network-in-network trunk of MTCT, the clothing network of the X-Domain experiments."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class NINTrunk(nn.Module):
    """Five stacked network-in-network units: a k×k convolution and two of 1×1 each.

    =====  ======================================  ===================
    unit   convolutions                            then
    =====  ======================================  ===================
    1      11×11 of stride 4, unpadded, 96 maps    3×3 maximum, halved
    2      5×5, 256 maps                           3×3 maximum, halved
    3      3×3, 384 maps                           3×3 maximum, halved
    4      3×3, 1024 maps
    5      3×3, 512 maps                           mean over the plane
    =====  ======================================  ===================

    12.9 M parameters; (N, channels, H, W) -> (N, 512), the vector that MTCT calls f_t.

    Units 1 to 4 are those of the published NIN for ImageNet, whose last convolution has 1000 maps
    for its 1000 classes where this has 1024. What is ours, because the paper's value is unknown or
    does not serve: all of unit 5; batch normalisation after every convolution, without which the
    loss did not fall in the first 60 steps at a learning rate of 0.005, 0.01 or 0.05; on images
    whose shorter side is below 96 a first convolution of 5×5, padded, of stride 2 or, below 48,
    of stride 1; and no halving of a plane whose shorter side is 1.

    Args:
        channels: of the images.
        size: (H, W) of the images, which chooses the first convolution.

    Source: Dong, Gong and Zhu, WACV 2017; Lin, Chen and Yan, ICLR 2014.
    """

    out_features = 512

    def __init__(self, channels: int = 3, size: tuple[int, int] = (224, 224)) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            [
                _first_unit(channels, min(size)),
                _unit(96, 256, 5),
                _unit(256, 384, 3),
                _unit(384, 1024, 3),
                _unit(1024, 512, 3),
            ]
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 512)."""
        x = images
        for position, unit in enumerate(self.units):
            x = unit(x)
            if position < 3 and min(x.shape[2:]) >= 2:
                x = max_pool2d(x, 3, 2, ceil_mode=True)
        return x.mean((2, 3))


def _first_unit(channels: int, side: int) -> nn.Sequential:
    if side >= 96:
        return _unit(channels, 96, 11, stride=4, padding=0)
    return _unit(channels, 96, 5, stride=1 if side < 48 else 2)


def _unit(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int | None = None
) -> nn.Sequential:
    padding = kernel // 2 if padding is None else padding
    return nn.Sequential(
        *_layer(nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)),
        *_layer(nn.Conv2d(out_channels, out_channels, 1, bias=False)),
        *_layer(nn.Conv2d(out_channels, out_channels, 1, bias=False)),
    )


def _layer(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()
