"""Small pictures of images, for a page that is one file."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
import simplejpeg

from longtail.data.dataset import ImageStore
from longtail.errors import InputError
from longtail.images.decode import MOST_BITS, decode, image_size

EDGE = 96
"""Longer side in pixels; smaller images stay as they are."""

QUALITY = 80
"""Of the JPEG; a photo takes about 3 KB then."""


def picture(store: ImageStore, row: int, bits: int = MOST_BITS) -> str | None:
    """The image as an address that holds it, for `<img src>`; None where it cannot be read."""
    name = store.name(row)
    try:
        data = store.read(row)
        height, width = image_size(data, name)
        scale = min(1.0, EDGE / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        pixels = decode(data, name, size, bits=bits)
    except (OSError, InputError):
        return None
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY)
    return f"data:image/jpeg;base64,{b64encode(content).decode()}"
