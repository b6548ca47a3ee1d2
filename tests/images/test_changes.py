from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.images.changes import (
    CROP_AREA,
    _crop_each,
    _crop_together,
    adjust_colour,
    crop,
    flip,
    random_crop,
    random_flip,
    random_shift,
    shift,
)

from .cases import LAYOUTS, numbered, pictures, seeded

# --- the exact changes, against one image at a time -----------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_shift_is_padding_by_reflection_and_cropping(n, height, width, seed):
    images = pictures(n, 2, height, width, seed)
    down = torch.randint(1 - height, height, (n,), generator=seeded(seed))
    right = torch.randint(1 - width, width, (n,), generator=seeded(seed + 1))
    got = shift(images, down, right)
    assert got.dtype == torch.uint8
    for image, moved, y, x in zip(images.numpy(), got.numpy(), down.tolist(), right.tolist(), strict=True):
        padded = np.pad(image, ((0, 0), (height - 1,) * 2, (width - 1,) * 2), mode="reflect")
        top, left = height - 1 - y, width - 1 - x
        assert np.array_equal(moved, padded[:, top : top + height, left : left + width])


def test_a_shift_down_and_right_moves_pixels_down_and_right():
    image = torch.tensor([[[[1, 2], [3, 4]]]])
    assert shift(image, torch.tensor([1]), torch.tensor([0])).tolist() == [[[[3, 4], [1, 2]]]]
    assert shift(image, torch.tensor([0]), torch.tensor([1])).tolist() == [[[[2, 1], [4, 3]]]]


def test_no_shift_is_the_image_itself():
    images, nowhere = pictures(3), torch.zeros(3, dtype=torch.int64)
    assert torch.equal(shift(images, nowhere, nowhere), images)


def test_flip_mirrors_the_chosen_images_and_no_other():
    images = pictures(3)
    got = flip(images, torch.tensor([True, False, True]))
    for image, result, mirrored in zip(images.numpy(), got.numpy(), (True, False, True), strict=True):
        assert np.array_equal(result, np.flip(image, 2) if mirrored else image)


@pytest.mark.parametrize("mirrored", [True, False])
def test_one_image_is_mirrored_or_left(mirrored):
    images = pictures(1)
    assert torch.equal(flip(images, torch.tensor([mirrored])), images.flip(-1) if mirrored else images)


def sampled(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """The twin of `crop`, a pixel at a time: bilinear between four neighbours of the rectangle."""
    channels, rows, columns = image.shape
    part, out = image[:, top : top + height, left : left + width], np.zeros(image.shape)
    for i in range(rows):
        for j in range(columns):
            y = min(max(height * (i + 0.5) / rows - 0.5, 0), height - 1)
            x = min(max(width * (j + 0.5) / columns - 0.5, 0), width - 1)
            y0, x0 = math.floor(y), math.floor(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            for c in range(channels):
                upper = part[c, y0, x0] * (1 - (x - x0)) + part[c, y0, x1] * (x - x0)
                lower = part[c, y1, x0] * (1 - (x - x0)) + part[c, y1, x1] * (x - x0)
                out[c, i, j] = upper * (1 - (y - y0)) + lower * (y - y0)
    return out


def rectangles(n: int, rows: int, columns: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Top, left, height and width of rectangles in whole pixels inside the image."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, rows + 1, n), rng.integers(1, columns + 1, n)
    top, left = rng.integers(0, rows - height + 1), rng.integers(0, columns - width + 1)
    return tuple(torch.from_numpy(numbers) for numbers in (top, left, height, width))


CROPS = [crop, _crop_each, _crop_together]


@pytest.mark.parametrize("way", CROPS)
@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 8), st.integers(1, 8), st.integers(1, 4), st.sampled_from(LAYOUTS), st.integers(0, 1000)
)
def test_crop_samples_its_rectangle_bilinearly(way, rows, columns, channels, layout, seed):
    images = pictures(3, channels, rows, columns, seed).contiguous(memory_format=layout)
    places = rectangles(3, rows, columns, seed)
    got = way(images, *places)
    assert got.dtype == torch.uint8
    assert got.shape == images.shape
    for image, result, place in zip(images, got, torch.stack(places, 1).tolist(), strict=True):
        # a pass over the columns and one over the rows: rounded twice
        assert np.abs(result.numpy() - sampled(image.numpy().astype(float), *place)).max() <= 1.05


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (33, 47), (224, 160)])
def test_both_ways_to_crop_agree_within_one_grey_level(rows, columns):
    images, places = pictures(20, 3, rows, columns), rectangles(20, rows, columns)
    difference = _crop_each(images, *places).int() - _crop_together(images, *places).int()
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("way", CROPS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (7, 1), (16, 12)])
def test_the_crop_of_the_whole_image_is_the_image(way, rows, columns):
    images, zeros = pictures(2, 3, rows, columns), torch.zeros(2, dtype=torch.int64)
    assert torch.equal(way(images, zeros, zeros, zeros + rows, zeros + columns), images)


@pytest.mark.parametrize("way", CROPS)
def test_a_rectangle_of_one_pixel_fills_the_image_with_it(way):
    images, one = pictures(4, 3, 6, 8), torch.ones(4, dtype=torch.int64)
    top, left = torch.tensor([0, 5, 0, 5]), torch.tensor([0, 0, 7, 7])
    got = way(images, top, left, one, one)
    expected = images[torch.arange(4), :, top, left]
    assert torch.equal(got, expected[:, :, None, None].expand_as(got))


@pytest.mark.parametrize("way", CROPS)
@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 5), (5, 0), (5, 5), (3, 2)])
def test_a_crop_shows_its_rectangle_resized_and_nothing_around_it(way, top, left):
    images = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    part = images[:, :, top : top + 3, left : left + 3]
    part.copy_(pictures(1, 3, 3, 3) // 2)
    got = way(images, *(torch.tensor([number]) for number in (top, left, 3, 3)))
    expected = F.interpolate(part.float(), (8, 8), mode="bilinear", align_corners=False)
    assert (got - expected).abs().max() <= 1.05


@pytest.mark.parametrize("side", [1, 2, 3, 50])
def test_rectangles_of_whole_pixels_are_drawn_inside_the_image_and_reach_its_borders(side):
    images = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(3000, 1, side, 2 * side)
    top, left, height, width = random_crop.draw(images.shape, seeded())
    for start, extent, length in ((top, height, side), (left, width, 2 * side)):
        assert extent.dtype == start.dtype == torch.int64
        assert extent.min() >= 1
        assert start.min() == 0
        assert (start + extent).max() == length


def test_colour_is_changed_one_pixel_at_a_time_in_the_order_promised():
    images = pictures(4, 3, 5, 6)
    b, s, c = torch.rand(3, 4, generator=seeded()) * 2
    got = adjust_colour(images, b, s, c)
    luma = np.array([0.299, 0.587, 0.114])
    for k in range(4):
        x = images[k].numpy().astype(float) * b[k].item()
        grey = np.einsum("chw,c->hw", x, luma)
        x = grey + s[k].item() * (x - grey)
        mean = np.einsum("chw,c->hw", x, luma).mean()
        x = np.clip(mean + c[k].item() * (x - mean), 0, 255)
        assert np.allclose(got[k].numpy(), x, atol=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_factors_of_one_leave_the_colours_as_they_are(channels):
    images, one = pictures(3, channels), torch.ones(3)
    assert torch.allclose(adjust_colour(images, one, one, one), images.float(), atol=1e-3)


def test_grey_images_have_no_saturation_to_change():
    images, one = pictures(2, 1), torch.ones(2)
    assert torch.equal(adjust_colour(images, one, one * 0, one), adjust_colour(images, one, one * 5, one))


# --- chance ---------------------------------------------------------------------------------------


def test_a_shift_is_at_most_an_eighth_and_reaches_every_place():
    # The pixel in the middle tells where the image went.
    images = numbered(2000, 16, 8)
    centre = random_shift(images, seeded())[:, 0, 8, 4].long()
    down, right = 8 - centre // 8, 4 - centre % 8
    assert sorted({*zip(down.tolist(), right.tolist(), strict=True)}) == [
        (y, x) for y in range(-2, 3) for x in range(-1, 2)
    ]


def test_images_of_less_than_8_pixels_are_not_shifted():
    images = pictures(5, 3, 7, 7)
    assert torch.equal(random_shift(images, seeded()), images)


def test_half_of_the_images_are_mirrored():
    images = numbered(2000, 1, 2)
    mirrored = random_flip(images, seeded())[:, 0, 0, 0] == 1
    assert 900 < mirrored.sum() < 1100


def test_crops_keep_the_promised_share_of_the_image_and_stay_inside():
    rows = torch.linspace(0, 252, 64).byte()[:, None].expand(64, 64)
    images = torch.stack([rows, rows.T])[None].expand(500, -1, -1, -1)  # each pixel holds its own place
    got = random_crop(images, seeded()) / 252
    height = (got[:, 0, 62, 32] - got[:, 0, 1, 32]) * 63 / 61
    width = (got[:, 1, 32, 62] - got[:, 1, 32, 1]) * 63 / 61
    area = height * width
    assert area.min() > CROP_AREA[0] * 0.85  # where a side was cut to the image's, the share is smaller
    assert area.max() <= 1.01
    assert 0.6 < area.mean() < 0.72
    ratio = width / height
    assert ratio.min() > 0.74
    assert ratio.max() < 1.35
    assert (ratio < 0.9).any()
    assert (ratio > 1.1).any()
    top = got[:, 0, 0, 32]
    assert top.min() < 0.02
    assert top.max() > 0.25
