"""Configuration files in TOML, YAML or JSON: settings that lie under the flags."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from longtail.errors import InputError

FLAT = ("data_options", "method_options")
"""Fields of `TrainConfig` whose own fields have no prefix, as flags and in files."""


LENGTH = ("steps", "epochs")
"""How long a training is: one of them, or the budget of a comparison, takes the place of both below it."""


@dataclass(frozen=True)
class Layer:
    """Settings by their names, and the file they came from."""

    source: str
    values: Mapping[str, Any]

    def without(self, *names: str) -> Layer:
        """The layer that leaves some settings to those below it."""
        return Layer(self.source, {key: value for key, value in self.values.items() if key not in names})


def stacked(given: Container[str], layers: Iterable[Layer]) -> list[Layer]:
    """Layers under what is given, the uppermost first, without a length that one above takes the place of."""
    said, kept = {name for name in (*LENGTH, "budget") if name in given}, list[Layer]()
    for layer in layers:
        kept.append(layer.without(*(name for name in LENGTH if said and name not in said)))
        said |= {name for name in LENGTH if layer.values.get(name) is not None}
    return kept


def file_layer(path: Path) -> Layer:
    """The settings in a file, with the types of its format.

    Keys are the names of the fields of `TrainConfig`, `DataOptions` and `MethodOptions`; the options of a
    method stand in a table of its name. The config.json of a run is such a file too.

    Raises:
        InputError: when the file cannot be read, or a key stands there twice.
    """
    content = _parsed(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected settings as key = value, got {type(content).__name__}")
    return Layer(str(path), _flat(content, path))


def run_layer(run: Path) -> Layer:
    """What a training that starts from a run takes over: all but its method, its folder, how it began.

    Raises:
        InputError: when there is no such run.
    """
    from longtail.training.config import CONFIG

    path = run / "config.json"
    if not path.exists():
        raise InputError(f"--from {run}: expected the folder of a trained run, there is no config.json in it")
    config = asdict(CONFIG.read(path))
    del config["method_options"]
    own = ("method", "output", "start", "from_scratch", "weights")
    return Layer(str(path), _flat(config, path)).without(*own)


def _flat(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if key in FLAT and not isinstance(value, dict):
            raise InputError(f"{path}: {key}: expected a table of settings, got {value!r}")
        for name, own in value.items() if key in FLAT else [(str(key), value)]:
            if name in flat:
                raise InputError(f"{path}: {name}: expected once, given more than once")
            flat[name] = own
    return flat


def _parsed(path: Path) -> Any:
    as_json = partial(json.loads, object_pairs_hook=_once)
    readers = {".toml": tomllib.loads, ".yaml": _yaml, ".yml": _yaml, ".json": as_json}
    parse = readers.get(path.suffix.lower())
    if parse is None:
        raise InputError(f"--config {path}: expected a file that ends in .toml, .yaml or .json")
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"--config {path}: there is no such file") from None
    except (ValueError, RecursionError) as error:  # what the readers raise, and text that is not UTF-8
        raise InputError(f"{path}: not readable as {path.suffix[1:].upper()}: {error}") from None


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    _expect_once([key for key, _ in pairs])
    return dict(pairs)


def _expect_once(keys: list[Any]) -> None:
    """A key that stands in a table twice is a mistake, not the later value."""
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ValueError(f"key {twice!r} stands there more than once")


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            if isinstance(node, yaml.MappingNode):
                _expect_once([key.value for key, _ in node.value])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'bad syntax'}{line}") from None
