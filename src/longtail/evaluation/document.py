"""JSON documents with a form of their own: checked when written and when read, whole or not there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from longtail.errors import InputError
from longtail.files import write_text

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_LONGEST_FAULT = 200


@dataclass(frozen=True)
class DocumentForm:
    """What a kind of document has to look like, and how it is called in messages.

    Attributes:
        kind: its name, for instance "results".
        schema: file beside this one with its JSON Schema, draft 2020-12.
        version: value of `schema_version`.
        further_faults: what a schema cannot say: 'JSON path: what is wrong there', for a document that
            the schema accepts.
        source: what holds such a document, for instance "the results.json of a run".
        anew: how to make one anew, for instance "evaluate again".
    """

    kind: str
    schema: str
    version: int
    further_faults: Callable[[Any], Iterator[str]]
    source: str
    anew: str

    def checked(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with null in the place of numbers that JSON does not have.

        Raises:
            ValueError: when it does not fit.
        """
        plain = _without_nan(document)
        fault = self._first_fault(plain)
        if fault is not None:
            raise ValueError(f"{self.kind} do not fit their schema at {fault}")
        return plain

    def write(self, path: str | os.PathLike[str], document: dict[str, Any]) -> None:
        """Write a document to a file: all of it or nothing, NaN and infinities as null.

        Raises:
            ValueError: when it does not fit; nothing is written then.
            InputError: when the file cannot be written.
        """
        text = json.dumps(self.checked(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_text(Path(path), text)

    def read(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """The document in a file.

        Raises:
            InputError: when the file is missing, is not JSON, has another schema version, or does not
                fit; then with the JSON path of the first fault.
        """
        document = self._parsed(Path(path))
        found = document.get("schema_version", self.version) if isinstance(document, dict) else self.version
        if found != self.version:
            raise InputError(
                f"{path}: expected {self.kind} of schema version {self.version}, got "
                f"{_shortened(repr(found))}; read them with the version of longtail that wrote them, or "
                f"{self.anew}"
            )
        fault = self._first_fault(document)
        if fault is not None:
            raise InputError(f"{path}: not valid {self.kind} at {fault}; {self.anew} to write them anew")
        return document

    def _first_fault(self, document: Any) -> str | None:
        """'JSON path: what is wrong there', or None."""
        error = next(_validator(self.schema).iter_errors(document), None)
        if error is not None:
            return f"{error.json_path}: {_shortened(error.message)}"
        return next(self.further_faults(document), None)

    def _parsed(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); expected {self.source}") from error
        except (ValueError, RecursionError) as error:
            reason = _shortened(str(error))
            raise InputError(f"{path}: not JSON ({reason}); expected {self.source}") from error


@cache
def _validator(schema: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    text = files("longtail.evaluation").joinpath(schema).read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def _without_nan(value: Any) -> Any:
    """The same document, with null in the place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shortened(message: str) -> str:
    """One line of bounded length; validators quote the faulty value first and the reason last."""
    line = " ".join(message.split())
    half = _LONGEST_FAULT // 2
    return line if len(line) <= _LONGEST_FAULT else f"{line[:half]} ... {line[-half:]}"


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
