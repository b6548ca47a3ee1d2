from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import pytest

from longtail.errors import InputError
from longtail.settings import (
    AT_LEAST_ONE,
    INNER_SHARE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Range,
    Settings,
)


@dataclass(frozen=True)
class Example(Settings, prefix="table."):
    batch_size: Annotated[int, AT_LEAST_ONE] = 1
    margin: Annotated[float | None, POSITIVE] = None
    free: float = -1.0


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (POSITIVE, (1e-9, math.inf), (0, -1, math.nan)),
        (NOT_NEGATIVE, (0, 3), (-1e-9, math.nan)),
        (AT_LEAST_ONE, (1, 2), (0, math.nan)),
        (SHARE, (0, 0.999), (1, -0.1, math.nan)),
        (INNER_SHARE, (0.5,), (0, 1, math.nan)),
        (Range("a share above 0 and up to 1", 0, 1, without_low=True), (1, 0.1), (0, 1.1)),
    ],
)
def test_a_range_holds_what_its_words_say(allowed, inside, outside):
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)


def test_a_value_in_its_range_is_taken_and_none_is_no_value():
    assert Example(batch_size=2, margin=0.5, free=-3.0) == Example(2, 0.5, -3.0)
    assert Example().margin is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "--table.batch-size: expected at least 1, got 0"),
        ({"margin": math.nan}, "--table.margin: expected a positive number, got nan"),
    ],
)
def test_a_value_out_of_its_range_is_named_by_its_flag(values, message):
    with pytest.raises(InputError) as caught:
        Example(**values)
    assert str(caught.value) == message
