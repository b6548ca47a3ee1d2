"""+PART of a label in `compare`: what one method has of its own, as flags of `longtail train`; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from longtail.errors import InputError
from longtail.methods.options import MethodOptions
from longtail.methods.rows import METHODS
from longtail.training.config import TrainConfig
from longtail.words import did_you_mean

SETTINGS = (
    "optimizer", "learning_rate", "layer_decay", "momentum", "weight_decay", "warmup", "clip_gradient",
    "batch_size", "augment",
)  # fmt: skip
"""Settings of a training, beside the options of its method, that one method may have of its own."""

SECOND_STAGES = tuple(name for name, row in METHODS.items() if row.second_stage)
"""Methods that go on from the runs of another."""

_OPTIONS = "method_options"

S = TypeVar("S")


@dataclass(frozen=True)
class Part:
    """One part of a label.

    Attributes:
        flag: of `longtail train` that it stands for, without dashes.
        path: fields that lead to it from `TrainConfig`.
        value: that it has.
    """

    flag: str
    path: tuple[str, ...]
    value: object

    @property
    def table(self) -> str | None:
        """The table of options that it is in, or None."""
        return self.path[1] if len(self.path) == 3 else None

    def of_options(self, options: MethodOptions) -> MethodOptions:
        """The options with it; as they are where it is none."""
        return _replaced(options, self.path[1:], self.value) if self.path[0] == _OPTIONS else options

    def of_settings(self, config: TrainConfig) -> TrainConfig:
        """The settings with it; as they are where it is an option of the method."""
        return config if self.path[0] == _OPTIONS else _replaced(config, self.path, self.value)


def parse_part(text: str) -> Part:
    """FLAG=VALUE, or a VALUE that only flags of choices have; of several such flags the first.

    Options of a method may be written without the name of their table, where no other table has one of
    that name.

    Raises:
        InputError: when there is no such flag or value.

    Example:
        >>> parse_part("over").path, parse_part("level=class").flag, parse_part("weight-decay=0.01").value
        (('method_options', 'sampler'), 'crl.level', 0.01)
    """
    flag, equals, value = text.partition("=")
    if not equals:
        return _of_value(text)
    path = _path(flag)
    hint: Any = _flags()[path]
    try:
        return Part(_dashed(path), path, msgspec.convert(value, hint, strict=False))
    except msgspec.ValidationError:
        raise InputError(f"--{_dashed(path)}: {_expected(hint)}, got {value!r}") from None


def choice_flags() -> tuple[str, ...]:
    """The flags whose values alone are parts."""
    return tuple(f"--{_dashed(path)}" for path, _ in choices())


def _of_value(text: str) -> Part:
    for path, values in choices():
        if text in values:
            return Part(_dashed(path), path, text)
    values = list(dict.fromkeys(value for _, values in choices() for value in values))
    *flags, last = choice_flags()
    near = did_you_mean(text, [*values, *SECOND_STAGES, *map(_dashed, _flags())])
    raise InputError(
        f"expected FLAG=VALUE, {' or '.join(SECOND_STAGES)}, or a value of {', '.join(flags)} or {last} "
        f"({', '.join(values)}), got {text!r}.{near}"
    )


def _path(flag: str) -> tuple[str, ...]:
    """The fields that lead to a flag, with or without the name of its table."""
    name = flag.replace("-", "_")
    exact = [path for path in _flags() if ".".join(_own(path)) == name]
    found = exact or [path for path in _flags() if path[-1] == name]
    if len(found) > 1:
        several = ", ".join(map(_dashed, found))
        raise InputError(f"expected one flag, got {flag!r}, which may be any of {several}")
    if not found:
        near = did_you_mean(flag, map(_dashed, _flags()))
        raise InputError(f"expected an option of the method or of its optimizer, got {flag!r}.{near}")
    return found[0]


@cache
def _flags() -> dict[tuple[str, ...], object]:
    """The type of every flag that a part may set, by the fields that lead to it."""
    hints = get_type_hints(TrainConfig)
    return {(name,): hints[name] for name in SETTINGS} | dict(_options(MethodOptions(), (_OPTIONS,)))


def _options(options: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    hints = get_type_hints(type(options))
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            yield from _options(value, (*path, field.name))
        else:
            yield (*path, field.name), hints[field.name]


def choices() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The flags of a method that have no table and take one of some words, with these."""
    for path, hint in _flags().items():
        if len(path) == 2 and (values := _words(hint)):
            yield path, values


def _words(hint: Any) -> tuple[str, ...]:
    kinds = (kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal)
    return tuple(str(word) for kind in kinds for word in get_args(kind))


def _expected(hint: Any) -> str:
    if words := _words(hint):
        return f"expected one of {', '.join(words)}"
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    return f"expected {next((kinds[kind] for kind in (hint, *get_args(hint)) if kind in kinds), 'a text')}"


def _own(path: Sequence[str]) -> Sequence[str]:
    return path[1:] if path[0] == _OPTIONS else path


def _dashed(path: Sequence[str]) -> str:
    return ".".join(_own(path)).replace("_", "-")


def _replaced(settings: S, path: Sequence[str], value: object) -> S:
    name, rest = path[0], path[1:]
    new = _replaced(getattr(settings, name), rest, value) if rest else value
    return replace(settings, **{name: new})  # pyright: ignore[reportArgumentType, reportCallIssue]
