"""Small pictures: their size in pixels and bytes, and an overlay that is clear where nothing was seen."""

import io

import numpy as np
from PIL import Image

from longtail.images.thumbnails import as_heat, as_jpeg, thumbnail_size


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_longer_side_has_96_pixels_and_no_side_none():
    assert thumbnail_size((128, 128)) == (96, 96)
    assert thumbnail_size((24, 40)) == (58, 96)
    assert thumbnail_size((4000, 2)) == (96, 1)


def test_a_jpeg_shows_the_image_in_a_few_kilobytes():
    ramp = np.broadcast_to(np.linspace(0, 255, 96).astype(np.uint8)[:, None, None], (96, 96, 3))
    data = as_jpeg(ramp)
    assert data[:3] == b"\xff\xd8\xff"
    assert np.abs(opened(data).astype(int) - ramp).max() < 12
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    assert len(as_jpeg(noise)) < 12_000  # nothing is larger


def test_an_overlay_is_clear_where_nothing_was_seen_and_strongest_where_most_was():
    places = np.zeros((24, 24))
    places[0, 1], places[1, 0], places[1, 1] = 0.5, 1.0, np.nan
    pixels = opened(as_heat(places))
    assert pixels.shape == (24, 24, 4)
    assert pixels[0, 0, 3] == pixels[1, 1, 3] == 0
    assert 0 < pixels[0, 1, 3] < pixels[1, 0, 3] < 255
    assert (pixels[..., 0] == 255).all()
    assert pixels[1, 0, 1] > pixels[0, 1, 1]


def test_a_small_map_is_smoothed_and_a_large_one_stays():
    pixels = opened(as_heat(np.array([[0.0, 1.0]])))
    assert pixels.shape == (12, 24, 4)
    assert (np.diff(pixels[0, :, 3].astype(int)) >= 0).all()
    assert len(np.unique(pixels[..., 3])) > 8
    assert opened(as_heat(np.ones((30, 40)))).shape == (30, 40, 4)
