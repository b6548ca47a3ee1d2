"""DeepID2, the face network of the CelebA experiments, and its locally connected layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, relu

from longtail.errors import InputError


class LocallyConnected(nn.Module):
    """A convolution whose weights are shared only between neighbouring positions.

        y[n, o, p, q] = b[r, s, o] + Σ_{c,k,l} w[r, s, o, c, k, l] x[n, c, p + k, q + l]
        with r = ⌊p / region₀⌋ and s = ⌊q / region₁⌋

    A region of (1, 1) shares nothing; one as large as the output is an ordinary convolution
    without padding. Where the regions do not fill the output, the last ones are cut.

    Args:
        in_channels, out_channels: channels before and after.
        kernel: side of the window.
        size: (H, W) of the input.
        region: height and width, in output positions, of the rectangles that share weights.

    Example:
        >>> layer = LocallyConnected(3, 8, 3, (12, 10), region=(2, 2))
        >>> layer(torch.zeros(1, 3, 12, 10)).shape, layer.weight.shape
        (torch.Size([1, 8, 10, 8]), torch.Size([5, 4, 8, 3, 3, 3]))
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, size: tuple[int, int], region: tuple[int, int]
    ) -> None:
        super().__init__()
        self.in_shape = (in_channels, *size)
        self.kernel = kernel
        self.region = region
        self.out_size = (size[0] - kernel + 1, size[1] - kernel + 1)
        self.regions = [-(-o // r) for o, r in zip(self.out_size, region)]
        fan_in = in_channels * kernel**2
        weight = torch.empty(*self.regions, out_channels, in_channels, kernel, kernel)
        self.weight = nn.Parameter(weight.normal_(std=math.sqrt(2 / fan_in)))
        self.bias = nn.Parameter(torch.zeros(*self.regions, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H - kernel + 1, W - kernel + 1).

        Raises:
            ValueError: when x has another shape than the layer was made for.
        """
        if x.shape[1:] != self.in_shape:
            raise ValueError(f"x: expected shape (N, *{self.in_shape}), got {tuple(x.shape)}")
        # zeros below and to the right make the last regions whole
        below, right = (n * r - o for n, r, o in zip(self.regions, self.region, self.out_size))
        windows = pad(x, (0, right, 0, below)).unfold(2, self.kernel, 1).unfold(3, self.kernel, 1)
        windows = windows.unflatten(3, (-1, self.region[1])).unflatten(2, (-1, self.region[0]))
        y = torch.einsum("ncrasbkl,rsockl->norasb", windows, self.weight)
        y = y + self.bias.to(y.dtype).permute(2, 0, 1)[:, :, None, :, None]
        return y.flatten(4, 5).flatten(2, 3)[:, :, : self.out_size[0], : self.out_size[1]]


class DeepID2(nn.Module):
    """Four convolutions and a 160-d vector that sees the last two of them.

    ======  ===========================================  ===========
    layer   weights                                      at 55×47
    ======  ===========================================  ===========
    conv1   4×4, 20 maps, then pooled by 2               20×26×22
    conv2   3×3, 40 maps, then pooled by 2               40×12×10
    conv3   3×3, 60 maps, shared in 2×2, pooled by 2     60×5×4
    conv4   2×2, 80 maps, unshared                       80×4×3
    vector  fully connected to pooled conv3 and conv4    160
    ======  ===========================================  ===========

    relu after every layer, no padding, no normalisation, no dropout; 1,018,540 parameters.
    (N, channels, H, W) -> (N, 160). The initial weights (He's) are ours. Nothing normalises, so that
    a learning rate of 0.05 with momentum 0.9 kills the relus; 0.01, or gradients clipped at 1, trains.

    Args:
        channels: of the images.
        size: (H, W) of the images; the paper's 55×47 by default.
        region: positions of conv3 that share weights. The paper says "in every 2×2 local regions":
            read as regions of 2×2 positions, 5×4 of them with 433,200 weights. Read as two by two
            regions it would be (5, 4), with 86,640.

    Raises:
        InputError: when the images are smaller than 31×31.

    Source: Sun, Chen, Wang and Tang, NIPS 2014, figure 1.
    """

    out_features = 160

    def __init__(
        self, channels: int = 3, size: tuple[int, int] = (55, 47), region: tuple[int, int] = (2, 2)
    ) -> None:
        super().__init__()
        if min(size) < 31:
            raise InputError(
                f"--image-size: deepid2 expected at least 31x31, got {size[0]}x{size[1]}; give a larger size "
                "or another --backbone"
            )
        third = _halved(_halved(size, 3), 2)
        fourth = _halved(third, 2)
        self.convolution1 = nn.Conv2d(channels, 20, 4)
        self.convolution2 = nn.Conv2d(20, 40, 3)
        self.convolution3 = LocallyConnected(40, 60, 3, third, region)
        self.convolution4 = LocallyConnected(60, 80, 2, fourth, (1, 1))
        seen = 60 * math.prod(fourth) + 80 * math.prod(self.convolution4.out_size)
        self.vector = nn.Linear(seen, self.out_features)
        for layer in (self.convolution1, self.convolution2, self.vector):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 160)."""
        x = max_pool2d(relu(self.convolution1(images)), 2)
        x = max_pool2d(relu(self.convolution2(x)), 2)
        third = max_pool2d(relu(self.convolution3(x)), 2)
        fourth = relu(self.convolution4(third))
        return relu(self.vector(torch.cat((third.flatten(1), fourth.flatten(1)), 1)))


def _halved(size: tuple[int, int], lost: int) -> tuple[int, int]:
    """Height and width after a convolution that loses `lost` and a pooling by 2."""
    return (size[0] - lost) // 2, (size[1] - lost) // 2
