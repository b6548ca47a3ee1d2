"""Predictions as rows: CSV, JSON lines, and Arrow on the way to Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from longtail.errors import InputError
from longtail.schema import LabelSchema
from longtail.words import HIDING

if TYPE_CHECKING:
    from longtail.runs.predict import Prediction

DIGITS = 6
"""Of a probability, behind the point."""

BETWEEN = "|"
"""Stands between the classes of a set in a cell."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table of predictions, no two of them the same.

    They are image, ATTRIBUTE, ATTRIBUTE set, ATTRIBUTE:CLASS, and features or ATTRIBUTE features. A name
    that is taken already has a number behind it: an attribute called image has the column "image (2)".

    Attributes:
        image: of the path.
        labels, sets: of each attribute; there may be no sets.
        probabilities: of every class of every attribute.
        features: of each feature vector, if any.
    """

    image: str
    labels: tuple[str, ...]
    sets: tuple[str, ...]
    probabilities: tuple[str, ...]
    features: tuple[str, ...]

    @classmethod
    def of(cls, schema: LabelSchema, *, sets: bool = False, vectors: int = 0) -> Columns:
        """The columns of a model's predictions.

        Args:
            schema: what the model recognises.
            sets: whether there are prediction sets.
            vectors: feature vectors of an image: none, one, or one for each attribute.
        """
        names, one = schema.names, vectors == 1
        parts = (
            ("image",),
            names,
            tuple(f"{name} set" for name in names if sets),
            tuple(f"{a.name}:{label}" for a in schema.attributes for label in a.classes),
            ("features",) if one else tuple(f"{name} features" for name in names if vectors),
        )
        distinct = iter(_distinct([name for part in parts for name in part]))
        (image,), labels, inside, probabilities, features = (
            tuple(next(distinct) for _ in part) for part in parts
        )
        return cls(image, labels, inside, probabilities, features)

    @property
    def all(self) -> list[str]:
        """In their order."""
        return [self.image, *self.labels, *self.sets, *self.probabilities, *self.features]


def _distinct(names: Sequence[str]) -> list[str]:
    """The names; one that came before gets the first number that makes a new one."""
    known, found = set(names), dict[str, None]()
    for name in names:
        own, number = name, 2
        while own in found or (own != name and own in known):
            own, number = f"{name} ({number})", number + 1
        found[own] = None
    return list(found)


class Rows(Protocol):
    """A form of predictions as bytes that can be written piece by piece."""

    def head(self) -> bytes:
        """What stands before the first row."""
        ...

    def of(self, predictions: Iterable[Prediction]) -> bytes:
        """The rows of predictions."""
        ...


@dataclass(frozen=True)
class CsvRows:
    """A header and a row for each image; sets are joined, features are not written.

    Text is written so that a spreadsheet does not run it and a terminal does not obey it, see `cell`.
    """

    columns: Columns

    def head(self) -> bytes:
        """The header."""
        return _lines([_distinct(list(map(cell, self.columns.all)))])

    def of(self, predictions: Iterable[Prediction]) -> bytes:
        """The rows."""
        return _lines(self._cells(prediction) for prediction in predictions)

    def _cells(self, found: Prediction) -> Iterator[str]:
        yield cell(found.image)
        yield from map(cell, found.labels.values())
        for inside in (found.sets or {}).values():
            yield cell(BETWEEN.join(label.replace(BETWEEN, f"\\{BETWEEN}") for label in inside))
        for values in found.probabilities.values():
            yield from (f"{score:.{DIGITS}f}" for score in values.values())


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


_COMMAND = re.compile("(^|;)('*[=+\\-@＝＋－＠])")  # ; begins a cell where people separate by it
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_HIDDEN = re.compile(f"[{HIDING}]")


def cell(text: str) -> str:
    r"""A text that a spreadsheet shows as it is.

    An apostrophe stands before one that begins with =, +, -, @ and is no number, and behind a semicolon that
    is followed by one of these; control characters, and those that turn the direction of writing, are spelled
    out.

    Example:
        >>> cell("=1+1.jpg"), cell("-1"), cell("a\tb"), cell("a=b")
        ("'=1+1.jpg", '-1', 'a\\tb', 'a=b')
    """
    text = _HIDDEN.sub(lambda found: _spelled(found[0]), text)
    return text if _NUMBER.fullmatch(text) else _COMMAND.sub(r"\1'\2", text)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True)
class JsonRows:
    """An object for each image: image, labels, probabilities, and sets and features where there are some."""

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def of(self, predictions: Iterable[Prediction]) -> bytes:
        """The lines; characters that a terminal would obey, or that are not UTF-8, are escaped."""
        lines = (json.dumps(self._record(prediction), ensure_ascii=False) for prediction in predictions)
        return "".join(_ESCAPED.sub(_escape, line) + "\n" for line in lines).encode()

    def _record(self, found: Prediction) -> dict[str, object]:
        rounded = {
            name: {label: round(value, DIGITS) for label, value in values.items()}
            for name, values in found.probabilities.items()
        }
        record: dict[str, object] = {
            "image": found.image,
            "labels": found.labels,
            "probabilities": rounded,
        }
        if found.sets is not None:
            record["sets"] = found.sets
        if found.features is not None:
            vectors = [[float(f"{x:.7g}") for x in vector] for vector in found.features.tolist()]
            record["features"] = vectors[0] if len(vectors) == 1 else dict(zip(found.labels, vectors))
        return record


_ESCAPED = re.compile(f"[{HIDING}\ud800-\udfff]")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


@dataclass(frozen=True)
class ArrowRows:
    """The pieces of an Arrow stream, which `to_parquet` makes a Parquet file of; columns as in CSV.

    Sets are lists of text, features lists of numbers. Names that are not UTF-8 have their odd bytes spelled
    out.

    Raises:
        InputError: when pyarrow is not installed.
    """

    columns: Columns

    def __post_init__(self) -> None:
        _pyarrow()

    def head(self) -> bytes:
        """What the columns hold."""
        return self._schema().serialize().to_pybytes()

    def of(self, predictions: Iterable[Prediction]) -> bytes:
        """A piece of the table."""
        rows = list(predictions)
        if not rows:
            return b""
        pa, schema = _pyarrow(), self._schema()
        columns = zip(*map(self._values, rows))
        arrays = [pa.array(list(values), kind) for values, kind in zip(columns, schema.types)]
        return pa.record_batch(arrays, schema=schema).serialize().to_pybytes()

    def _values(self, found: Prediction) -> Iterator[object]:
        yield from map(_utf8, (found.image, *found.labels.values()))
        yield from ([*map(_utf8, inside)] for inside in (found.sets or {}).values())
        for values in found.probabilities.values():
            yield from values.values()
        yield from () if found.features is None else found.features

    def _schema(self) -> Any:
        pa, columns = _pyarrow(), self.columns
        kinds = {
            pa.string(): (columns.image, *columns.labels),
            pa.list_(pa.string()): columns.sets,
            pa.float32(): columns.probabilities,
            pa.list_(pa.float32()): columns.features,
        }
        return pa.schema([pa.field(_utf8(name), kind) for kind, names in kinds.items() for name in names])


_ROW_GROUP = 2**24
"""Bytes of rows that a Parquet file keeps together, and that are in memory at a time."""


def to_parquet(stream: Path, target: Path) -> None:
    """Make a Parquet file of the pieces that `ArrowRows` gave."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.OSFile(str(stream)) as file:
        reader = pa.ipc.open_stream(file)
        with pq.ParquetWriter(target, reader.schema, compression="zstd") as writer:
            waiting, held = list[Any](), 0
            for batch in reader:
                waiting.append(batch)
                held += batch.nbytes
                if held >= _ROW_GROUP:
                    writer.write_table(pa.Table.from_batches(waiting))
                    waiting, held = [], 0
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting))


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise InputError("--format parquet: needs pyarrow; pip install 'longtail[parquet]'") from None
    return pyarrow


FormName = Literal["csv", "jsonl", "parquet"]
"""Forms by the ending of a file's name."""


def rows_of(form: FormName, columns: Columns) -> Rows:
    """Predictions in a form; for Parquet the pieces of an Arrow stream.

    Raises:
        InputError: when what the form needs is not installed.
    """
    match form:
        case "csv":
            return CsvRows(columns)
        case "jsonl":
            return JsonRows()
        case "parquet":
            return ArrowRows(columns)
