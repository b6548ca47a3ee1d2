from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.images.normalise import measure_normalisation, normalise


def pictures(n: int, channels: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, 16, 12), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_normalise_scales_to_one_then_centres_and_divides(kind):
    images = pictures(3).to(kind)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    got = normalise(images, mean, std)
    assert got.dtype == torch.float32
    for c in range(3):
        assert torch.allclose(got[:, c], (images[:, c].float() / 255 - mean[c]) / std[c], atol=1e-5)


def test_numbers_and_tensors_normalise_alike():
    images, mean, std = pictures(2), (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    assert torch.equal(normalise(images, mean, std), normalise(images, torch.tensor(mean), torch.tensor(std)))


def test_measured_mean_and_deviation_normalise_to_zero_and_one():
    images = pictures(20, seed=3)
    got = normalise(images, *measure_normalisation([images]))
    assert torch.allclose(got.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(got.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)


def test_measuring_depends_neither_on_order_nor_on_grouping():
    images = pictures(20)
    whole = measure_normalisation([images])
    assert measure_normalisation([images[13:], images[:13].flip(0)]) == whole
    assert measure_normalisation(iter(images.split(1))) == whole


def test_measuring_agrees_with_numpy():
    images = pictures(6, 2)
    mean, std = measure_normalisation([images])
    values = images.numpy().astype(float).transpose(1, 0, 2, 3).reshape(2, -1) / 255
    assert np.allclose(mean, values.mean(1), atol=1e-12)
    assert np.allclose(std, values.std(1), atol=1e-12)


def test_a_constant_channel_is_divided_by_one_grey_level_not_by_zero():
    images = torch.full((2, 1, 4, 4), 7, dtype=torch.uint8)
    mean, std = measure_normalisation([images])
    assert std == (1 / 255,)
    assert torch.allclose(normalise(images, mean, std), torch.zeros(1), atol=1e-4)


def test_there_must_be_a_pixel_to_measure():
    with pytest.raises(ValueError, match="at least one image"):
        measure_normalisation([])


def test_normalise_writes_where_it_is_told_to():
    images, mean, std = pictures(2), (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    place = torch.empty(3, 3, 16, 12)
    assert normalise(images, mean, std, place[1:]).data_ptr() == place[1:].data_ptr()
    assert torch.equal(place[1:], normalise(images, mean, std))
