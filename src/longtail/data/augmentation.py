"""Random changes of a whole batch on its device, and the normalisation behind them.

Every random number is drawn from the caller's generator, a fixed number of them a batch: with a CPU
generator seeded by (seed, epoch, step) a batch is changed alike on every device and with any number of
workers. One vectorised call a step, no loop over images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from longtail.errors import InputError


class Step(NamedTuple):
    """A random change.

    Attributes:
        draw: images (N, C, H, W) and a generator -> numbers (N,), whose count hangs on N alone.
        change: images in 0..255 and their numbers -> images in 0..255, each changed by its own.
    """

    draw: Callable[[Tensor, Generator], tuple[Tensor, ...]]
    change: Callable[..., Tensor]

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """(N, C, H, W) in 0..255 and a generator -> (N, C, H, W) in 0..255."""
        return self.change(images, *self.draw(images, generator))


PIECE = 16
"""Images that are changed at a time on a CPU."""

CROP_AREA = (0.35, 1.0)
"""Share of the image that a random crop keeps."""
CROP_RATIO = (3 / 4, 4 / 3)
"""How much wider, relative to its height, a random crop is than the image."""
JITTER = 0.2
"""Brightness, contrast and saturation are multiplied by 1 - JITTER .. 1 + JITTER."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R 601)."""


def augment(images: Tensor, name: str, generator: Generator) -> Tensor:
    """A batch changed at random by one of `AUGMENTATIONS`.

    Args:
        images: (N, C, H, W) uint8.
        name: a key of `AUGMENTATIONS`; "none" gives back the same tensor.
        generator: where the random numbers come from; on the CPU for the same result on any device.

    Returns:
        (N, C, H, W) in 0..255: uint8 where pixels only move, float32 where they are interpolated.

    Raises:
        InputError: when there is no augmentation of that name.

    Example:
        >>> images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
        >>> augment(images, "small", torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 8, 8])
    """
    for step in _steps(name):
        images = step(images, generator)
    return images


def augment_and_normalise(
    images: Tensor, name: str, generator: Generator, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """`augment`, then `normalise`: the same numbers, on a CPU a few images at a time.

    The pixels of a whole batch do not fit into a core's cache, and memory for them is asked for anew in
    every step, which takes longer than the arithmetic.

    Args:
        images, name, generator: see `augment`.
        mean, std: see `normalise`.

    Returns:
        (N, C, H, W) float32.

    Raises:
        InputError: as `augment`.
    """
    steps = _steps(name)
    drawn = [step.draw(images, generator) for step in steps]
    size = PIECE if images.device.type == "cpu" else max(1, len(images))
    result = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        piece = images[part]
        for step, numbers in zip(steps, drawn, strict=True):
            piece = step.change(piece, *(number[part] for number in numbers))
        result[part] = normalise(piece, mean, std)
    return result


def _steps(name: str) -> tuple[Step, ...]:
    if name not in AUGMENTATIONS:
        raise InputError(f"augmentation {name!r} is unknown; expected one of {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]


def _draw_flip(images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
    return (_uniform(images, 0, 1, generator) < 0.5,)


def _draw_shift(images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
    return tuple(_integers(images, length // 8, generator) for length in images.shape[-2:])


def _draw_crop(images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
    area = _uniform(images, *CROP_AREA, generator)
    ratio = _uniform(images, math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1]), generator).exp()
    height, width = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
    top = _uniform(images, 0, 1, generator) * (1 - height)
    left = _uniform(images, 0, 1, generator) * (1 - width)
    return top, left, height, width


def _draw_colour(images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
    return tuple(_uniform(images, 1 - JITTER, 1 + JITTER, generator) for _ in range(3))


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Images with those mirrored left to right for which `mirrored` (N,) bool is true."""
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


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

    Output pixel i of H shows the input at y = (top + height (i + ½) / H) H - ½; likewise in x. Where a
    neighbour lies beyond the edge, the edge pixel stands in. No antialiasing: a crop is never reduced.

    Args:
        images: (N, C, H, W) of any type.
        top, left, height, width: (N,) shares of the image's height and width, in 0..1.

    Returns:
        (N, C, H, W) float32.
    """
    n, _, rows, columns = images.shape
    y = _sampled_at(rows, top, height)[:, :, None].expand(n, rows, columns)
    x = _sampled_at(columns, left, width)[:, None, :].expand(n, rows, columns)
    grid = torch.stack([x, y], dim=-1)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sampled_at(length: int, start: Tensor, extent: Tensor) -> Tensor:
    """(N, length) sampling points in the coordinates of `grid_sample`: -1 and 1 are the image's edges."""
    centres = (torch.arange(length, device=start.device) + 0.5) / length
    return 2 * (start[:, None] + extent[:, None] * centres) - 1


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
    channels = images.shape[1]
    pixels = images.flatten(2).float()  # (N, C, HW)
    luma = torch.tensor(LUMA if channels == 3 else [1.0], device=images.device)
    mean = brightness * (pixels.mean(2) @ luma)  # unchanged by the saturation
    colour = torch.lerp(
        luma.expand(channels, channels), torch.eye(channels, device=images.device), saturation[:, None, None]
    )
    matrix = (contrast * brightness)[:, None, None] * colour
    changed = torch.baddbmm(((1 - contrast) * mean)[:, None, None], matrix, pixels)
    return changed.clamp_(0, 255).view_as(images)


random_flip = Step(_draw_flip, flip)
"""Mirrors every image left to right with probability 1/2."""

random_shift = Step(_draw_shift, shift)
"""Moves every image by up to an eighth of its height and width, uniformly (pad by reflection, crop)."""

random_crop = Step(_draw_crop, crop)
"""Enlarges a random part of every image to the image's size.

Its area is uniform in `CROP_AREA`, the logarithm of its aspect relative to the image's uniform in
`CROP_RATIO`; a side longer than the image's is cut to it. Its place is uniform.
"""

random_colour = Step(_draw_colour, adjust_colour)
"""Changes brightness, saturation and contrast of every image, each by up to `JITTER`."""

AUGMENTATIONS: dict[str, tuple[Step, ...]] = {
    "none": (),
    "small": (random_shift, random_flip),
    "small-noflip": (random_shift,),
    "photo": (random_flip, random_crop, random_colour),
    "photo-noflip": (random_crop, random_colour),
}
"""Steps by name. small: up to about 64 pixels a side; photo: above. noflip: where left and right differ,
for instance digits and letters."""


def _uniform(images: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """(N,) numbers in low..high."""
    drawn = torch.rand(len(images), generator=generator, device=generator.device)
    return (low + (high - low) * drawn).to(images.device)


def _integers(images: Tensor, most: int, generator: Generator) -> Tensor:
    """(N,) whole numbers in -most..most."""
    drawn = torch.randint(-most, most + 1, (len(images),), generator=generator, device=generator.device)
    return drawn.to(images.device)


def normalise(images: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """x ← (x / 255 - mean) / std, for every channel.

    Args:
        images: (N, C, H, W) uint8, or floating point in 0..255.
        mean, std: (C,) on the scale where white is 1.

    Returns:
        (N, C, H, W) float32.
    """
    mean = torch.as_tensor(mean, dtype=torch.float32, device=images.device)
    std = torch.as_tensor(std, dtype=torch.float32, device=images.device)
    scale, offset = 1 / (255 * std), mean / std
    return images * scale[:, None, None] - offset[:, None, None]


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
