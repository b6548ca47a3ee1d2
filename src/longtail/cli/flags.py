"""Flags made from the configuration dataclasses: same names, types, help and defaults.

A flag that is not given is None, so that what was typed can be laid over a configuration file.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, make_dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from cyclopts import Parameter, Token

from longtail.cli.values import checked
from longtail.training.config import DataOptions, TrainConfig

RUN, TRAINING, MODEL, DATA, DEVICES = "Run", "Training", "Model", "Data", "Devices and report"
METHOD = "Parts of the method"
"""Headings in the help."""

HEADINGS = {
    MODEL: ("backbone", "from_scratch", "image_size", "features", "hidden", "shared_feature", "augment"),
    DEVICES: ("accelerator", "devices", "precision", "workers", "many_above", "few_below"),
    RUN: ("output",),
}
"""Headings of the fields of `TrainConfig`; the others stand below `TRAINING`."""

METAVARS = {
    "attributes": "COLUMN...",
    "augment": "NAME",
    "backbone": "NAME",
    "domain_column": "COLUMN",
    "group_column": "COLUMN",
    "identity_column": "COLUMN",
    "image_column": "COLUMN",
    "image_size": "SIZE",
    "images": "PATH",
    "match_column": "COLUMN",
    "method": "NAME",
    "output": "FOLDER",
    "split_column": "COLUMN",
    "tail_attribute": "COLUMN",
}
"""What stands for the value in the help, where the type alone says too little."""

FLAT = {"data_options": DATA, "method_options": METHOD}
"""Fields of `TrainConfig` that are dataclasses whose own fields have no prefix, and their headings."""

SOURCE = (
    "images",
    "image_column",
    "attributes",
    "split_column",
    "group_column",
    "identity_column",
    "domain_column",
    "match_column",
    "skip_missing",
)
"""The fields of `DataOptions` that say how to read data, without those that say how to split them."""

T = TypeVar("T")


class Given:
    """Base of the classes of flags."""

    def given(self) -> dict[str, Any]:
        """The flags that were given, nested as in the configuration."""
        values = {field.name: getattr(self, field.name) for field in fields(cast(Any, self))}
        plain = {name: value.given() if isinstance(value, Given) else value for name, value in values.items()}
        return {name: value for name, value in plain.items() if value is not None and value != {}}


def option(
    help: str, metavar: str | None = None, *, hint: Any = str, heading: str = RUN, default: object = None
) -> Parameter:
    """How a flag is parsed and shown.

    Args:
        help: one sentence.
        metavar: what stands for its value in the help; by default its type.
        hint: type of its value.
        heading: what it stands below in the help.
        default: what is shown as its default; None, False and () are not.
    """
    return Parameter(
        help=help,
        metavar=_metavar(hint) if metavar is None else metavar,
        converter=None if _core(hint) in (bool, Path) else partial(_convert, hint),
        group=heading,
        show_default=False if default is None or default is False or default == () else str(default),
        negative_iterable=(),
        consume_multiple=1 if get_origin(hint) is tuple else None,
    )


def flag_names(given: dict[str, Any], prefix: str = "--") -> list[str]:
    """The names of given flags as they are typed; the fields of the parts in `FLAT` have no prefix.

    Example:
        >>> given = {"data_options": {"val_share": 0.1}, "method_options": {"crl": {"level": "class"}}}
        >>> flag_names({"batch_size": 64, **given})
        ['--batch-size', '--val-share', '--crl.level']
    """
    names: list[str] = []
    for name, value in given.items():
        if isinstance(value, dict):
            names += flag_names(cast(Any, value), prefix if name in FLAT else f"{prefix}{_dashed(name)}.")
        else:
            names.append(prefix + _dashed(name))
    return names


def _flags_of(
    source: type, *, heading: str, leave_out: Collection[str] = (), only: Collection[str] | None = None
) -> Callable[[type[T]], type[T]]:
    """Give a class the fields of a configuration dataclass, each of them None where it is not given."""

    def decorate(empty: type[T]) -> type[T]:
        hints, texts = get_type_hints(source), _field_docs(source)
        rows: list[tuple[str, Any, Any]] = []
        for field in fields(cast(Any, source)):
            if field.name in leave_out or (only is not None and field.name not in only):
                continue
            hint = hints[field.name]
            if is_dataclass(hint):
                rows.append(_nested(field.name, cast(type, hint)))
            else:
                text = texts.get(field.name, "")
                rows.append((field.name, _annotated(field, hint, text, heading), None))
        made = make_dataclass(empty.__name__, rows, bases=(empty,), frozen=True)
        made.__module__ = empty.__module__  # cyclopts takes classes of the module `types` for plain values
        return cast(type[T], made)

    return decorate


def _annotated(field: Field[Any], hint: Any, text: str, heading: str) -> Any:
    default = None if field.default is MISSING else field.default
    place = next((name for name, members in HEADINGS.items() if field.name in members), heading)
    shown = option(text, METAVARS.get(field.name), hint=hint, heading=place, default=default)
    return Annotated[hint | None, shown]


def _nested(name: str, source: type) -> tuple[str, Any, Any]:
    """The flags of a dataclass in a dataclass; those of the parts in `FLAT` have no prefix."""
    heading = FLAT.get(name) or (source.__doc__ or name).splitlines()[0].rstrip(".")
    flags = _flags_of(source, heading=heading)(type(source.__name__, (Given,), {"__module__": __name__}))
    return name, Annotated[flags, Parameter(name="*" if name in FLAT else None)], flags()


@cache
def _module_docs(module: str) -> dict[str, dict[str, str]]:
    """Class -> field -> the text below the field."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _texts_below(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts_below(body: Sequence[ast.stmt]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for above, below in pairwise(body):
        match above, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                texts[name] = inspect.cleandoc(text)
            case _:
                pass
    return texts


def _field_docs(source: type) -> dict[str, str]:
    return _module_docs(source.__module__).get(source.__name__, {})


def _core(hint: Any) -> Any:
    """The type without `| None`."""
    return next((part for part in get_args(hint) if part is not NoneType), hint) if _optional(hint) else hint


def _optional(hint: Any) -> bool:
    return NoneType in get_args(hint)


def _metavar(hint: Any) -> str:
    core = _core(hint)
    if get_origin(core) is Literal:
        return "CHOICE"
    return {bool: "", int: "INT", float: "NUMBER"}.get(core, "TEXT")


def _convert(hint: Any, _type: Any, tokens: Sequence[Token]) -> Any:
    values = [token.value for token in tokens]
    return checked(hint, values if get_origin(hint) is tuple else values[0])


def _dashed(name: str) -> str:
    return name.replace("_", "-")


@_flags_of(TrainConfig, heading=TRAINING, leave_out=("data", "start"))
class TrainFlags(Given):
    """Flags of a training."""


@_flags_of(DataOptions, heading=DATA, only=SOURCE)
class SourceFlags(Given):
    """Flags that say how to read data."""


@_flags_of(
    TrainConfig, heading=TRAINING, leave_out=("data", "start", "method", "seed", "output", "method_options")
)
class SharedFlags(Given):
    """Flags of a training that all trainings of a comparison share."""
