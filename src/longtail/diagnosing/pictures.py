"""Small pictures of images, for a page that is one file."""

from __future__ import annotations

from base64 import b64encode

from longtail.data.dataset import ImageStore
from longtail.errors import InputError
from longtail.images.decode import decode, image_size
from longtail.images.thumbnails import EDGE, as_jpeg
from longtail.settings import MOST_BITS


def picture(store: ImageStore, row: int, bits: int = MOST_BITS) -> str | None:
    """The image as an address that holds it, for `<img src>`; None where it cannot be read.

    Small images stay as they are.
    """
    name = store.name(row)
    try:
        data = store.read(row)
        height, width = image_size(data, name)
        scale = min(1.0, EDGE / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        pixels = decode(data, name, size, bits=bits)
    except (OSError, InputError):
        return None
    return f"data:image/jpeg;base64,{b64encode(as_jpeg(pixels)).decode()}"
