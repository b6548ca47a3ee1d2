"""From a typed command line to a call: flags over a configuration file over the settings of a run.

cyclopts makes the flags of the fields of the configuration; what it says about a mistake is put into one line
in the words of our other messages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import BoundArguments
from pathlib import Path
from types import ModuleType, NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import (
    UNSET,
    App,
    Argument,
    ArgumentCollection,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    RepeatArgumentError,
    Token,
    UnknownOptionError,
    UnusedCliTokensError,
)

from longtail.cli.config_file import FLAT, Layer, stacked
from longtail.errors import InputError
from longtail.words import did_you_mean

Typed = Annotated[Mapping[str, tuple[str, ...]], Parameter(parse=False)]
"""What was typed: '--epochs' -> ('5',), 'DATA' -> ('photos/',). A parameter `typed: Typed` is handed it."""

Keys = tuple[str, ...]
"""('crl', 'level') of `level` in the table `crl` of a file."""

READING = re.compile(r"source|images|attributes|\w+_column|skip_\w+|bits|group_near_duplicates")
"""The fields of `DataOptions` that say how to read data, not how to split them, and their parameter."""


@dataclass(frozen=True)
class Command:
    """A command: the function of a module with the same name.

    Attributes:
        name: as it is typed.
        module: holds the function, USAGE, EXAMPLES, and perhaps `layers`.
    """

    name: str
    module: ModuleType

    @classmethod
    def named(cls, name: str) -> Command:
        """The command of a name, with what it imports."""
        return cls(name, import_module(f"longtail.cli.{name}"))

    @property
    def function(self) -> Callable[..., None]:
        """What the command does."""
        return getattr(self.module, self.name)

    def arguments(self) -> ArgumentCollection:
        """Its arguments and flags, with their texts."""
        return self._app(None).assemble_argument_collection(parse_docstring=True)

    def bind(self, words: Sequence[str]) -> BoundArguments:
        """The arguments of `function` that stand on a command line, without the command's name.

        Raises:
            InputError: when the words or the files they name are not understood.
        """
        sources = _Sources(getattr(self.module, "layers", lambda _: ()))
        try:
            _, bound, unparsed = self._app(sources).parse_args(
                [_HYPHEN if word == "-" else word for word in words], exit_on_error=False, print_error=False
            )
        except InputError as error:
            raise sources.placed(error) from None
        except CycloptsError as error:
            raise InputError(_explained(error, self.name, words)) from None
        if "typed" in unparsed:
            bound.arguments["typed"] = sources.typed
        return bound

    def _app(self, sources: _Sources | None) -> App:
        app = App(
            name=self.name,
            help_flags=[],
            version_flags=[],
            config=sources,
            default_parameter=Parameter(
                name_transform=_flag,
                converter=_value,
                negative_iterable=(),
                consume_multiple=1,
                json_dict=False,
            ),
        )
        app.default(self.function)
        return app


def label(argument: Argument) -> str:
    """'--epochs', or 'DATA' of what has no flag."""
    return argument.field_info.name.upper() if argument.field_info.is_positional else argument.name


class _Sources:
    """Lays settings, the uppermost layer first, under the flags, and keeps which came from where."""

    def __init__(self, layers: Callable[[Typed], Iterable[Layer]]) -> None:
        self._layers = layers
        self.typed: Typed = {}
        self._places: dict[str, str] = {}

    def __call__(self, _app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        self.typed = {
            label(argument): tuple(token.value for token in argument.tokens)
            for argument in arguments
            if argument.tokens
        }
        for argument in arguments:
            _expect_usable(argument)
        flags = {flag.removeprefix("--") for flag in self.typed}
        for layer in stacked(flags, self._layers(self.typed)):
            _lay(layer, arguments)
        self._places = {
            argument.name: token.source
            for argument in arguments
            for token in argument.tokens[:1]
            if token.source not in _TYPED
        }

    def placed(self, error: InputError) -> InputError:
        """The mistake with the file, where a setting that it names came from one."""
        named = re.findall(r"--[\w.-]*\w", str(error).partition(":")[0])
        place = next((self._places[name] for name in named if name in self._places), None)
        return InputError(f"{place}: {error}") if place else error


def _lay(layer: Layer, arguments: Iterable[Argument]) -> None:
    """Give the settings that have no value yet those of a layer; it may hold nothing but settings.

    Not by `cyclopts.config.Dict`: it would take every flag from a file, `overwrite` and `quiet` too.
    """
    settings = {
        tuple(key for key in argument.keys if key not in FLAT): argument
        for argument in arguments
        if argument.parse and argument.keys and argument.keys[-1] not in FLAT
    }
    for keys, value in _leaves(layer.values, [keys for keys in settings if settings[keys].children]):
        name = ".".join(keys)
        argument = settings.get(keys)
        if argument is None:
            raise InputError(f"{layer.source}: {_unknown(name, [*map('.'.join, settings)])}")
        try:
            token = Token(value=str(value), source=layer.source, implicit_value=_given(argument.hint, value))
        except ValueError as error:
            raise InputError(f"{layer.source}: {name}: {error}") from None
        if not argument.tokens:
            argument.append(token)
            _expect_usable(argument)


def _expect_usable(argument: Argument) -> None:
    """Refuse what cyclopts takes: a table as a flag, and an empty name, which would be the current folder."""
    if argument.tokens and argument.children:
        raise InputError(_no_flag(argument))
    if argument.field_info.is_positional and any(token.value == "" for token in argument.tokens):
        source = argument.tokens[0].source
        place = "" if source in _TYPED else f"{source}: "
        raise InputError(f"{place}{label(argument)}: expected a path or a name, got ''")


def _no_flag(table: Argument) -> str:
    return f"{table.name}: is no flag; expected one of {', '.join(child.name for child in table.children)}"


def _unknown(name: str, settings: Sequence[str]) -> str:
    table, _, field = name.rpartition(".")
    near = f" Put {field!r} into a table {table!r}." if name in settings else did_you_mean(name, settings)
    return f"unknown key {name!r}.{near}"


def _leaves(
    table: Mapping[str, Any], tables: Container[Keys], above: Keys = ()
) -> Iterator[tuple[Keys, Any]]:
    """The values of a table and of the tables in it that are known, with the keys that lead to them."""
    for key, value in table.items():
        keys = (*above, str(key))
        if keys in tables and isinstance(value, dict):
            yield from _leaves(value, tables, keys)
        else:
            yield keys, value


def _flag(field: str) -> str:
    """The name of the flag of a field; the fields of `FLAT` have none, theirs are flags of their own."""
    return "*" if field in FLAT else _RENAMED.get(field, field.replace("_", "-"))


_RENAMED = {"start": "from"}
"""Fields whose flags have another name."""


def _value(hint: Any, tokens: Sequence[Token]) -> Any:
    """What stands on the command line, as the type that a setting is declared with; from a file it is so."""
    if tokens[0].implicit_value is not UNSET:
        return tokens[0].implicit_value
    if get_origin(without_none(hint)) is tuple:
        return tuple(token.value for token in tokens)
    if tokens[0].value == _HYPHEN and tokens[0].keyword:
        raise _unexpected(hint, "-")
    return _read(hint, tokens[0].value.replace(_HYPHEN, "-"))


_HYPHEN = "\u2010\u2060"
"""Stands for a lone hyphen, which is an argument like others and not a flag, as cyclopts takes it."""


def _given(hint: Any, value: Any) -> Any:
    """A value of a file as the type that a setting is declared with.

    Numbers may be text, because YAML reads 5e-4 as text, and text a number, as 128 for a size.

    Raises:
        ValueError: "expected ..., got ...".
    """
    core = without_none(hint)
    if value is None and core is not hint:
        return None
    if get_origin(core) is tuple:
        return tuple(_given(str, item) for item in (value if isinstance(value, list | tuple) else [value]))
    if not isinstance(value, str | int | float) or isinstance(value, bool) != (core is bool):
        raise _unexpected(core, value)
    return _read(core, value)


def _read(hint: Any, value: str | float) -> Any:
    try:
        return _kind(hint)[1](str(value))
    except (KeyError, ValueError):
        raise _unexpected(hint, value) from None


def _unexpected(hint: Any, value: Any) -> ValueError:
    near = did_you_mean(str(value), map(str, get_args(without_none(hint))))
    shown = "nothing" if value is None else "a table" if isinstance(value, dict) else repr(value)
    return ValueError(f"expected {_kind(hint)[0]}, got {shown}{near and '.' + near}")


def without_none(hint: Any) -> Any:
    """The type without `| None`."""
    parts = get_args(hint)
    return next(part for part in parts if part is not NoneType) if NoneType in parts else hint


def _kind(hint: Any) -> tuple[str, Callable[[str], Any]]:
    """A type in words, and what reads it; a text that is none has a ValueError or a KeyError."""
    core = without_none(hint)
    if get_origin(core) is Literal:
        known = {str(option): option for option in get_args(core)}
        return f"one of {', '.join(known)}", known.__getitem__
    return _KINDS.get(core, ("a table of settings", {}.__getitem__))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


_TRUTH = {"true": True, "True": True, "false": False, "False": False}

_KINDS: Mapping[type, tuple[str, Callable[[str], Any]]] = {
    bool: ("true or false", _TRUTH.__getitem__),
    int: ("a whole number", int),
    float: ("a number", _finite),
    str: ("text", str),
    Path: ("a path", Path),
}

_TYPED = ("", "cli")
"""Sources of what stood on the command line; others are files."""


def _explained(error: CycloptsError, command: str, words: Sequence[str]) -> str:
    """One line in the words of the other messages."""
    page = f"see longtail {command} --help"
    match error:
        case UnknownOptionError():
            return _unknown_option(error)
        case RepeatArgumentError(token=Token(keyword=flag)):
            return f"{flag}: expected once, given more than once"
        case CoercionError(token=Token(keyword=flag, value=value), argument=Argument() as argument):
            return f"{flag or label(argument)}: {_unexpected(error.target_type, value.replace(_HYPHEN, '-'))}"
        case MissingArgumentError(keyword=str(), argument=Argument(children=[_, *_]) as table):
            return _no_flag(table)
        case MissingArgumentError(keyword=str() as flag):
            return f"{flag}: expected a value"
        case MissingArgumentError(argument=Argument() as argument):
            return f"{label(argument)} is missing; {page}"
        case UnusedCliTokensError() if any(word.partition("=")[0] == "--data" for word in words):
            return f"DATA is given twice, with --data and without; {page}"
        case UnusedCliTokensError(unused_tokens=tokens) if tokens:
            return f"unexpected {', '.join(map(repr, tokens))}; {page}"
        case _:
            return _lower(str(error))


def _unknown_option(error: UnknownOptionError) -> str:
    """The message of cyclopts, but for flags that exist: behind '--', and by the name of their field."""
    flag = (error.token.keyword or error.token.value).partition("=")[0]
    leaves = [argument for argument in error.argument_collection if argument.parse and not argument.children]
    if any(flag in argument.names for argument in leaves):
        return f"{flag}: stands behind --, where there are no flags; put it before"
    if new := _RENAMED.get(flag.removeprefix("--")):
        return f"unknown option: {flag}. Did you mean --{new}?"
    error.argument_collection = ArgumentCollection(leaves)
    return _lower(str(error))


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
