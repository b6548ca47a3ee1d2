from __future__ import annotations

import io
import math
import struct
import sys
import threading
import warnings
import zlib
from fractions import Fraction

import numpy as np
import pytest
import simplejpeg
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from longtail.errors import InputError
from longtail.images import decode as decoding
from longtail.images.decode import decode, image_size
from longtail.images.sizes import suggest_size

RNG = np.random.default_rng(0)


class Memory:
    """A store of encoded files in memory."""

    def __init__(self, *files) -> None:
        self.files = files
        self.reads = 0

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return f"{index}.img"

    def read(self, index: int):
        self.reads += 1
        if self.files[index] is None:
            raise FileNotFoundError(2, "No such file or directory", self.name(index))
        return self.files[index]


def smooth(height: int, width: int, channels: int = 3, blob: int = 8) -> np.ndarray:
    """Random pixels without sharp edges, which JPEG keeps well."""
    grid = (1, channels, max(2, height // blob), max(2, width // blob))
    coarse = torch.rand(grid, generator=torch.Generator().manual_seed(0))
    fine = F.interpolate(coarse * 255, (height, width), mode="bicubic").clamp(0, 255)
    return fine[0].permute(1, 2, 0).numpy().astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(smooth(16, 16), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("P", (4, 4)), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


# --- what comes out -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_lossless_file_of_the_right_size_comes_back_unchanged(kind):
    pixels = RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    assert np.array_equal(decode(encoded(pixels, kind), "a", (9, 12)), pixels)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_comes_out_as_pillow_decodes_it(mode):
    data = encoded(Image.fromarray(smooth(40, 56)).convert(mode), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    got = decode(data, "a", (40, 56))
    assert got.shape == (40, 56, 3)
    assert np.abs(got.astype(int) - expected).max() <= 2


def test_a_cmyk_jpeg_has_the_colours_pillow_gives_it():
    data = encoded(Image.fromarray(smooth(24, 24)).convert("CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode(data, "a", (24, 24)), expected)


def test_16_bits_are_scaled_not_clipped():
    values = np.array([[0, 128, 129, 257, 300], [30000, 32896, 40000, 65000, 65535]], np.uint16)
    expected = np.rint(values / 257).astype(np.uint8)
    for data in (encoded(values, "PNG"), encoded(values, "TIFF"), encoded(values.astype(np.int32), "TIFF")):
        assert np.array_equal(decode(data, "a", (2, 5))[..., 0], expected)


def test_16_bits_in_big_endian_order_are_read_alike():
    values = np.array([[0, 300, 65535]], np.uint16)
    pgm = b"P5 3 1 65535\n" + values.astype(">u2").tobytes()
    tiff = encoded(Image.frombytes("I;16B", (3, 1), values.astype(">u2").tobytes()), "TIFF")
    for data in (pgm, tiff):
        assert decode(data, "a", (1, 3))[..., 0].ravel().tolist() == [0, 1, 255]


@pytest.mark.parametrize("scale", [1, 255])
def test_floats_of_0_to_1_and_of_0_to_255_are_both_understood(scale):
    values = np.array([[0.0, 0.5, 1.0]], np.float32) * scale
    expected = [0, 128, 255]
    assert decode(encoded(values, "TIFF"), "a", (1, 3))[..., 0].ravel().tolist() == expected


@pytest.mark.parametrize("worst", [-1.0, 256.0, np.nan, np.inf])
def test_floats_beyond_any_known_range_are_refused_not_clipped(worst):
    values = np.array([[0.0, 0.5, worst]], np.float32)
    with pytest.raises(InputError, match=r"^a: pixel values from .* expected 0 to 255"):
        decode(encoded(values, "TIFF"), "a", (1, 3))


def test_integers_beyond_16_bits_are_refused_not_clipped():
    with pytest.raises(InputError, match=r"^a: pixel values from 0 to 70000; expected 0 to 65535"):
        decode(encoded(np.array([[0, 70000]], np.int32), "TIFF"), "a", (1, 2))


def test_one_bit_becomes_black_and_white():
    image = Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1")
    assert decode(encoded(image, "PNG"), "a", (1, 3))[..., 0].ravel().tolist() == [0, 255, 0]


def test_alpha_is_laid_over_white():
    pixels = RNG.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    colour, alpha = pixels[..., :3].astype(float), pixels[..., 3:] / 255
    expected = colour * alpha + 255 * (1 - alpha)
    for data in (encoded(pixels, "PNG"), pixels):
        assert np.abs(decode(data, "a", (6, 7)) - expected).max() <= 1


def test_grey_with_alpha_is_laid_over_white():
    image = Image.fromarray(np.array([[[0, 0], [0, 255], [100, 255]]], np.uint8), "LA")
    assert decode(encoded(image, "PNG"), "a", (1, 3))[..., 0].ravel().tolist() == [255, 0, 100]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_transparency_is_laid_over_white(kind):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    got = decode(encoded(image, kind, transparency=1), "a", (1, 3))
    assert got.tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]


def test_partly_transparent_palette_entries_are_laid_over_white_without_a_warning():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 0])
    got = decode(encoded(image, "PNG", transparency=bytes([255, 127])), "a", (1, 2))
    assert got.tolist() == [[[255, 0, 0], [128, 128, 128]]]


def test_a_colour_declared_transparent_is_laid_over_white():
    data = encoded(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), "PNG", transparency=(1, 2, 3))
    assert decode(data, "a", (1, 2)).tolist() == [[[255, 255, 255], [4, 5, 6]]]


def test_a_value_of_16_bits_declared_transparent_is_laid_over_white():
    data = encoded(np.array([[100, 60000]], np.uint16), "PNG", transparency=100)
    assert decode(data, "a", (1, 2))[..., 0].ravel().tolist() == [255, 233]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode(data, "a", (8, 8))[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 98} if kind == "JPEG" else {}
    data = encoded(smooth(16, 24), kind, exif=with_orientation(orientation), **options)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert image_size(data, "a") == upright.shape[:2] == ((24, 16) if orientation > 4 else (16, 24))
    got = decode(data, "a", upright.shape[:2])
    assert np.abs(got.astype(int) - upright).max() <= 2


def test_a_cmyk_jpeg_is_turned_upright_too():
    data = encoded(Image.fromarray(smooth(16, 24)).convert("CMYK"), "JPEG", exif=with_orientation(6))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(decode(data, "a", (24, 16)), np.asarray(upright))


@pytest.mark.parametrize("orientation", [0, 9, 70])
def test_an_orientation_out_of_range_is_taken_as_upright(orientation):
    data = encoded(smooth(16, 24), "JPEG", exif=with_orientation(orientation))
    assert image_size(data, "a") == (16, 24)


LONG = 3_000_000
XMP = f'<x tiff:Orientation="6">{"x" * 1000}</x>'


@pytest.mark.parametrize("behind", [False, True], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"tEXt", b"prompt\0" + b"x" * LONG),
        (b"zTXt", b"prompt\0\0" + zlib.compress(b"x" * LONG)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"x" * LONG)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode() + b"x" * LONG),
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(LONG))),
        (b"iCCP", b"profile\0\7unknown"),
    ],
)
def test_a_png_says_what_it_likes_beside_its_pixels(kind: bytes, body: bytes, behind: bool):
    plain = encoded(smooth(16, 24), "PNG")
    place = len(plain) - 12 if behind else 33  # before the chunk IEND, behind the chunk IHDR
    said = plain[:place] + png_chunk(kind, body) + plain[place:]
    assert (decode(said, "a.png", (16, 24)) == decode(plain, "a.png", (16, 24))).all()
    assert image_size(said, "a.png") == (16, 24)


def test_many_texts_of_a_png_that_are_short_each_do_no_harm():
    text = png_chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"x" * 1_000_000))
    plain = encoded(smooth(16, 24), "PNG")
    assert decode(plain[:33] + text * 70 + plain[33:], "a.png", (8, 8)).shape == (8, 8, 3)


def test_a_png_with_long_texts_is_still_turned():
    exif = encoded(smooth(16, 24), "PNG", exif=with_orientation(6))
    xmp = encoded(smooth(16, 24), "PNG")
    short = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode())
    long = png_chunk(b"tEXt", b"prompt\0" + b"x" * LONG)
    for data in (exif[:33] + long + exif[33:], xmp[:33] + long + short + xmp[33:]):
        assert image_size(data, "a.png") == (24, 16)
        assert (decode(data, "a.png", (24, 16)) == decode(exif, "a.png", (24, 16))).all()


@pytest.mark.parametrize("cut", [13, 40, 200])
def test_a_png_with_texts_that_is_cut_off_is_still_refused(cut: int):
    plain = encoded(smooth(16, 24), "PNG")
    data = plain[:33] + png_chunk(b"tEXt", b"a\0b") + plain[33:]
    with pytest.raises(InputError, match=r"a.png: .*(damaged|truncated)"):
        decode(data[: -12 - cut], "a.png", (16, 24))


def test_a_broken_exif_block_does_not_spoil_the_image():
    data = encoded(smooth(16, 24), "JPEG", exif=with_orientation(6))
    broken = data.replace(b"Exif\0\0MM\0*", b"Exif\0\0QQ\0*").replace(b"Exif\0\0II*\0", b"Exif\0\0QQ*\0")
    assert broken != data
    assert decode(broken, "a", (16, 24)).shape == (16, 24, 3)


def test_decoded_pixels_of_an_array_store_are_taken_as_they_are():
    colour = RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    grey = colour[..., :1]
    assert np.array_equal(decode(colour, "a", (5, 6)), colour)
    assert np.array_equal(decode(grey, "a", (5, 6)), grey.repeat(3, axis=2))
    assert np.array_equal(decode(grey[..., 0], "a", (5, 6)), grey.repeat(3, axis=2))


def test_read_only_pixels_are_resized_without_a_warning_and_left_alone():
    pixels = smooth(8, 8)
    pixels.flags.writeable = False
    assert decode(pixels, "a", (4, 4)).shape == (4, 4, 3)


# --- size -----------------------------------------------------------------------------------------


def covering_crop(pixels: np.ndarray, size: tuple[int, int], part=None) -> np.ndarray:
    """The twin: the middle with the wanted aspect, each output pixel a triangle-weighted mean, in float."""
    (height, width), (rows, columns) = pixels.shape[:2], size
    scale = min(height / rows, width / columns)
    h, w = (min(max(round(wanted * scale), 1), there) for wanted, there in ((rows, height), (columns, width)))
    top, left = (height - h) // 2, (width - w) // 2
    crop = pixels[top : top + h, left : left + w].astype(float)
    if part is not None:
        inside = np.ix_(
            pixels_between(part[0], part[2], h, rows), pixels_between(part[1], part[3], w, columns)
        )
        crop = crop[inside]
    by_row = np.einsum("ri,ijc->rjc", triangle_weights(crop.shape[0], rows), crop)
    return np.einsum("kj,rjc->rkc", triangle_weights(crop.shape[1], columns), by_row)


def pixels_between(start: int, extent: int, source: int, target: int) -> list[int]:
    """Those of `source` pixels whose centres lie in the stretch; else the one that it begins in."""
    low, high = Fraction(start * source, target), Fraction((start + extent) * source, target)
    inside = [i for i in range(source) if low < i + Fraction(1, 2) <= high]
    return inside or [min(math.floor(low + Fraction(1, 2)), source - 1)]


def triangle_weights(source: int, target: int) -> np.ndarray:
    scale = source / target
    support = max(scale, 1)
    weights = np.zeros((target, source))
    for i in range(target):
        centre = (i + 0.5) * scale
        for j in range(source):
            weights[i, j] = max(0, 1 - abs(j + 0.5 - centre) / support)
    return weights / weights.sum(1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.integers(1, 24))
def test_resizing_keeps_the_aspect_covers_the_target_and_averages(height, width, rows, columns):
    pixels = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), np.uint8)
    got = decode(pixels, "a", (rows, columns))
    assert got.dtype == np.uint8
    assert got.shape == (rows, columns, 3)
    # two passes over uint8 round twice
    assert np.abs(got - covering_crop(pixels, (rows, columns))).max() <= 1.6


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_part_is_cut_from_the_files_own_pixels_and_resampled_once(data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    rows, columns = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    part = (top, left, data.draw(st.integers(1, rows - top)), data.draw(st.integers(1, columns - left)))
    pixels = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), np.uint8)
    got = decode(pixels, "a", (rows, columns), part=part)
    assert got.shape == (rows, columns, 3)
    assert np.abs(got - covering_crop(pixels, (rows, columns), part)).max() <= 1.6


def test_the_part_that_is_everything_is_the_image():
    pixels = smooth(30, 20)
    assert np.array_equal(decode(pixels, "a", (8, 12), part=(0, 0, 8, 12)), decode(pixels, "a", (8, 12)))


def test_the_middle_of_a_long_image_is_kept():
    stripes = np.zeros((10, 50, 1), np.uint8)
    stripes[:, 20:30] = 200
    assert (decode(stripes, "a", (10, 10)) == 200).all()
    assert (decode(stripes.transpose(1, 0, 2), "a", (5, 5)) == 200).all()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("part", "reduced"), [(None, 128), ((0, 0, 32, 64), 128), ((8, 20, 16, 32), 256), ((30, 2, 2, 30), 512)]
)
def test_a_large_jpeg_decoded_reduced_looks_as_the_one_decoded_whole(orientation, part, reduced, monkeypatch):
    data = encoded(smooth(512, 512, blob=50), "JPEG", quality=95, exif=with_orientation(orientation))
    shapes = []
    whole = simplejpeg.decode_jpeg

    def watched(*args, **kwargs):
        pixels = whole(*args, **kwargs)
        shapes.append(pixels.shape[:2])
        return pixels

    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", watched)
    got = decode(data, "a", (32, 64), part=part)
    assert shapes == [(reduced, reduced)]
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    expected = covering_crop(np.asarray(upright), (32, 64), part)
    assert np.abs(got - expected).mean() < 2


def test_the_size_is_read_from_the_header_alone():
    png = encoded(smooth(20, 30), "PNG")
    jpeg = encoded(smooth(20, 30), "JPEG")
    for data in (png[: len(png) // 2], jpeg[: len(jpeg) - 50], np.zeros((20, 30, 3), np.uint8)):
        assert image_size(data, "a") == (20, 30)


def test_images_of_one_small_size_suggest_that_size():
    assert suggest_size(Memory(*[encoded(smooth(40, 24), "PNG")] * 3)) == (40, 24)


def test_images_of_many_sizes_suggest_a_square_of_the_median_short_side():
    files = [encoded(smooth(*size), "PNG") for size in ((50, 90), (99, 52), (60, 54))]
    assert suggest_size(Memory(*files)) == (48, 48)  # 52, to a multiple of 8: 52 / 8 = 6.5, to even
    assert suggest_size(Memory(*files), limit=32) == (32, 32)
    assert suggest_size(Memory(*files), limit=45) == (40, 40)


def test_images_of_one_size_above_the_limit_suggest_a_square_within_it():
    assert suggest_size(Memory(encoded(smooth(300, 200), "JPEG"))) == (128, 128)
    assert suggest_size(Memory(encoded(smooth(140, 20), "JPEG"))) == (16, 16)


def test_at_least_8_pixels_a_side_are_suggested_for_mixed_sizes():
    assert suggest_size(Memory(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2, 3), np.uint8))) == (8, 8)


def test_only_a_sample_over_the_whole_store_is_looked_at():
    small, large = encoded(smooth(16, 16), "PNG"), encoded(smooth(32, 32), "PNG")
    store = Memory(*[small] * 50, *[large] * 51)
    assert suggest_size(store, sample=5) == (32, 32)
    assert store.reads == 5


def test_unreadable_images_are_passed_over_when_a_size_is_suggested():
    assert suggest_size(Memory(b"", None, encoded(smooth(16, 16), "PNG"))) == (16, 16)


def test_a_store_without_a_readable_image_suggests_no_size():
    with pytest.raises(InputError, match=r"none of 2 sampled images can be read; .*1\.img: .*empty"):
        suggest_size(Memory(None, b""))


# --- what is refused ------------------------------------------------------------------------------


def refusal(data: bytes, name: str = "photos/a.jpg") -> str:
    with pytest.raises(InputError) as caught:
        decode(data, name, (8, 8))
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert message.isprintable()
    return message


def test_an_empty_file_is_refused():
    assert "empty (0 bytes)" in refusal(b"")


@pytest.mark.parametrize("data", [b"hello, I am text\n" * 20, bytes(500), b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9])
def test_what_is_no_image_is_refused(data):
    assert "not an image" in refusal(data)


@pytest.mark.parametrize("make", [png_of_size, jpeg_of_size, gif_of_size])
@pytest.mark.parametrize("size", [(30_000, 30_000), (10_001, 10_000)])
def test_a_header_that_promises_too_many_pixels_is_refused_before_decoding(make, size, monkeypatch):
    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", None)
    monkeypatch.setattr(decoding, "_convert", None)
    data = make(*size)
    assert "more than 100,000,000 pixels" in refusal(data)
    with pytest.raises(InputError, match="more than 100,000,000 pixels"):
        image_size(data, "a")


def test_as_many_pixels_as_allowed_are_not_refused_by_their_header():
    assert image_size(png_of_size(10_000, 10_000), "a") == (10_000, 10_000)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_cut_anywhere_is_refused(mode, options):
    data = encoded(Image.fromarray(smooth(40, 48)).convert(mode), "JPEG", **options)
    for end in (*range(1, len(data), max(1, len(data) // 60)), len(data) - 1):
        refusal(data[:end])


def test_a_jpeg_whose_scan_ends_early_is_refused_although_it_has_an_end_marker():
    data = encoded(smooth(64, 64), "JPEG")
    assert "truncated" in refusal(data[: len(data) * 2 // 3] + b"\xff\xd9")


def test_a_jpeg_followed_by_zeros_instead_of_its_second_half_is_refused():
    data = encoded(smooth(64, 64), "JPEG")
    half = len(data) // 2
    assert "truncated" in refusal(data[:half] + bytes(len(data) - half))


def test_harmless_bytes_around_a_jpeg_do_not_spoil_it():
    data = encoded(smooth(16, 16), "JPEG", quality=95)
    expected = decode(data, "a", (16, 16))
    scan = data.index(b"\xff\xda")
    for odd in (data + b"trailing", data[:scan] + b"\0\0\0" + data[scan:]):
        assert np.abs(decode(odd, "a", (16, 16)).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_other_formats_cut_in_half_are_refused(kind):
    data = encoded(RNG.integers(0, 256, (40, 48, 3), dtype=np.uint8), kind)
    refusal(data[: len(data) // 2])


def test_a_png_with_a_damaged_chunk_is_refused():
    data = bytearray(encoded(RNG.integers(0, 256, (40, 48, 3), dtype=np.uint8), "PNG"))
    data[len(data) // 2] ^= 0xFF
    refusal(bytes(data))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_an_image_or_a_refusal_and_nothing_else(kind, changes):
    data = bytearray(encoded(smooth(16, 24), kind))
    for place, value in changes:
        data[int(place * len(data))] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_PIXELS", 10**6)  # some headers now promise much, which takes its time
        check_image_or_refusal(bytes(data))


def check_image_or_refusal(data: bytes) -> None:
    try:
        pixels = decode(data, "a", (8, 8))
    except InputError as error:
        pixels = None
        message = str(error)
    assert message.isprintable() if pixels is None else pixels.shape == (8, 8, 3)


def test_pixels_of_another_type_or_shape_are_refused():
    for pixels in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(InputError, match=r"^a: expected .* uint8 pixels"):
            decode(pixels, "a", (2, 2))
    with pytest.raises(InputError, match="no pixels"):
        decode(np.zeros((0, 4, 3), np.uint8), "a", (2, 2))


def test_a_name_with_control_characters_is_shown_harmlessly():
    with pytest.raises(InputError) as caught:
        decode(b"", "a\n\x1b[31m.jpg", (2, 2))
    assert str(caught.value).isprintable()


# --- beside other threads -------------------------------------------------------------------------


@pytest.fixture
def eager_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_warning_filters_are_as_before_when_many_threads_decode():
    files = [encoded(smooth(16, 24), kind) for kind in ("PNG", "GIF", "TIFF")]
    files.append(encoded(smooth(16, 24), "JPEG", exif=with_orientation(6)))
    before = list(warnings.filters)
    failures = []

    def work():
        try:
            for _ in range(20):
                for data in files:
                    decode(data, "a", (8, 8))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == before
