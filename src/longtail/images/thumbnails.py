"""Small pictures for people: as JPEG, and where a network looked as a PNG to lay over one."""

from __future__ import annotations

import io

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from longtail.images.decode import Pixels, Size

EDGE = 96
"""Longer side of a small picture in pixels."""

QUALITY = 75
"""Of its JPEG; a photo takes about 3 KB then."""

SMOOTH = 24
"""Longer side of an overlay in pixels: whoever shows it may not smooth what it enlarges."""

STRONGEST = 0.7
"""Opacity of the overlay where the network looked most."""


def thumbnail_size(size: Size) -> Size:
    """H, W of the small picture of images that a network sees in a size.

    Example:
        >>> thumbnail_size((128, 64)), thumbnail_size((8, 8))
        ((96, 48), (96, 96))
    """
    scale = EDGE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def as_jpeg(pixels: Pixels) -> bytes:
    """(H, W, 3) uint8 -> an encoded file."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorsubsampling="420")


def as_heat(activation: NDArray[np.floating]) -> bytes:
    """(h, w) from 0 to 1 -> a PNG, smoothed: clear at 0, red in between, yellow at 1.

    Whoever shows it stretches it over the picture.
    """
    height, width = activation.shape
    scale = max(1, SMOOTH / max(height, width))
    size = round(scale * width), round(scale * height)
    plain = Image.fromarray(np.nan_to_num(activation).astype(np.float32))
    heat = np.clip(np.asarray(plain.resize(size, Image.Resampling.BILINEAR)), 0, 1)
    channels = [np.ones_like(heat), 0.9 * heat**2, np.zeros_like(heat), STRONGEST * heat]
    image = Image.fromarray(np.rint(255 * np.stack(channels, 2)).astype(np.uint8), "RGBA")
    output = io.BytesIO()
    image.save(output, "PNG", optimize=True)
    return output.getvalue()
