"""Keyword arguments -> the settings that flags make, with the same errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Unpack

import msgspec

from longtail.api.options import Arguments, DataArguments
from longtail.cli.config_file import run_layer, stacked
from longtail.documents import unknown_key
from longtail.errors import InputError
from longtail.files import place_of
from longtail.methods.options import MethodOptions
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions
from longtail.words import did_you_mean

_TABLES = {"data_options": DataOptions, "method_options": MethodOptions}
"""Fields of `TrainConfig` whose own fields are arguments like all others."""


def settings(data: str | Path, **given: Unpack[Arguments]) -> TrainConfig:
    """A training as the flags of the same names make it; one that starts from a run has the settings of that.

    Raises:
        InputError: when a name or a value is none that can be, or there is no such run.

    Example:
        >>> settings("photos/", epochs=3, val_share=0.2, crl={"level": "class"}).data_options.val_share
        0.2
    """
    named = {name: given.get(name) for name in ("start", "output")}
    folders = {
        name: str(place_of(str(x))) for name, x in named.items() if isinstance(x, str | Path) and x != ""
    }
    below = stacked(given, [run_layer(Path(folders["start"]))])[0].values if "start" in folders else {}
    return _converted(_sorted({**below, "data": data, **given, **folders}), TrainConfig)


def flags_of(given: Mapping[str, object]) -> list[str]:
    """The flags that tables of options stand for.

    Example:
        >>> flags_of({"epochs": 3, "crl": {"raw_features": True}})
        ['--crl.raw-features']
    """
    tables = {name: value for name, value in given.items() if isinstance(value, Mapping)}
    return [f"--{name}.{key}".replace("_", "-") for name, table in tables.items() for key in table]


def data_settings(**given: Unpack[DataArguments]) -> DataOptions:
    """What to read, as the flags of the same names say it.

    Raises:
        InputError: as `settings`.
    """
    return _converted({name: _plain(value) for name, value in given.items()}, DataOptions)


def _sorted(given: Mapping[str, object]) -> dict[str, Any]:
    """Every argument in the table that it belongs to."""
    found: dict[str, Any] = {name: {} for name in _TABLES}
    places = {f.name: found[table] for table, type_ in _TABLES.items() for f in fields(type_)}
    places |= {f.name: found for f in fields(TrainConfig) if f.name not in _TABLES}
    for name, value in given.items():
        if name not in places:
            raise InputError(_no_such(name, _names(TrainConfig)))
        places[name][name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """A value as a document holds it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    return {**value} if isinstance(value, Mapping) else value


def _converted(plain: dict[str, Any], to: Any) -> Any:
    unknown = unknown_key(plain, to, "$")
    if unknown is not None:
        raise InputError(_no_such(_argument(unknown), _names(to)))
    try:
        return msgspec.convert(plain, to)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        what, _, where = str(error).partition(" - at `")
        raise InputError(f"{_argument(where)}: {what[:1].lower()}{what[1:]}") from None


def _argument(place: str) -> str:
    """The name of an argument from its place in the document, as $.method_options.crl.level."""
    return place.strip("`$").rpartition("_options.")[2].lstrip(".")


def _names(of: Any) -> list[str]:
    """Names of fields, and of those of their tables behind a dot."""
    found: list[str] = []
    for f in fields(of):
        found.append(f.name)
        if is_dataclass(f.default_factory):
            behind = "" if f.name in _TABLES else f"{f.name}."
            found += [f"{behind}{name}" for name in _names(f.default_factory)]
    return found


def _no_such(name: str, known: list[str]) -> str:
    near = did_you_mean(name, known)
    return f"{name}: no such argument{near and f'.{near}'}"
