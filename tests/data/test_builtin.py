from __future__ import annotations

import numpy as np
import pytest

from longtail.data.builtin import BUILTIN


@pytest.mark.parametrize("name", list(BUILTIN))
def test_what_is_told_of_a_builtin_is_what_it_loads(name: str) -> None:
    spec = BUILTIN[name]
    data = spec.load()
    assert (data.name, len(data), data.schema.attributes) == (name, spec.images, spec.attributes)
    assert len(set(data.ids)) == len(data.images) == spec.images


def test_digits_span_the_full_range_of_grey() -> None:
    images = np.stack([BUILTIN["digits"].load().images.read(i) for i in range(100)])
    assert images.shape == (100, 8, 8, 1)
    assert (images.dtype, images.min(), images.max()) == (np.uint8, 0, 255)


def test_parity_and_loop_follow_from_the_digit() -> None:
    data = BUILTIN["digits-attributes"].load()
    digit, parity, loop = data.schema.attributes
    seen = {(digit.classes[d], parity.classes[p], loop.classes[o]) for d, p, o in data.labels.tolist()}
    assert seen == {
        (str(d), "odd" if d % 2 else "even", "yes" if d in (0, 6, 8, 9) else "no") for d in range(10)
    }
