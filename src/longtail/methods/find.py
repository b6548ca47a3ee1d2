"""From a method's name to its row and its class: one of `METHODS`, or a class of the user's own.

The user's own are named "package.module:Class" or "path/to/file.py:Class". A name that stands in a file, in a
model card or a configuration, never makes us import code: only `allow` does, with what the user named.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module, invalidate_caches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from longtail.errors import InputError
from longtail.methods.rows import METHODS, Row
from longtail.words import did_you_mean

if TYPE_CHECKING:
    from longtail.methods.base import Method

_allowed: dict[str, type[Method]] = {}
"""Classes of the user's own that were named in this process."""


def is_outside(method: str) -> bool:
    """Whether the name is that of a class of the user's own."""
    return ":" in method


def is_known(method: str) -> bool:
    """Whether `row_of` knows the name by now."""
    return method in METHODS or method in _allowed


def row_of(method: str) -> Row:
    """The row of a method.

    Raises:
        InputError: when the name is unknown, or a class of the user's own that was not named.
    """
    return METHODS[method] if method in METHODS else class_of(method).row


def class_of(method: str) -> type[Method]:
    """The class of a method; raises as `row_of` does."""
    if method in _allowed:
        return _allowed[method]
    if method in METHODS:
        module, _, name = METHODS[method].path.partition(":")
        return getattr(import_module(f"longtail.methods.{module}"), name)
    if is_outside(method):
        raise InputError(
            f"{method}: is a method of your own, which runs only where you name it; add --method {method}"
        )
    near = did_you_mean(method, METHODS)
    raise InputError(f"--method: expected one of {', '.join(METHODS)}, got {method!r}.{near}")


def allow(method: str) -> None:
    """Import a class of the user's own, which the user named; the name of any other method does nothing.

    Raises:
        InputError: when there is no such class, it is no method, or its module cannot be imported.
    """
    if not is_outside(method) or method in _allowed:
        return
    place, _, name = method.rpartition(":")
    module = _module(place, f"--method {method}")
    if not hasattr(module, name):
        raise InputError(
            f"--method {method}: {place} has no class {name!r}.{did_you_mean(name, vars(module))}"
        )
    _allowed[method] = _as_method(getattr(module, name), f"--method {method}")


def allowed_again(found: str, named: str | None) -> str:
    """The method to load a run with: the name in the run, or the name that the user's own class has now.

    Args:
        found: the name in the run.
        named: what the user says, or None.

    Raises:
        InputError: when the user's own is not named, another method is, or as `allow` does.
    """
    if named not in (None, found) and not (is_outside(found) and is_outside(named)):
        raise InputError(f"--method {named}: the run was trained with {found}; leave it out")
    allow(named or "")  # under another name too: its file may have moved
    if is_outside(found):  # named now, or before in this process
        class_of(named or found)
    return named or found


def _module(place: str, said: str) -> ModuleType:
    if place.endswith(".py") and not Path(place).is_file():
        raise InputError(f"{said}: there is no file {place}")
    try:
        return _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        if isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}."):
            raise InputError(f"{said}: there is no module {place}, installed or in this folder") from None
        reason = " ".join(str(error).split())
        raise InputError(f"{said}: {place} cannot be imported ({type(error).__name__}: {reason})") from None


def _from_file(path: Path) -> ModuleType:
    name = f"outside:{path.resolve()}"  # no other module can have it
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_package(name: str) -> ModuleType:
    """An installed module, else one of the current folder: nothing there can stand for an installed one."""
    here = str(Path.cwd())
    added = [] if here in sys.path else [here]
    sys.path += added
    invalidate_caches()
    try:
        return import_module(name)
    finally:
        for path in added:
            sys.path.remove(path)


def _as_method(found: object, said: str) -> type[Method]:
    from longtail.methods.base import Method

    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"{said}: expected a class behind longtail.methods.base.Method")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise InputError(f"{said}: expected a class that can be made, it does not say {missing}")
    if not isinstance(found.row, Row):  # pyright: ignore[reportUnnecessaryIsInstance]  it is the user's
        raise InputError(f"{said}: expected its row to be a longtail.methods.rows.Row, got {found.row!r}")
    return found
