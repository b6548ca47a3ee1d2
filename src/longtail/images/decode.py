"""From an encoded file to an upright, opaque uint8 image of the wanted size.

JPEG goes through libjpeg-turbo (simplejpeg), every other format through Pillow. A file that cannot be
shown whole is refused with one line that names it; no image is ever half decoded or clipped.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Never

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from longtail.errors import InputError
from longtail.images.png import without_words
from longtail.settings import MOST_BITS

MAX_PIXELS = 100_000_000
"""An image with more pixels is refused before any of them is decoded."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What Pillow may open. EPS is left out on purpose: it starts a PostScript interpreter."""

Pixels = NDArray[np.uint8]
Size = tuple[int, int]

Part = tuple[int, int, int, int]
"""Top, left, height and width of a rectangle."""

_JPEG_COLOURS = ("RGB", "YCbCr", "Gray")  # CMYK and YCCK need Pillow's knowledge of Adobe's inversion
# libjpeg goes on after these and fills what is missing with grey. Other warnings ("extraneous bytes")
# are common in sound files, which Pillow then decodes.
_JPEG_DAMAGE = ("Premature end", "premature end", "bad Huffman code")
_JPEG_ROTATION_MARKS = (b"Exif\0\0", b"tiff:Orientation")
_ROTATION_MARKS = (*_JPEG_ROTATION_MARKS, b"eXIf", b"Raw profile type exif")
_ORIENTATION_TAG = 0x0112
_PILLOW_HEADERS = threading.Lock()

_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels[:, ::-1].transpose(1, 0, 2),
}
"""How an image stored with an EXIF orientation is made upright; 1 needs nothing."""


def decode(
    data: bytes | Pixels,
    name: str,
    size: Size,
    part: Part | None = None,
    bits: int = MOST_BITS,
) -> Pixels:
    """The image of exactly the wanted size: its short side scaled to it, the middle kept.

    The largest centred rectangle with the aspect of `size` is resampled (bilinear, antialiased).
    EXIF orientation is applied, transparency laid over white, the first frame taken. Values of 16 bits
    of which `bits` are used become 0..255; floating-point images hold 0..1 or 0..255. A JPEG is decoded at a
    fraction of its size where that leaves at least twice `size` for the resampling.

    Args:
        data: the encoded file, or decoded pixels (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8.
        name: what messages call the image.
        size: H, W of the result.
        part: a rectangle of that image, in its pixels; it alone is resampled, to the whole of `size`.
        bits: that values of 16 bits use; 12 where the largest is 4095.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: when the data are empty, damaged, truncated, no image, or beyond `MAX_PIXELS`.

    Example:
        >>> decode(np.full((4, 6, 1), 7, np.uint8), "a", (2, 2)).shape
        (2, 2, 3)
    """
    part = part or (0, 0, *size)
    if not isinstance(data, bytes):
        return _fit(_from_array(data, name), size, part)
    # So large that the part alone has the wanted size.
    whole = math.ceil(size[0] ** 2 / part[2]), math.ceil(size[1] ** 2 / part[3])
    pixels = _from_jpeg(data, name, whole)
    return _fit(_from_pillow(data, name, bits) if pixels is None else pixels, size, part)


def image_size(data: bytes | Pixels, name: str) -> Size:
    """H, W of the upright image, from the header alone.

    Raises:
        InputError: as `decode`, as far as the header tells.
    """
    if not isinstance(data, bytes):
        return data.shape[0], data.shape[1]
    stored = _jpeg_size(data, name)
    if stored is not None:
        return _upright_size(*stored, _jpeg_orientation(data))
    image = open_image(data, name)
    return _upright_size(image.height, image.width, _orientation(image, data))


def _from_jpeg(data: bytes, name: str, size: Size) -> Pixels | None:
    """The upright image, reduced but not below twice `size`; None when it is no JPEG for this decoder."""
    if _jpeg_size(data, name) is None:
        return None
    orientation = _jpeg_orientation(data)
    least_height, least_width = _upright_size(2 * size[0], 2 * size[1], orientation)
    try:
        pixels = simplejpeg.decode_jpeg(
            data,
            colorspace="RGB",  # of grey files too
            min_height=least_height,
            min_width=least_width,
            min_factor=2,  # the other factors (7/8, 3/4 ...) take longer than the whole image
        )
    except ValueError as error:
        if any(damage in str(error) for damage in _JPEG_DAMAGE):
            refuse(name, f"damaged or truncated JPEG ({error})")
        return None
    return _upright(pixels, orientation)


def _jpeg_size(data: bytes, name: str) -> Size | None:
    """Stored height and width; None when it is no JPEG for this decoder."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_pixels(int(height), int(width), name)
    return (int(height), int(width)) if colours in _JPEG_COLOURS else None


def _jpeg_orientation(data: bytes) -> int:
    # Opening a JPEG with Pillow takes as long as decoding a small one: only where there is a tag to read.
    if not any(mark in data for mark in _JPEG_ROTATION_MARKS):
        return 1
    try:
        return _orientation(open_image(data, ""), data)
    except InputError:
        return 1


def _from_pillow(data: bytes, name: str, bits: int) -> Pixels:
    image = open_image(data, name)
    with refusing_damage(name):
        image.load()
        if bits != MOST_BITS and _has_wide_colours(image, data):
            refuse(name, f"--bits {bits}: 16 bits of a colour are read as 8, whatever they use; save 8")
        return _upright(_convert(image, name, bits), _orientation(image, data))


def _has_wide_colours(image: Image.Image, data: bytes) -> bool:
    """Whether an image of several channels has 16 bits in each, of which Pillow keeps the upper 8."""
    if image.mode.startswith("I"):
        return False
    if image.format == "PNG":
        return data[24] == 16
    tags = getattr(image, "tag_v2", None)  # of TIFF
    return tags is not None and max(tags.get(258, (8,))) == 16


def pixels_of(image: Image.Image, name: str, bits: int = MOST_BITS) -> Pixels:
    """(H, W, 3) uint8 of an opened Pillow image, upright, as `decode` makes them of a file.

    Raises:
        InputError: when it is damaged or too large.
    """
    _check_pixels(image.height, image.width, name)
    with refusing_damage(name):
        image.load()
        turned = image.format == "TIFF"  # Pillow turned its pixels when it loaded them
        orientation = 1 if turned else image.getexif().get(_ORIENTATION_TAG, 1)
        return _upright(_convert(image, name, bits), orientation if orientation in _UPRIGHT else 1)


def open_image(data: bytes, name: str) -> Image.Image:
    """The image with its header read and its number of pixels checked."""
    if not data:
        refuse(name, "the file is empty (0 bytes)")
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]
    with refusing_damage(name), _quiet_headers():
        image = Image.open(io.BytesIO(without_words(data, _ROTATION_MARKS)), formats=formats)
    _check_pixels(image.height, image.width, name)
    return image


def _orientation(image: Image.Image, data: bytes) -> int:
    """EXIF orientation 1..8 still to be applied; 1 where the tag is absent or unreadable."""
    if image.format == "TIFF":  # Pillow has turned its size, and turns its pixels when it loads them
        return 1
    # Pillow decodes a whole PNG to look for a tag behind the pixels.
    if image.format == "PNG" and not any(mark in data for mark in _ROTATION_MARKS):
        return 1
    try:
        with _quiet_headers():
            value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a broken EXIF block raises about anything, and the pixels are still good
        return 1
    return value if value in _UPRIGHT else 1


def _convert(image: Image.Image, name: str, bits: int = MOST_BITS) -> Pixels:
    """(H, W, 3) uint8 of any mode Pillow has."""
    if image.mode.startswith("I") or image.mode == "F":
        values, clear = np.asarray(image), image.info.get("transparency")
        pixels = _to_8_bits(values, name, bits)
        image = Image.fromarray(np.where(values == clear, 255, pixels) if isinstance(clear, int) else pixels)
    elif image.has_transparency_data:
        image = _over_white(image)
    # np.array copies: what asarray gives is read-only, and torch refuses it
    return np.array(image.convert("RGB"))


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _to_8_bits(values: NDArray[Any], name: str, bits: int) -> Pixels:
    """Integers below 2^bits to 0..255, floats of 0..1 times 255, floats of 0..255 as they are; rounded."""
    low, high = float(values.min()), float(values.max())
    is_float = values.dtype.kind == "f"
    largest = 255 if is_float else 2**bits - 1
    if not (low >= 0 and high <= largest):  # a NaN fails this too
        how = "save it with 8 bits" if is_float or bits == MOST_BITS else f"as --bits {bits} says"
        refuse(name, f"pixel values from {low:g} to {high:g}; expected 0 to {largest}, {how}")
    if is_float:
        return np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8)
    return ((values.astype(np.int64) * 255 + largest // 2) // largest).astype(np.uint8)


@contextmanager
def refusing_damage(name: str) -> Generator[None, None, None]:
    """Says in one line what is wrong with an image that is being decoded."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Image.DecompressionBombError:
        refuse(name, f"more than {MAX_PIXELS:,} pixels; make it smaller")
    except Image.UnidentifiedImageError:
        refuse(name, f"not an image, or its header is damaged; expected one of {', '.join(FORMATS)}")
    except Exception as error:  # what a decoder raises on damage depends on the format
        refuse(name, f"damaged or truncated image ({error})")


@contextmanager
def _quiet_headers() -> Generator[None, None, None]:
    # Pillow warns of large images and of odd tags; the first are refused, the second do no harm.
    # The warning filters belong to the whole process, so only one thread at a time may change them;
    # pixels are decoded outside of this lock.
    with _PILLOW_HEADERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _from_array(pixels: Pixels, name: str) -> Pixels:
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        refuse(name, f"expected (H, W, 1, 3 or 4) uint8 pixels, got {pixels.shape} {pixels.dtype}")
    _check_pixels(pixels.shape[0], pixels.shape[1], name)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    return _convert(Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else pixels), name)


def _check_pixels(height: int, width: int, name: str) -> None:
    if height * width > MAX_PIXELS:
        refuse(name, f"{width} x {height} is more than {MAX_PIXELS:,} pixels; make it smaller")
    if height * width == 0:
        refuse(name, f"{width} x {height}: the image has no pixels")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels)) if orientation > 1 else pixels


def _upright_size(height: int, width: int, orientation: int) -> Size:
    return (width, height) if orientation >= 5 else (height, width)


def _fit(pixels: Pixels, size: Size, part: Part) -> Pixels:
    """A part of the largest centred rectangle with the aspect of `size`, resampled to `size`."""
    centre = _centre(pixels, size)
    top, left, height, width = part
    rows = _scaled(top, height, centre.shape[0], size[0])
    columns = _scaled(left, width, centre.shape[1], size[1])
    crop = centre[rows, columns]
    if crop.shape[:2] == size:
        return crop
    # Channels last as torch sees it only with the batch in front before it is permuted: else it copies.
    image = torch.from_numpy(np.require(crop, requirements="W"))[None].permute(0, 3, 1, 2)
    resized = F.interpolate(image, size, mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _centre(pixels: Pixels, size: Size) -> Pixels:
    height, width, _ = pixels.shape
    scale = min(height / size[0], width / size[1])
    crop_height = min(max(round(size[0] * scale), 1), height)
    crop_width = min(max(round(size[1] * scale), 1), width)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return pixels[top : top + crop_height, left : left + crop_width]


def _scaled(start: int, extent: int, length: int, of: int) -> slice:
    """A stretch of a side of `of` pixels on one of `length`: the nearest whole pixels, at least one."""
    first, end = ((2 * place * length + of) // (2 * of) for place in (start, start + extent))
    first = min(first, length - 1)
    return slice(first, max(end, first + 1))


def refuse(name: str, reason: str) -> Never:
    """Raises the one line that names an image and says what is wrong with it."""
    raise InputError(f"{printable(name)}: {' '.join(reason.split())}") from None


def printable(name: str) -> str:
    """The name; a member of an archive may be called anything, and nothing is said that a terminal obeys."""
    return name if name.isprintable() else ascii(name)
