"""Configuration files in TOML, YAML or JSON, and how flags are laid over them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from longtail.cli.flags import FLAT, flag_names
from longtail.cli.values import checked
from longtail.errors import InputError
from longtail.training.config import TrainConfig
from longtail.words import did_you_mean

Settings = dict[str, Any]

T = TypeVar("T")

_FLAT_KEYS = {name: list(get_type_hints(get_type_hints(TrainConfig)[name])) for name in FLAT}
"""The keys of the parts of `TrainConfig` that may stand at the top of a file."""


def read_settings(path: Path) -> Settings:
    """The settings in a file, nested as in `TrainConfig`, with the types of its fields.

    Keys are the names of the fields of `TrainConfig`, `DataOptions` and `MethodOptions`; the options of a
    method stand in a table of its name. The config.json of a run is such a file too.

    Raises:
        InputError: when the file cannot be read, a key is unknown, or a value has the wrong type.
    """
    content = _parsed(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected settings as key = value, got {type(content).__name__}")
    nested: Settings = {}
    flat = cast(Settings, content)
    for key in sorted(flat, key=lambda key: key not in FLAT):  # tables first, so that they do not win
        value = flat[key]
        part = next((name for name, keys in _FLAT_KEYS.items() if key in keys), None)
        if part is None:
            nested[key] = value
        else:
            nested[part] = {**_table(nested.get(part, {}), f"{path}: {part}"), key: value}
    known = [*get_type_hints(TrainConfig), *(key for keys in _FLAT_KEYS.values() for key in keys)]
    return _checked(nested, TrainConfig, path, "", suggestions=known)


def configure(file: Settings, flags: Settings, path: Path | None) -> TrainConfig:
    """The configuration of a file with flags laid over it; both nested as in `TrainConfig`.

    Raises:
        InputError: when a value is out of its range; it names the file where the value came from there.
    """
    try:
        return _built(TrainConfig, _merged(file, flags))
    except InputError as error:
        typed = flag_names(flags)
        named = re.findall(r"--[\w.-]*\w", str(error).partition(":")[0])
        if path is not None and any(name not in typed and name in flag_names(file) for name in named):
            raise InputError(f"{path}: {error}") from None
        raise


def _merged(under: Settings, over: Settings) -> Settings:
    both = {name: _merged(under[name], over[name]) for name in under if _is_table(under, over, name)}
    return {**under, **over, **both}


def _is_table(under: Settings, over: Settings, name: str) -> bool:
    return isinstance(under[name], dict) and isinstance(over.get(name), dict)


def _built(cls: type[T], settings: Settings) -> T:
    hints = get_type_hints(cls)
    return cls(
        **{
            name: _built(hints[name], value) if is_dataclass(hints[name]) else value
            for name, value in settings.items()
        }
    )


def _checked(
    content: Mapping[str, Any], cls: Any, path: Path, prefix: str, suggestions: list[str] | None = None
) -> Settings:
    hints = get_type_hints(cls)
    settings: Settings = {}
    for key in map(str, content):
        if key not in [field.name for field in fields(cls)]:
            near = did_you_mean(prefix + key, [prefix + name for name in suggestions or hints])
            raise InputError(f"{path}: unknown key {prefix + key!r}.{near}")
        if is_dataclass(hints[key]):
            table = _table(content[key], f"{path}: {prefix}{key}")
            inner = "" if key in FLAT else f"{prefix}{key}."  # the keys of flat parts may stand at the top
            settings[key] = _checked(table, hints[key], path, inner)
        else:
            settings[key] = _value(hints[key], content[key], f"{path}: {prefix}{key}")
    return settings


def _value(hint: Any, value: Any, where: str) -> Any:
    try:
        return checked(hint, value)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _table(value: Any, where: str) -> Settings:
    if isinstance(value, dict):
        return cast(Settings, value)
    raise InputError(f"{where}: expected a table of settings, got {value!r}")


def _parsed(path: Path) -> Any:
    readers = {".toml": tomllib.loads, ".yaml": _yaml, ".yml": _yaml, ".json": json.loads}
    parse = readers.get(path.suffix.lower())
    if parse is None:
        raise InputError(f"--config {path}: expected a file that ends in .toml, .yaml or .json")
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"--config {path}: there is no such file") from None
    except ValueError as error:  # what tomllib and json raise, and text that is not UTF-8
        raise InputError(f"{path}: not readable as {path.suffix[1:].upper()}: {error}") from None


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'bad syntax'}{line}") from None
