"""A fingerprint of an image: where its edges run, and its colours, whatever its size and its brightness."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from longtail.images.decode import Pixels, Size, decode, image_size
from longtail.settings import MOST_BITS

SIDE = 16
"""Rows and columns that the edges are looked at in."""

CELLS = 4
"""Rows and columns that the colours are looked at in."""

EDGES, COLOURS = 2 * SIDE * SIDE, 2 * CELLS * CELLS
"""Numbers of each."""

SHORT = 2 * SIDE
"""Pixels of the short side that an image is decoded to."""

FAINT = 4.0
"""Difference of grey values, of 255, that is half an edge: noise and compression stay below it."""

FLAT = 0.05
"""An image whose edges are this strong on average, of 1, shows nothing that it could be known by."""

DARK = 48.0
"""Sum of red, green and blue below which a colour counts for less than half."""

Fingerprint = NDArray[np.float16]
"""(EDGES + COLOURS,): edges of length 1, or zeros; then colours."""


def fingerprint(data: bytes | Pixels, name: str, bits: int = MOST_BITS) -> Fingerprint:
    """The fingerprint of the whole image.

    With x the grey image of 16×16 pixels and ∇x its central differences, the edges are
    ∇x / (|∇x| + 4), brought to length 1: brighter or darker pictures of one scene have nearly the same. An
    image with a side below 16 pixels has too few to be known by, and gets zeros, as a flat one does. The
    colours are (red - mean, green - mean) / (red + green + blue + 48) in 4×4 cells, zeros in a grey image.

    Raises:
        InputError: as `decode`.

    Example:
        >>> fingerprint(np.full((8, 8, 3), 200, np.uint8), "a").shape
        (544,)
    """
    size = image_size(data, name)
    pixels = decode(data, name, _small(size), bits=bits)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    edges = _edges(image) if min(size) >= SIDE else np.zeros(EDGES, np.float32)
    return np.concatenate([edges, _colours(image)]).astype(np.float16)


def _small(size: Size) -> Size:
    """The size with its short side at most `SHORT` pixels."""
    scale = min(1.0, SHORT / min(size))
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _edges(image: torch.Tensor) -> NDArray[np.float32]:
    """(1, 3, H, W) -> (EDGES,) of length 1, or zeros."""
    grey = _resized(image, SIDE).mean(1)[0].numpy()
    slopes: NDArray[np.float32] = np.zeros((2, SIDE, SIDE), np.float32)
    slopes[0, :, 1:-1] = grey[:, 2:] - grey[:, :-2]
    slopes[1, 1:-1] = grey[2:] - grey[:-2]
    edges = slopes / (np.hypot(*slopes) + FAINT)
    length = float(np.linalg.norm(edges))
    shown = edges / length if length > FLAT * SIDE else np.zeros_like(edges)
    return shown.astype(np.float32).ravel()


def _colours(image: torch.Tensor) -> NDArray[np.float32]:
    """(1, 3, H, W) -> (COLOURS,)."""
    cells = _resized(image, CELLS)[0].numpy()
    return ((cells[:2] - cells.mean(0)) / (cells.sum(0) + DARK)).ravel()


def _resized(image: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(image, (side, side), mode="bilinear", antialias=True)
