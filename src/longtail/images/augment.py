"""Random changes of a whole batch on its device, with the normalisation behind them in one pass.

Every random number is drawn from the caller's generator, a fixed number per batch: with a CPU
generator seeded by (seed, epoch, step) a batch is changed alike on every device (a crop: within a grey
level) and with any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from longtail.images.changes import (
    ALL,
    Shape,
    Share,
    Step,
    adjust_and_normalise,
    random_colour,
    random_crop,
    random_flip,
    random_shift,
)
from longtail.images.normalise import normalise

PIECE = 2**17
"""Pixels that are changed at a time on a CPU: as many whole images as they make, at least one."""

MIRROR = "mirror"
"""The augmentation that vectors of a frozen network can have too."""

AUGMENTATIONS: dict[str, tuple[Step, ...]] = {
    "none": (),
    MIRROR: (random_flip,),
    "small": (random_shift, random_flip),
    "small-noflip": (random_shift,),
    "photo": (random_crop, random_flip, random_colour),
    "photo-noflip": (random_crop, random_colour),
}
"""Steps by name. small: up to about 64 pixels a side; photo: above. noflip: where left and right differ,
for instance digits and letters. `random_crop` comes first, so that it can be drawn before images are decoded,
`random_colour` last, so that `normalise` is one with it."""


def crops(name: str) -> bool:
    """Whether the augmentation of this name crops."""
    return AUGMENTATIONS[name][:1] == (random_crop,)


def draw_parts(shape: Shape, generator: Generator, share: Share = ALL) -> Tensor:
    """The rectangles to which an augmentation that `crops` would crop images of this shape.

    Where images are decoded anew, each can so be cropped in its own pixels, and is resampled once.

    Args:
        shape: (N, C, H, W).
        generator, share: as given to `augment_and_normalise`.

    Returns:
        (N, 4) int64: top, left, height, width in whole pixels.
    """
    return torch.stack(share.drawn(random_crop.draw, shape, generator), dim=1)


def draw_mirrored(shape: Shape, generator: Generator, share: Share = ALL) -> Tensor:
    """Which images of this shape `MIRROR` would mirror: (N,) bool; arguments as of `draw_parts`."""
    return share.drawn(random_flip.draw, shape, generator)[0]


def augment_and_normalise(
    images: Tensor,
    name: str,
    generator: Generator,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    cropped: bool = False,
    share: Share = ALL,
) -> Tensor:
    """A batch changed at random by the steps of `AUGMENTATIONS`, then normalised.

    On a CPU, a few images are changed at a time. The pixels of a whole batch do not fit into a core's
    cache, and allocating memory for them in every step takes longer than the arithmetic.

    Args:
        images: (N, C, H, W) uint8.
        name: a key of `AUGMENTATIONS`.
        generator: where the random numbers come from; on the CPU for the same result on any device.
        mean, std: see `normalise`.
        cropped: whether the images show what `draw_parts` drew for them, so that none is cropped again.
        share: which images of their batch these are; the random numbers are those of the whole batch.

    Returns:
        (N, C, H, W) float32, one channel behind the other in memory.

    Example:
        >>> images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
        >>> generator = torch.Generator().manual_seed(0)
        >>> augment_and_normalise(images, "small", generator, [0.5] * 3, [0.25] * 3).unique()
        tensor([-2.])
    """
    drawn = [(step, step.numbers(images, generator, share)) for step in AUGMENTATIONS[name]]
    if cropped:
        drawn = [(step, numbers) for step, numbers in drawn if step is not random_crop]
    result = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    for part in _pieces(images):
        piece = images[part]
        for step, numbers in drawn:
            own = [number[part] for number in numbers]
            if step is random_colour:
                adjust_and_normalise(piece, *own, mean=mean, std=std, result=result[part])
                break  # nothing comes after it
            piece = step.change(piece, *own)
        else:
            normalise(piece, mean, std, result[part])
    return result


def _pieces(images: Tensor) -> Iterator[slice]:
    """The batch a few images at a time on a CPU, as a whole elsewhere."""
    n, _, height, width = images.shape
    size = max(1, PIECE // (height * width)) if images.device.type == "cpu" else max(1, n)
    return (slice(start, start + size) for start in range(0, n, size))
