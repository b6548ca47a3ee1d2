from __future__ import annotations

import pytest
import torch

from longtail.images.augment import AUGMENTATIONS, augment_and_normalise, crops, draw_mirrored, draw_parts
from longtail.images.changes import JITTER, crop
from longtail.images.normalise import normalise

from .cases import LAYOUTS, pictures, seeded


def augment(images, name, generator):
    """The whole batch, one step after the other."""
    for step in AUGMENTATIONS[name]:
        images = step(images, generator)
    return images


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
    augment_and_normalise(images, name, seeded(), (0.5,) * 3, (0.2,) * 3)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_augmentation_gives_back_the_batch_and_draws_nothing():
    images, generator = pictures(4), seeded()
    state = generator.get_state()
    normalised = normalise(images, (0.5,) * 3, (0.2,) * 3)
    got = augment_and_normalise(images, "none", generator, (0.5,) * 3, (0.2,) * 3)
    assert torch.equal(got, normalised)
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
    kinds = len(torch.unique(augment(images, name, seeded()), dim=0))
    assert kinds == 2 if name == "mirror" else kinds > 4


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


def test_what_is_drawn_to_be_mirrored_is_what_is_mirrored():
    images = pictures(12)
    mirrored = draw_mirrored(tuple(images.shape), seeded())
    changed = augment(images, "mirror", seeded())
    for image, result, other in zip(images, changed, mirrored.tolist()):
        assert torch.equal(result, image.flip(-1) if other else image)
    assert 0 < mirrored.sum() < 12
