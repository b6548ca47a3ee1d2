"""Fingerprints: nearly the same for one scene, whatever its size, brightness and compression."""

import io

import numpy as np
import pytest
from PIL import Image

from longtail.errors import InputError
from longtail.images.fingerprint import CELLS, COLOURS, DARK, EDGES, FAINT, SIDE, fingerprint


def edges(pixels):
    return fingerprint(pixels, "a")[:EDGES].astype(np.float64)


def colours(pixels):
    return fingerprint(pixels, "a")[EDGES:].astype(np.float64)


def jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_it_is_what_the_equation_says():
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    grey, slopes = pixels.astype(np.float64).mean(2), np.zeros((2, SIDE, SIDE))
    for row in range(SIDE):
        for column in range(SIDE):
            if 0 < column < SIDE - 1:
                slopes[0, row, column] = grey[row, column + 1] - grey[row, column - 1]
            if 0 < row < SIDE - 1:
                slopes[1, row, column] = grey[row + 1, column] - grey[row - 1, column]
    expected = slopes / (np.sqrt((slopes**2).sum(0)) + FAINT)
    np.testing.assert_allclose(edges(pixels), expected.ravel() / np.linalg.norm(expected), atol=1e-4)


def test_colours_are_shares_beyond_grey():
    pixels = np.full((CELLS, CELLS, 3), (200, 100, 60), np.uint8)
    red, green = 80 / (360 + DARK), -20 / (360 + DARK)
    assert colours(pixels) == pytest.approx([red] * (COLOURS // 2) + [green] * (COLOURS // 2), abs=1e-3)
    assert not colours(np.full((5, 5, 3), 77, np.uint8)).any()


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: (pixels * 0.5).astype(np.uint8),
        lambda pixels: (pixels // 2 + 90).astype(np.uint8),
        lambda pixels: np.asarray(Image.fromarray(pixels).resize((200, 130))),
        lambda pixels: jpeg(pixels, 60),
    ],
)
def test_another_exposure_size_or_compression_has_nearly_the_same_edges(change, scene):
    pixels = scene(1)
    same = fingerprint(change(pixels), "a")[:EDGES].astype(np.float64) @ edges(pixels)
    other = edges(scene(2)) @ edges(pixels)
    assert same > 0.95
    assert other < 0.5


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_image_has_no_edges_and_noise_makes_none(value):
    noise = np.random.default_rng(0).integers(0, 2, (64, 64, 3))
    assert not edges(np.full((64, 64, 3), value, np.uint8)).any()
    assert not edges(np.clip(value - noise, 0, 255).astype(np.uint8)).any()


def test_an_image_of_few_pixels_cannot_be_known():
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, 40, 3), dtype=np.uint8)
    assert edges(pixels).any()
    assert not edges(pixels[1:]).any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (3, 2, 1), (40, 700, 3)])
def test_every_shape_has_one(shape):
    found = fingerprint(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), "a")
    assert found.shape == (EDGES + COLOURS,)
    assert np.isfinite(found).all()


def test_what_cannot_be_decoded_is_refused():
    with pytest.raises(InputError, match=r"a\.jpg"):
        fingerprint(b"no image", "a.jpg")
