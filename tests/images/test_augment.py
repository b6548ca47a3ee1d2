from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.errors import InputError
from longtail.images.augment import (
    AUGMENTATIONS,
    CROP_AREA,
    JITTER,
    _crop_each,
    _crop_together,
    adjust_colour,
    augment,
    augment_and_normalise,
    crop,
    crops,
    draw_parts,
    flip,
    random_crop,
    random_flip,
    random_shift,
    shift,
)
from longtail.images.normalise import normalise


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, channels: int = 3, height: int = 16, width: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, height, width), generator=seeded(seed), dtype=torch.uint8)


def numbered(n: int, height: int, width: int) -> torch.Tensor:
    """Images in which every pixel has its own value."""
    return torch.arange(height * width, dtype=torch.uint8).reshape(1, 1, height, width).expand(n, 1, -1, -1)


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
LAYOUTS = [torch.contiguous_format, torch.channels_last]


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


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_preset_keeps_shape_and_range(name, channels):
    extremes = torch.tensor([0, 255], dtype=torch.uint8)[torch.randint(0, 2, (40, channels, 16, 24))]
    got = augment(extremes, name, seeded())
    assert got.shape == extremes.shape
    assert got.dtype in (torch.uint8, torch.float32)
    assert got.min() >= 0
    assert got.max() <= 255


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_seed_gives_the_same_batch_and_another_seed_another(name):
    images = pictures(16)
    first, again, other = (augment(images, name, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "none")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_only_the_given_generator_is_used_and_the_input_is_left_alone(name):
    images = pictures(8)
    before, state = images.clone(), torch.get_rng_state()
    augment(images, name, seeded())
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_augmentation_gives_back_the_batch_and_draws_nothing():
    images, generator = pictures(4), seeded()
    state = generator.get_state()
    assert augment(images, "none", generator) is images
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_images_do_not_decide_what_is_drawn(name):
    generators = seeded(), seeded()
    augment(pictures(8, 3, 16, 16), name, generators[0])
    augment(pictures(8, 1, 32, 24, seed=5), name, generators[1])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "none"])
def test_images_of_a_batch_are_changed_independently(name):
    images = pictures(1).expand(12, -1, -1, -1)
    assert len(torch.unique(augment(images, name, seeded()), dim=0)) > 4


@pytest.mark.parametrize("name", ["small-noflip", "photo-noflip"])
def test_presets_without_flip_keep_left_on_the_left(name):
    images = torch.zeros(200, 1, 16, 16, dtype=torch.uint8)
    images[..., :8] = 200
    got = augment(images, name, seeded()).float()
    assert (got[..., 0] >= got[..., -1]).all()


@pytest.mark.parametrize("name", ["small", "photo"])
def test_presets_with_flip_mirror_some(name):
    images = torch.zeros(200, 1, 16, 16, dtype=torch.uint8)
    images[..., :8] = 200
    got = augment(images, name, seeded()).float()
    assert (got[:, 0, 8, 0] < got[:, 0, 8, -1]).any()
    assert (got[:, 0, 8, 0] > got[:, 0, 8, -1]).any()


def test_brightness_is_jittered_mildly():
    images = torch.full((500, 3, 8, 8), 100, dtype=torch.uint8)
    got = augment(images, "photo", seeded())
    assert got.min() >= 100 * (1 - JITTER) - 0.01
    assert got.max() <= 100 * (1 + JITTER) + 0.01
    assert got.std() > 5


def test_an_unknown_preset_is_refused_with_the_names_of_the_known():
    with pytest.raises(InputError, match=r"'huge' is unknown; expected one of none, small, "):
        augment(pictures(1), "huge", seeded())


# --- augmentation and normalisation in one --------------------------------------------------------


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("images", [1, 16, 37])
def test_a_few_images_at_a_time_make_the_same_batch(name, images):
    batch, mean, std = pictures(images, 3, 12, 10), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    whole = normalise(augment(batch, name, seeded()), mean, std)
    got = augment_and_normalise(batch, name, seeded(), mean, std)
    assert got.dtype == torch.float32
    assert torch.allclose(got, whole, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if crops(name)])
def test_images_cropped_beforehand_are_the_batch_that_is_cropped_within(name):
    batch, mean, std = pictures(20, 3, 40, 30), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    within = augment_and_normalise(batch, name, seeded(), mean, std)
    before = crop(batch, *draw_parts(batch.shape, seeded()).unbind(1))
    assert torch.equal(augment_and_normalise(before, name, seeded(), mean, std, cropped=True), within)


def test_only_photos_are_cropped():
    assert [name for name in AUGMENTATIONS if crops(name)] == ["photo", "photo-noflip"]
    with pytest.raises(InputError, match="augmentation 'other' is unknown"):
        crops("other")


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(1, 1), (9, 5), (400, 400)])
def test_the_layout_of_the_memory_changes_nothing(name, size):
    batch, mean, std = pictures(3, 3, *size), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    planes, pixels = (
        augment_and_normalise(batch.contiguous(memory_format=layout), name, seeded(), mean, std)
        for layout in LAYOUTS
    )
    assert torch.equal(planes, pixels)
    assert planes.is_contiguous()


@pytest.mark.parametrize("name", ["photo", "photo-noflip"])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalised_colours_stay_within_black_and_white(name, channels):
    extremes = torch.tensor([0, 255], dtype=torch.uint8)[torch.randint(0, 2, (40, channels, 16, 24))]
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
    got = augment_and_normalise(extremes, name, seeded(), mean, std)
    for channel, m, d in zip(got.unbind(1), mean, std, strict=True):
        assert channel.min().item() == pytest.approx(-m / d)
        assert channel.max().item() == pytest.approx((1 - m) / d)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_no_image_is_an_empty_batch(name):
    got = augment_and_normalise(pictures(0), name, seeded(), (0.5,) * 3, (0.2,) * 3)
    assert got.shape == augment(pictures(0), name, seeded()).shape == (0, 3, 16, 12)
