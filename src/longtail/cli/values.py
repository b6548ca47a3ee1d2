"""From what a person wrote, in a flag or in a file, to a value of a setting's type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from longtail.words import did_you_mean


def checked(hint: Any, value: Any) -> Any:
    """The value as the type that a field is declared with.

    Numbers may be written as text, because YAML reads 5e-4 as text, and text as numbers (128 for a
    size); whether something is true must be said with true or false.

    Args:
        hint: bool, int, float, str, a Literal, tuple[str, ...], or one of these or None.
        value: text from the command line, or a value from a file.

    Raises:
        ValueError: "expected ..., got ..."; who calls knows the name of the flag or key.

    Example:
        >>> checked(int, "20"), checked(float | None, None), checked(tuple[str, ...], "label")
        (20, None, ('label',))
    """
    options = [option for option in get_args(hint) if option is not NoneType]
    if NoneType in get_args(hint):
        return None if value is None else checked(options[0], value)
    if get_origin(hint) is Literal:
        return _choice(options, value)
    if get_origin(hint) is tuple:
        return _texts(value)
    return _CHECKS[hint](value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _unexpected("true or false", value)


def _whole(value: Any) -> int:
    if isinstance(value, bool | float):
        raise _unexpected("a whole number", value)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise _unexpected("a whole number", value) from None


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number):
        return number
    raise _unexpected("a number", value)


def _text(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise _unexpected("text", value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(_text(item) for item in value)
    return (_text(value),)


def _choice(options: Sequence[Any], value: Any) -> Any:
    known = {str(option): option for option in options}
    if isinstance(value, bool) or str(value) not in known:
        near = did_you_mean(str(value), known)
        raise ValueError(f"expected one of {', '.join(known)}, got {value!r}{near and '.' + near}")
    return known[str(value)]


def _unexpected(kind: str, value: Any) -> ValueError:
    return ValueError(f"expected {kind}, got {value!r}")


_CHECKS = {bool: _truth, int: _whole, float: _number, str: _text}
