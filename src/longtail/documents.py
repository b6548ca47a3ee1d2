"""JSON files whose form is a type: written whole or not at all, checked when they are read.

A document is a `Part` made of parts, or a frozen dataclass. Its type is the only place that says what a
file holds; `Form.schema` makes the JSON Schema of it. NaN and infinities are written as null.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from longtail.errors import InputError
from longtail.files import write_text

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]

_LONGEST_FAULT = 200


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what stands in a document: it does not change, and a file has no key too many."""


@dataclass(frozen=True)
class Form(Generic[T]):
    """A kind of document.

    Attributes:
        type: what it holds; a field `schema_version: Literal[n]` names its version.
        kind: how it is called in messages, for instance "results".
        source: what holds such a document, for instance "the results.json of a run".
        anew: how to make one anew, for instance "evaluate again".
        indent: spaces of indentation in the file.
    """

    type: type[T]
    kind: str
    source: str
    anew: str
    indent: int = 1

    def encode(self, document: T, indent: int | None = None) -> str:
        """The document as JSON; in one line where `indent` is 0."""
        plain = msgspec.json.decode(msgspec.json.encode(document))
        width = self.indent if indent is None else indent
        # numbers are spelled as Python does, 1e-05 and not 0.00001
        return json.dumps(plain, indent=width or None, ensure_ascii=False)

    def decode(self, content: str | bytes, where: str) -> T:
        """The document in a text.

        Args:
            content: JSON.
            where: what holds it, for messages: a file, or a line of one.

        Raises:
            InputError: when it is not JSON, has another version, or does not fit; then with the JSON path.
        """
        try:
            plain = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = _shortened(str(error))
            raise InputError(f"{where}: not JSON ({reason}); expected {self.source}") from None
        self._expect_version(plain, where)
        try:
            unknown = unknown_key(plain, self.type, "$")
            if unknown is not None:
                raise msgspec.ValidationError(f"Object contains unknown field `{unknown}`")
            return msgspec.convert(plain, self.type)
        except (msgspec.ValidationError, RecursionError) as error:
            fault = _shortened(str(error))
            raise InputError(
                f"{where}: not valid {self.kind}: {fault}; {self.anew} to write them anew"
            ) from None

    def write(self, path: Path, document: T) -> None:
        """Write a document to a file: all of it or nothing.

        Raises:
            InputError: when the file cannot be written.
        """
        write_text(path, self.encode(document) + "\n")

    def read(self, path: Path) -> T:
        """The document in a file.

        Raises:
            InputError: when the file is missing, and as `decode` does.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); expected {self.source}") from None
        return self.decode(content, str(path))

    def write_lines(self, path: Path, documents: list[T]) -> None:
        """Write documents, one a line."""
        write_text(path, "".join(self.encode(document, indent=0) + "\n" for document in documents))

    def read_lines(self, path: Path) -> list[T]:
        """The documents of a file, one a line; none where there is no file.

        Raises:
            InputError: naming the line, as `decode` does.
        """
        if not path.exists():
            return []
        lines = path.read_bytes().splitlines()
        return [self.decode(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the document, draft 2020-12."""
        schema = msgspec.json.schema(self.type)
        for part in schema.get("$defs", {}).values():
            # newer Pythons take the indentation out of docstrings, older ones do not
            part.update(description=cleandoc(part.get("description", "")))
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

    def _expect_version(self, plain: Any, where: str) -> None:
        expected = get_args(get_type_hints(self.type).get("schema_version"))
        if not expected or not isinstance(plain, dict):
            return
        found = plain.get("schema_version", expected[0])
        if found not in expected:
            raise InputError(
                f"{where}: expected {self.kind} of schema version {expected[0]}, got "
                f"{_shortened(json.dumps(found))}; read them with the version of longtail that wrote them, "
                f"or {self.anew}"
            )


def unknown_key(plain: Any, kind: Any, path: str) -> str | None:
    """The JSON path of a key that a dataclass has no field for; parts refuse such keys themselves."""
    if not is_dataclass(kind) or not isinstance(plain, dict):
        return None
    known = {field.name for field in fields(kind)}
    hints = get_type_hints(kind)
    for key, value in plain.items():
        found = f"{path}.{key}" if key not in known else unknown_key(value, hints[key], f"{path}.{key}")
        if found is not None:
            return found
    return None


def _shortened(message: str) -> str:
    """One line of bounded length: its beginning and its end."""
    line = " ".join(message.split())
    half = _LONGEST_FAULT // 2
    return line if len(line) <= _LONGEST_FAULT else f"{line[:half]} ... {line[-half:]}"
