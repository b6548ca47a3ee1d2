"""Text files of annotations as authors of data sets distribute them: UTF-8, one line per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtail.data.classes import SPLIT_NAMES
from longtail.data.listing import list_source
from longtail.errors import InputError
from longtail.files import decode_line


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one file.

    Attributes:
        path: the file.
        texts: N lines without their ends.
        first: line number of the first row.
        header: the line above it.
    """

    path: Path
    texts: list[str]
    first: int = 1
    header: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    def refuse(self, row: int, expected: str) -> InputError:
        """The error to raise for a row that is not as expected."""
        line = self.texts[row]
        got = repr(line if len(line) <= 80 else line[:77] + "...")
        return InputError(f"{self.path}, line {self.first + row}: expected {expected}, got {got}")

    def pairs(self, expected: str) -> tuple[list[str], list[str]]:
        """Each row cut before its last word, so that the first part may hold spaces.

        Raises:
            InputError: when a row has one word only, or none.
        """
        parts = [text.rsplit(maxsplit=1) for text in self.texts]
        for row, part in enumerate(parts):
            if len(part) != 2:
                raise self.refuse(row, expected)
        return [part[0].strip() for part in parts], [part[1] for part in parts]

    def codes(self, words: Sequence[str], place: Mapping[str, int], expected: str) -> NDArray[np.int64]:
        """(N,) what `place` says of one word a row.

        Raises:
            InputError: when it does not know a word.
        """
        codes = [place.get(word) for word in words]
        if None in codes:
            raise self.refuse(codes.index(None), expected)
        return np.array(codes, np.int64)


def check_distinct(*parts: tuple[Rows, Sequence[str]]) -> None:
    """Refuse a name that stands in two rows; each part is the rows of a file and their N names.

    Raises:
        InputError: when there is one.
    """
    distinct = {name for _, names in parts for name in names}
    if len(distinct) == sum(len(names) for _, names in parts):  # lines are kept only where one is named
        return
    seen: dict[str, str] = {}
    for rows, names in parts:
        for line, name in enumerate(names, rows.first):
            if name in seen:
                raise InputError(
                    f"{rows.path}, line {line}: names {name} again, after {seen[name]}; keep one row per name"
                )
            seen[name] = f"{rows.path.name}, line {line}"


def read_rows(path: Path, source: str) -> Rows:
    """Read a file; empty lines at its end do not count.

    Args:
        path: the file.
        source: where to get it.

    Raises:
        InputError: when it is not there, not UTF-8, or has no row.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); it comes with the data set, see {source}"
        ) from None
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{path}: is empty; get it again, see {source}")
    return Rows(path, [decode_line(str(path), number, line) for number, line in enumerate(lines, 1)])


def read_counted_rows(path: Path, source: str) -> Rows:
    """Read a file whose first line says how many rows follow its second line, the header.

    Raises:
        InputError: see `read_rows`; and when the first line is no number, another one than that of
            the rows, or 0.
    """
    found = read_rows(path, source)
    said, rows = found.texts[0].strip(), found.texts[2:]
    if not said.isdecimal():
        raise found.refuse(0, "the number of rows")
    if int(said) != len(rows) or not rows:
        raise InputError(
            f"{path}: its first line says {said} rows, but {len(rows)} follow the header;"
            f" get it whole, see {source}"
        )
    return Rows(path, rows, first=3, header=found.texts[1])


def split_of(rows: Rows, names: Sequence[str]) -> NDArray[np.int8]:
    """(N,) index into `SPLITS` of each name, from rows of a name and train, val or test; -1 = in no row.

    Raises:
        InputError: when a row is not as expected, or a name stands in two.
    """
    expected = "an image and train, val or test"
    images, words = rows.pairs(expected)
    check_distinct((rows, images))
    split = dict(zip(images, rows.codes(words, SPLIT_NAMES, expected).tolist()))
    return np.array([split.get(name, -1) for name in names], np.int8)


def below_header(rows: Rows) -> Rows:
    """The rows of a file whose first line is the header.

    Raises:
        InputError: when nothing follows it.
    """
    if len(rows) < 2:
        raise InputError(f"{rows.path}: expected rows below the header, found none")
    return Rows(rows.path, rows.texts[1:], first=2, header=rows.texts[0])


def holds(root: Path, *files: str) -> bool:
    """Whether a folder holds all these files; never raises."""
    try:
        return all((root / name).is_file() for name in files)
    except OSError:
        return False


def images_below(root: Path) -> frozenset[str]:
    """Paths of all images below a folder, with forward slashes.

    Raises:
        InputError: when the folder cannot be listed.
    """
    found = list_source(root)
    top = found.root.relative_to(root).as_posix()
    return frozenset(found.images if top == "." else (f"{top}/{image}" for image in found.images))
