"""Random changes of a batch of images: what is drawn for each, and what that does to its pixels.

One vectorised call for the whole batch; on a CPU, where starting a call costs little, a loop over the images
where that is faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from longtail.images.normalise import scale_and_shift

Shape = tuple[int, ...]
"""(N, C, H, W)."""


@dataclass(frozen=True)
class Share:
    """Which images of a batch are here: those of one process, dealt in turn.

    Attributes:
        process: image i here is image i · processes + process of the batch.
        processes: that the batch is dealt to.
    """

    process: int = 0
    processes: int = 1

    def drawn(
        self, draw: Callable[[Shape, Generator], tuple[Tensor, ...]], shape: Shape, generator: Generator
    ) -> tuple[Tensor, ...]:
        """What is drawn for images of this shape (N, C, H, W): their share of the numbers of the batch.

        So an image is changed alike, however many processes there are.
        """
        numbers = draw((shape[0] * self.processes, *shape[1:]), generator)
        return tuple(own[self.process :: self.processes] for own in numbers)


ALL = Share()
"""Of a batch that one process has."""


@dataclass(frozen=True)
class Step:
    """A random change.

    Attributes:
        draw: shape (N, C, H, W) of images and a generator -> numbers (N,) on the generator's device; how
            many random numbers they take hangs on N alone.
        change: images in 0..255 and their numbers -> images in 0..255, each changed by its own.
    """

    draw: Callable[[Shape, Generator], tuple[Tensor, ...]]
    change: Callable[..., Tensor]

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """(N, C, H, W) in 0..255 and a generator -> (N, C, H, W) in 0..255."""
        return self.change(images, *self.numbers(images, generator))

    def numbers(self, images: Tensor, generator: Generator, share: Share = ALL) -> tuple[Tensor, ...]:
        """What `draw` gives, on the device of the images: computed there, a rounding could differ."""
        drawn = share.drawn(self.draw, images.shape, generator)
        return tuple(numbers.to(images.device) for numbers in drawn)


CROP_AREA = (0.35, 1.0)
"""Share of the image that a random crop keeps."""
CROP_RATIO = (3 / 4, 4 / 3)
"""How much wider, relative to its height, a random crop is than the image."""
JITTER = 0.2
"""Brightness, contrast and saturation are multiplied by 1 - JITTER .. 1 + JITTER."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R 601)."""


def _draw_crop(shape: Shape, generator: Generator) -> tuple[Tensor, ...]:
    area = _uniform(shape[0], *CROP_AREA, generator)
    ratio = _uniform(shape[0], math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1]), generator).exp()
    top, height = _placed((area / ratio).sqrt(), shape[-2], generator)
    left, width = _placed((area * ratio).sqrt(), shape[-1], generator)
    return top, left, height, width


def _placed(share: Tensor, length: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Start and extent (N,) in whole pixels of a share of a side, at least one, anywhere inside."""
    extent = (share * length).round().long().clamp(1, length)
    room = length - extent
    start = (_uniform(len(share), 0, 1, generator) * (room + 1)).long()
    return torch.minimum(start, room), extent  # a number just below 1 times the places may round up


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Images with those mirrored left to right for which `mirrored` (N,) bool is true."""
    if images.device.type != "cpu":
        return torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    result = images.clone()
    for k in mirrored.nonzero().flatten().tolist():  # `where` looks at every pixel of every image
        result[k] = images[k].flip(-1)
    return result


def shift(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Image n moved down by down[n] and right by right[n] pixels; what comes in is the reflection.

    Args:
        images: (N, C, H, W) of any type.
        down: (N,) int64 with |down| < H.
        right: (N,) int64 with |right| < W.
    """
    n, channels, height, width = images.shape
    rows = _reflected(height, down)
    columns = _reflected(width, right)
    # One index a pixel, shared by the channels: several times faster than indexing rows, then columns.
    source = (rows[:, :, None] * width + columns[:, None, :]).reshape(n, 1, height * width)
    moved = images.flatten(2).gather(2, source.expand(n, channels, height * width))
    return moved.view_as(images)


def _reflected(length: int, offset: Tensor) -> Tensor:
    """(N, length): where every pixel of a line moved by offset (N,) comes from; the edge is not repeated."""
    source = torch.arange(length, device=offset.device) - offset[:, None]
    return (length - 1) - ((length - 1) - source.abs()).abs()


def crop(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """The rectangle of image n, enlarged to the image's size by bilinear interpolation.

    Output pixel i of H shows the input at y = top + height (i + ½) / H - ½; likewise in x. Where a
    neighbour lies beyond the rectangle, its edge pixel stands in. No antialiasing: a crop is never
    reduced. Devices agree within one grey level.

    Args:
        images: (N, C, H, W) uint8.
        top, left, height, width: (N,) int64, whole pixels inside the image; height, width >= 1.

    Returns:
        (N, C, H, W) uint8, rounded.
    """
    way = _crop_each if images.device.type == "cpu" else _crop_together
    return way(images, top, left, height, width)


def _crop_each(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    # One image at a time: torch resamples 8 bits with whole numbers several times as fast as
    # `grid_sample` does floats, but all images of a call from one rectangle. It does so only where
    # antialiasing is asked for, which changes nothing when enlarging, and best with channels last.
    images = images.contiguous(memory_format=torch.channels_last)
    result = torch.empty(images.shape, dtype=torch.uint8)
    places = torch.stack([top, top + height, left, left + width], dim=1).tolist()
    for k, (first_row, end_row, first_column, end_column) in enumerate(places):
        part = images[k : k + 1, :, first_row:end_row, first_column:end_column]
        result[k] = F.interpolate(part, images.shape[2:], mode="bilinear", antialias=True)[0]
    return result


def _crop_together(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    n, _, rows, columns = images.shape
    y = _sampled_at(rows, top, height)[:, :, None].expand(n, rows, columns)
    x = _sampled_at(columns, left, width)[:, None, :].expand(n, rows, columns)
    grid = torch.stack([x, y], dim=-1)
    sampled = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.round_().byte()


def _sampled_at(length: int, start: Tensor, extent: Tensor) -> Tensor:
    """(N, length) sampling points in the coordinates of `grid_sample`: -1 and 1 are the image's edges."""
    centres = (torch.arange(length, device=start.device) + 0.5) / length
    # Half a pixel inside the rectangle lie the centres of its outermost pixels.
    inside = (extent[:, None] * centres).clamp(min=0.5).minimum(extent[:, None] - 0.5)
    return (start[:, None] + inside) * (2 / length) - 1


def adjust_colour(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Images whose brightness, then saturation, then contrast is multiplied by a factor.

    x ← b x;  x ← g + s (x - g), g the grey value of the pixel;  x ← m + c (x - m), m the mean grey value
    of the image; clamped to 0..255 at the end. An image of one channel has no saturation to change. All
    of it is one matrix for the channels of an image's pixels, and one number to add.

    Args:
        images: (N, C, H, W) in 0..255, C = 3 or 1.
        brightness, saturation, contrast: (N,) factors; 1 changes nothing.

    Returns:
        (N, C, H, W) float32 in 0..255.
    """
    pixels = _planes(images)
    matrix, offset = _colour_map(pixels, brightness, saturation, contrast)
    changed = _mapped(pixels, matrix, offset, [(0, 255)] * pixels.shape[1])
    return changed.view(images.shape)


def adjust_and_normalise(
    images: Tensor,
    brightness: Tensor,
    saturation: Tensor,
    contrast: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    result: Tensor,
) -> None:
    """`adjust_colour`, then `normalise` into `result` (N, C, H, W), in one pass over the pixels.

    With `normalise` x ← s x - o: clamp(M x + t, 0, 255) s - o = clamp(s M x + s t - o, -o, 255 s - o).
    """
    pixels = _planes(images)
    matrix, offset = _colour_map(pixels, brightness, saturation, contrast)
    scale, shift = scale_and_shift(mean, std, images)
    bounds = [(-m / d, (1 - m) / d) for m, d in zip(mean, std, strict=True)]
    _mapped(pixels, scale * matrix, scale * offset - shift, bounds, result.flatten(2))


def _planes(images: Tensor) -> Tensor:
    """(N, C, H W) float32, each channel's pixels side by side."""
    return images.contiguous().flatten(2).float()


def _colour_map(
    pixels: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor
) -> tuple[Tensor, Tensor]:
    """Matrix (N, C, C) and offset (N, 1, 1) that `adjust_colour` applies to pixels (N, C, H W)."""
    channels = pixels.shape[1]
    luma = torch.tensor(LUMA if channels == 3 else [1.0], device=pixels.device)
    mean = brightness * (pixels.mean(2) @ luma)  # unchanged by the saturation
    colour = torch.lerp(
        luma.expand(channels, channels), torch.eye(channels, device=pixels.device), saturation[:, None, None]
    )
    return (contrast * brightness)[:, None, None] * colour, ((1 - contrast) * mean)[:, None, None]


def _mapped(
    pixels: Tensor,
    matrix: Tensor,
    offset: Tensor,
    bounds: Sequence[tuple[float, float]],
    out: Tensor | None = None,
) -> Tensor:
    """matrix @ pixels + offset, every channel clamped to its bounds."""
    changed = torch.baddbmm(offset, matrix, pixels, out=out)
    for channel, (low, high) in zip(changed.unbind(1), bounds, strict=True):
        channel.clamp_(low, high)  # several times as fast as one call with tensors as bounds
    return changed


random_flip = Step(lambda shape, rng: (_uniform(shape[0], 0, 1, rng) < 0.5,), flip)
"""Mirrors every image left to right with probability 1/2."""

random_shift = Step(
    lambda shape, rng: tuple(_integers(shape[0], length // 8, rng) for length in shape[-2:]), shift
)
"""Moves every image by up to an eighth of its height and width, uniformly (pad by reflection, crop)."""

random_crop = Step(_draw_crop, crop)
"""Enlarges a random part of every image, a rectangle of whole pixels, to the image's size.

Its area is uniform in `CROP_AREA`, the logarithm of its aspect relative to the image's uniform in
`CROP_RATIO`, but for the rounding; a side longer than the image's is cut to it. Its place is uniform.
"""

random_colour = Step(
    lambda shape, rng: tuple(_uniform(shape[0], 1 - JITTER, 1 + JITTER, rng) for _ in range(3)), adjust_colour
)
"""Changes brightness, saturation and contrast of every image, each by up to `JITTER`."""


def _uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """(n,) numbers in low..high."""
    return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)


def _integers(n: int, most: int, generator: Generator) -> Tensor:
    """(n,) whole numbers in -most..most."""
    return torch.randint(-most, most + 1, (n,), generator=generator, device=generator.device)
