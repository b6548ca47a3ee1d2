"""A manifest file as columns of codes: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from longtail.data.listing import suffix
from longtail.errors import InputError, first_line
from longtail.files import decode_line
from longtail.words import did_you_mean, joined

_ROWS_AT_ONCE = 4096
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*', re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Column:
    """One column, each distinct text once.

    Attributes:
        values: the distinct texts in order of first appearance; '' is an empty cell.
        codes: (N,) int32 index into `values`.
    """

    values: list[str]
    codes: NDArray[np.int32]

    @classmethod
    def of(cls, cells: Iterable[str]) -> Column:
        """The column of these cells; those of nothing but spaces are empty ones."""
        place: dict[str, int] = {}
        codes = [place.setdefault("" if text.isspace() else text, len(place)) for text in cells]
        return cls(list(place), np.array(codes, np.int32))

    @property
    def filled(self) -> list[str]:
        """The distinct texts without the empty one."""
        return [value for value in self.values if value]


@dataclass(frozen=True, eq=False)
class Table:
    """A manifest of N rows.

    Attributes:
        path: what messages call it.
        columns: the columns by name, in the file's order.
        lines: (N,) line of each row in a text file; None where rows are only numbered.
        notes: what was decided in reading.
    """

    path: str
    columns: dict[str, Column]
    lines: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).codes)

    def where(self, row: int) -> str:
        """'labels.csv, line 7', for messages."""
        place = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{self.path}, {place}"

    def named(self, name: str, flag: str) -> str:
        """The column of this name, asked for by a flag, as it is called here.

        Raises:
            InputError: when there is none.
        """
        found = name if name in self.columns else normalize("NFC", name)
        if found not in self.columns:
            raise InputError(
                f"{self.path}: {flag} names column {name!r}, which is not there; its columns are"
                f" {joined(self.columns, 40)}.{did_you_mean(name, self.columns)}"
            )
        return found


def read_table(path: str, file: BinaryIO) -> Table:
    """Read a manifest; its kind follows from the ending of `path`.

    Raises:
        InputError: when it is not UTF-8, a row has another number of fields than the header, two
            columns share a name, there is no row, or pyarrow is needed and absent.
    """
    table = _read_parquet(path, file) if suffix(path) == "parquet" else _read_text(path, file)
    if not table.columns or len(table) == 0:
        raise InputError(f"{path}: expected a header line and at least one row, found no row")
    return table


class _Codes(dict[str, int]):
    """Gives each new text the next code."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


def _read_text(path: str, file: BinaryIO) -> Table:
    lines = (decode_line(path, number, line) for number, line in enumerate(file, 1))
    start: list[str] = []  # up to the first row below the header
    while sum(map(_holds_a_row, start)) < 2 and (line := next(lines, "")):
        start.append(line)
    delimiter = _delimiter(path, start)
    reader = csv.reader(chain(start, lines), delimiter=delimiter, strict=True)
    try:
        names = _column_names(path, next((row for row in reader if _holds_a_row(delimiter.join(row))), []))
        codes = [_Codes() for _ in names]
        columns = [array("i") for _ in names]
        places = array("q")
        rows = _rows(path, reader, len(names), places)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            for code, column, cells in zip(codes, columns, zip(*chunk, strict=True), strict=True):
                column.extend(map(code.__getitem__, cells))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: cannot be read as CSV ({error})") from error
    found = {
        name: _coded(list(code), np.array(column, np.int32))
        for name, code, column in zip(names, codes, columns, strict=True)
    }
    usual = "\t" if suffix(path) == "tsv" else ","
    notes = () if delimiter == usual else (f"{path}: fields are separated by {delimiter!r}",)
    return Table(path, found, np.array(places, np.int64), notes)


def _holds_a_row(line: str) -> bool:
    """Whether a line is neither blank nor Excel's 'sep=;', which names the separator of the others."""
    return bool(line.strip()) and _SEPARATOR.fullmatch(line.rstrip("\r\n")) is None


def _delimiter(path: str, start: Sequence[str]) -> str:
    """What separates fields: tabs in a .tsv, else comma, semicolon or tab.

    It is what a line says that is there to say it, or else what cuts the header into as many fields as the
    row below it, or else what the header has most of.
    """
    if suffix(path) == "tsv":
        return "\t"
    if said := next((found[1] for line in start if (found := _SEPARATOR.fullmatch(line.rstrip("\r\n")))), ""):
        return said
    header, *below = [line for line in start if _holds_a_row(line)] or [""]

    def fits(delimiter: str) -> tuple[bool, int]:
        try:
            widths = {len(fields) for fields in csv.reader([header, *below], delimiter=delimiter)}
        except csv.Error:  # said with its line once the rows are read
            widths = set[int]()
        return len(widths) == 1 and delimiter in header, header.count(delimiter)

    return max(",;\t", key=fits)


def _column_names(path: str, header: list[str]) -> list[str]:
    names = [normalize("NFC", name.strip()) or f"unnamed {i}" for i, name in enumerate(header, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path}, line 1: column {twice[0]!r} appears twice; give each column its own name,"
            " or, if this is a row, put a header above it"
        )
    return names


def _rows(path: str, reader: Iterator[list[str]], width: int, places: array[int]) -> Iterator[list[str]]:
    """The rows that hold anything, checked; the line each one starts on goes to `places`."""
    line = _line_number(reader)
    for row in reader:
        start, line = line + 1, _line_number(reader)
        if not any(map(str.strip, row)):
            continue
        if len(row) > width and not any(row[width:]):  # spreadsheets fill up short rows
            row = row[:width]
        if len(row) != width:
            raise InputError(
                f"{path}, line {start}: expected {width} fields as in the header, got {len(row)};"
                " quote a field that holds the separator"
            )
        places.append(start)
        yield row


def _line_number(reader: Iterator[list[str]]) -> int:
    return reader.line_num  # pyright: ignore[reportAttributeAccessIssue]


def _coded(texts: list[str], codes: NDArray[np.int32]) -> Column:
    """The column of distinct texts, of which some may be nothing but spaces."""
    if not any(map(str.isspace, texts)):
        return Column(texts, codes)
    distinct = Column.of(texts)
    return Column(distinct.values, distinct.codes[codes])


def _read_parquet(path: str, file: BinaryIO) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError(f"{path}: reading Parquet needs pyarrow; pip install 'longtail[parquet]'") from error
    try:
        found = pq.ParquetFile(file)
        packed = [f.name for f in found.schema_arrow if str(f.type).startswith("struct<bytes: ")]
        if packed:
            raise InputError(
                f"{path}: column {packed[0]} holds the images themselves; name the file as the hub does, "
                "train-00000-of-00001.parquet, and it is read with the library datasets"
            )
        table = found.read()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: is not a readable Parquet file ({first_line(error)})") from error
    names = _column_names(path, [str(name) for name in table.column_names])
    columns: dict[str, Column] = {}
    notes: list[str] = []
    for name, values in zip(names, table.columns, strict=True):
        try:
            if "binary" in str(values.type):  # four types, of which some turn into text and some do not
                raise pa.ArrowNotImplementedError
            coded = values.cast(pa.string()).fill_null("").combine_chunks().dictionary_encode()
        except pa.ArrowException:
            notes.append(f"{path}: column {name} holds {values.type}, no text or number: left out")
            continue
        try:
            values = coded.dictionary.to_pylist()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: column {name} holds text that is not UTF-8 ({error.reason})"
            ) from error
        columns[name] = _coded(values, coded.indices.to_numpy().astype(np.int32))
    return Table(path, columns, None, tuple(notes))
