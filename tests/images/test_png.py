from __future__ import annotations

import struct
import zlib

import pytest

from longtail.images.png import without_words

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = b"".join(
    struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    for kind, body in ((b"IHDR", b"size"), (b"IDAT", b"tEXt is no text here"), (b"IEND", b""))
)


def text(body: bytes, kind: bytes = b"tEXt") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP"])
def test_words_are_taken_out_wherever_they_stand(kind: bytes) -> None:
    words = text(b"what was asked for", kind)
    assert without_words(SIGNATURE + words + PIXELS + words, [b"turned"]) == SIGNATURE + PIXELS


def test_what_may_say_how_the_image_is_turned_stays_where_it_is_short() -> None:
    short, long = text(b"turned by 90"), text(b"turned by 90" + bytes(2**20))
    assert without_words(SIGNATURE + short + long + PIXELS, [b"turned"]) == SIGNATURE + short + PIXELS
    assert without_words(SIGNATURE + short + PIXELS, []) == SIGNATURE + PIXELS


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8 tEXt", SIGNATURE, SIGNATURE + PIXELS, SIGNATURE + PIXELS[:30]]
)
def test_other_files_and_those_without_words_stay_as_they_are(data: bytes) -> None:
    assert without_words(data, [b"turned"]) == data


def test_a_length_that_lies_ends_the_file() -> None:
    lying = b"\xff\xff\xff\xff" + b"IDATx" + text(b"words")
    assert without_words(SIGNATURE + lying, []) == SIGNATURE + lying
