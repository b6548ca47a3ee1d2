from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from longtail.errors import InputError
from longtail.images.bits import bits_used, sampled_bits, usual_bits
from longtail.images.decode import decode


def png(*values: int, kind: type = np.uint16) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array([values], kind)).save(buffer, "PNG")
    return buffer.getvalue()


class Store:
    def __init__(self, *images: bytes) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> bytes | NDArray[np.uint8]:
        if not self.images[index]:
            raise OSError("gone")
        return self.images[index]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_values_of_so_many_bits_become_the_nearest_of_8(bits: int) -> None:
    largest = 2**bits - 1
    values = np.linspace(0, largest, 50).astype(int).tolist()
    found = decode(png(*values), "x", (1, 50), bits=bits)[0, :, 0]
    np.testing.assert_allclose(found, np.array(values) * 255 / largest, atol=0.5 + 1e-9)
    assert (found[0], found[-1]) == (0, 255)


def test_other_images_are_as_they_are() -> None:
    assert decode(png(0, 7, 255, kind=np.uint8), "x", (1, 3), bits=12)[..., 0].ravel().tolist() == [0, 7, 255]


def wide_png(width: int, colour: int, *samples: int) -> bytes:
    """A PNG of 16 bits a sample, as Pillow writes none but grey ones."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, 1, 16, colour, 0, 0, 0)
    row = zlib.compress(b"\0" + struct.pack(f">{len(samples)}H", *samples))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@pytest.mark.parametrize("image", [wide_png(1, 2, 4095, 2000, 0), wide_png(1, 4, 4095, 65535)])
def test_bits_that_cannot_be_told_apart_are_refused_and_not_read_as_black(image: bytes) -> None:
    with pytest.raises(InputError, match="--bits 12: 16 bits of a colour are read as 8"):
        decode(image, "x", (1, 1), bits=12)
    assert decode(image, "x", (1, 1)).shape == (1, 1, 3)


def test_a_larger_value_than_was_said_is_refused() -> None:
    with pytest.raises(
        InputError, match="x: pixel values from 0 to 4096; expected 0 to 4095, as --bits 12 says"
    ):
        decode(png(0, 4096), "x", (1, 2), bits=12)


def test_the_bits_of_the_largest_value_are_told_of_images_of_16_bits_only() -> None:
    images = (png(0, 1023), png(0, 1024), png(65535), png(0), png(255, kind=np.uint8))
    assert [bits_used(image, "x") for image in images] == [10, 11, 16, 0, 0]
    assert bits_used(np.zeros((2, 2, 1), np.uint8), "x") == 0
    assert [usual_bits(n) for n in (0, 8, 11, 14, 15)] == [None, 8, 12, 14, None]


def test_only_given_rows_have_a_say_and_unreadable_ones_none() -> None:
    store = Store(png(1000), b"", png(3000), png(60000), b"no image")
    assert sampled_bits(store, np.array([0, 1, 2, 4])) == 12
    assert sampled_bits(store, np.array([0, 3])) == 16
    assert sampled_bits(Store(png(9), png(9, kind=np.uint8)), np.arange(2)) == 0
