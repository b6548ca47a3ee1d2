"""Settings that are checked when they are made: the range of a value stands beside its field."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, get_type_hints

from longtail.errors import InputError


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may have, low < x < high, with or without its ends; never NaN.

    Attributes:
        what: the same in words, for "expected …, got …".
        low: smallest number.
        high: largest number.
        without_low, without_high: whether the end itself is out.
    """

    what: str
    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False
    without_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.without_low else self.low <= value
        return above and (value < self.high if self.without_high else value <= self.high)


MOST_BITS = 16
"""Bits that values of 16 bits use, where nothing else is said."""

POSITIVE = Range("a positive number", 0, without_low=True)
NOT_NEGATIVE = Range("0 or more", 0)
AT_LEAST_ONE = Range("at least 1", 1)
AT_LEAST_TWO = Range("at least 2", 2)
IMAGE_BITS = Range(f"8 to {MOST_BITS}", 8, MOST_BITS)
SHARE = Range("a number from 0 up to but without 1", 0, 1, without_high=True)
INNER_SHARE = Range("a share between 0 and 1", 0, 1, without_low=True, without_high=True)

MANY_ABOVE, FEW_BELOW = 100, 20
"""Training images above which a class is called many, and below which few, unless the user says otherwise."""


def seconds_of(flag: str, text: str) -> float:
    """A time as 30s, 10m or 2h, in seconds.

    Raises:
        InputError: naming the flag.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip().lower())
    if found is None:
        raise InputError(f"{flag}: expected a time as 30s, 10m or 2h, got {text!r}")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


class Settings:
    """Base of the dataclasses of a configuration.

    A field that is declared `Annotated[float, POSITIVE]`, or `Annotated[float | None, POSITIVE]`, is checked
    when the object is made. What concerns several fields is checked in `__post_init__`, after `super()`'s.

    Raises:
        InputError: when a value is out of its range, by the name of the flag: prefix and field.

    Example::

        @dataclass(frozen=True)
        class FocalOptions(Settings, prefix="focal."):
            gamma: Annotated[float, NOT_NEGATIVE] = 2.0

        FocalOptions(gamma=-1.0)  # InputError: --focal.gamma: expected 0 or more, got -1.0
    """

    flag_prefix: ClassVar[str] = ""

    def __init_subclass__(cls, prefix: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.flag_prefix = prefix

    def __post_init__(self) -> None:
        for name, allowed in _ranges(type(self)).items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                flag = f"--{self.flag_prefix}{name.replace('_', '-')}"
                raise InputError(f"{flag}: expected {allowed.what}, got {value}")


@cache
def _ranges(settings: type[Settings]) -> dict[str, Range]:
    """By field, the range in its annotation."""
    hints = get_type_hints(settings, include_extras=True).items()
    found = ((name, note) for name, hint in hints for note in getattr(hint, "__metadata__", ()))
    return {name: note for name, note in found if isinstance(note, Range)}
