from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.exporting.resize import Resize
from longtail.images.decode import decode

SIDES = st.integers(1, 90)


def patterns(height: int, width: int, seed: int) -> np.ndarray:
    """Three images in which every rounding shows: noise, black and white, and a slope."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (height, width, 3))
    slope = (np.add.outer(np.arange(height), np.arange(width))[..., None] * [1, 3, 5]) % 256
    return np.stack([noise, 255 * (noise > 127), slope]).astype(np.uint8)


def compare(images: np.ndarray, size: tuple[int, int]) -> None:
    expected = np.stack([decode(image, "", size) for image in images])
    found = Resize(size)(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(found, expected)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 9))
def test_every_pixel_is_that_of_decode(height: int, width: int, to_height: int, to_width: int, seed: int):
    compare(patterns(height, width, seed), (to_height, to_width))


@pytest.mark.parametrize("size", [(1, 1), (8, 3), (64, 64)])
@pytest.mark.parametrize("shape", [(1, 1500), (1500, 1), (1100, 900), (64, 64), (8, 3)])
def test_extreme_reductions_and_the_size_itself(shape: tuple[int, int], size: tuple[int, int]):
    compare(patterns(*shape, seed=0), size)
