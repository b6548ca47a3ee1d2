"""Tar archives that are read in place: an index of where the files in them lie, and a store over it."""

from __future__ import annotations

import io
import os
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longtail.data.handles import Handles
from longtail.data.names import Names
from longtail.data.stores import check_size
from longtail.errors import InputError

BLOCK = 512
_EMPTY = bytes(BLOCK)
_REGULAR, _FOLDER, _LINKS = (b"0", b"\0", b"7"), b"5", (b"1", b"2")
_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL = b"L", b"K", b"x", b"g"
_LONGEST = 2**20
"""Bytes that a name, or what else stands for the next header, may take."""


@dataclass(frozen=True, eq=False)
class TarMembers:
    """The M files in some archives; folders are left out.

    Attributes:
        paths: the archives.
        names: of the files, as their own archive has them.
        shard: (M,) int32 index into `paths`.
        offset: (M,) int64, where the content begins.
        size: (M,) int64 bytes.
    """

    paths: tuple[Path, ...]
    names: list[str]
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]

    def store(self, numbers: NDArray[np.int64]) -> TarStore:
        """Where the files of these numbers are read from."""
        return TarStore(self, numbers)


class TarStore:
    """Images as files in tar archives; in any order as fast as in theirs.

    Args:
        members: of the archives.
        numbers: (N,) which of them.
    """

    def __init__(self, members: TarMembers, numbers: NDArray[np.int64]) -> None:
        self.names = Names(members.names[number] for number in numbers.tolist())
        self._shard, self._offset = members.shard[numbers], members.offset[numbers]
        self._size = members.size[numbers]
        self.handles = Handles(members.paths)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The archive's path and the file's name."""
        return f"{self.handles.paths[self._shard[index]]}/{self.names[index]}"

    def size(self, index: int) -> int:
        """Bytes of the file."""
        return int(self._size[index])

    def read(self, index: int) -> bytes:
        """The encoded file.

        Raises:
            OSError: when the archive is missing or was cut short, or the file is larger than `MAX_BYTES`.
        """
        check_size(self.name(index), self.size(index))
        return self.part(index, 0, self.size(index))

    def part(self, index: int, start: int, length: int) -> bytes:
        """Some bytes of the file.

        Raises:
            OSError: when they are not there.
        """
        handle = self.handles.get(int(self._shard[index]))
        handle.seek(int(self._offset[index]) + start)
        data = handle.read(length)
        if len(data) < length:
            raise OSError(f"{self.name(index)}: the archive has become shorter since it was opened")
        return data


def root_of(paths: Sequence[Path]) -> Path:
    """The folder that all these archives lie in."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def read_members(paths: Sequence[Path]) -> TarMembers:
    """The files in some archives.

    Raises:
        InputError: when an archive cannot be read, is compressed, damaged or cut short, holds a link, a
            device or a name twice, or a name that leads out of it.
    """
    names: list[str] = []
    shards, offsets, sizes = array("l"), array("q"), array("q")
    for shard, path in enumerate(paths):
        before = len(names)
        try:
            with path.open("rb") as file:
                for found in _files(file):
                    names.append(found.name)
                    offsets.append(found.offset)
                    sizes.append(found.size)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error
        shards.extend([shard] * (len(names) - before))
        _check_distinct(path, names[before:])
    return TarMembers(
        tuple(paths), names, np.array(shards).astype(np.int32), np.array(offsets), np.array(sizes)
    )


def _check_distinct(path: Path, names: list[str]) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    twice = next(name for name in names if name in seen or seen.add(name))
    raise InputError(f"{path}: holds {twice} twice; pack it again with each file once")


class _File(NamedTuple):
    name: str
    offset: int
    size: int


class _Header(NamedTuple):
    kind: bytes
    name: bytes
    size: int


def _files(file: BinaryIO) -> Iterator[_File]:
    """The regular files; a ValueError says what is wrong."""
    length = file.seek(0, io.SEEK_END)
    place, long_name, wide = 0, b"", -1
    while True:
        file.seek(place)
        block = file.read(BLOCK)
        if block == _EMPTY:
            _expect_nothing_more(file)
            return
        header = _header(block, place, length)
        content, size = place + BLOCK, header.size if wide < 0 else wide
        place = content + -(-size // BLOCK) * BLOCK
        if content + size > length:
            raise ValueError(_cut_short(length))
        if header.kind in (_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL):
            if size > _LONGEST:
                raise ValueError(_damaged(content - BLOCK))
            more = file.read(size)
            if header.kind == _LONG_NAME:
                long_name = more.rstrip(b"\0")
            elif header.kind == _EXTENDED:
                long_name, wide = _extended(more, long_name)
            continue
        name = _inside((long_name or header.name).decode("utf-8", "surrogateescape"))
        long_name, wide = b"", -1
        if header.kind in _REGULAR and not name.endswith("/"):
            yield _File(name, content, size)
        elif header.kind not in (*_REGULAR, _FOLDER):
            what = "a link" if header.kind in _LINKS else "neither a file nor a folder"
            raise ValueError(f"member {name!r} is {what}; pack it again with plain files (tar -h)")


def _expect_nothing_more(file: BinaryIO) -> None:
    """Behind its end an archive is filled up with zeros; of those put together, another stands there."""
    while rest := file.read(2**16):
        if rest.strip(b"\0"):
            raise ValueError("holds more behind its end, as archives do that were put together; pack one")


def _header(block: bytes, place: int, length: int) -> _Header:
    if place == 0 and (packing := _packing(block)):
        raise ValueError(f"is compressed ({packing}), and only read from its start; unpack it first")
    if len(block) < BLOCK:
        raise ValueError(_cut_short(length))
    try:
        said, size = _number(block[148:156]), _number(block[124:136])
    except ValueError:
        raise ValueError(_damaged(place)) from None
    # The low half of Adler's checksum is the sum of the bytes that a tar header keeps, modulo 65521; its own
    # eight bytes count as spaces.
    if (zlib.adler32(block[:148] + b" " * 8 + block[156:]) & 0xFFFF) != (said + 1) % 65521 or size < 0:
        raise ValueError(_damaged(place))
    name, kind = block[:100].partition(b"\0")[0], block[156:157]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return _Header(kind, name, size)


def _number(field: bytes) -> int:
    """Octal digits, or a large number in base 256."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
    return int(field.strip(b" \0") or b"0", 8)


def _extended(records: bytes, name: bytes) -> tuple[bytes, int]:
    """Name and size of the next file, where 'LENGTH KEY=VALUE' lines say them; else the name and -1."""
    size, place = -1, 0
    while place < len(records):
        digits, _, _ = records[place:].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, _, value = records[place + len(digits) + 1 : place + length - 1].partition(b"=")
        if length <= len(digits):
            raise ValueError("is damaged in an extended header; copy or download it again")
        if key == b"path":
            name = value
        elif key == b"size":
            size = int(value)
        place += length
    return name, size


def _inside(name: str) -> str:
    """The name without leading './'.

    Raises:
        ValueError: when it leads out of the archive.
    """
    while name.startswith("./"):
        name = name[2:]
    if name.startswith("/") or (".." in name and ".." in name.split("/")):
        raise ValueError(f"member {name!r} points out of the archive; pack it again with relative paths")
    return name


def _packing(block: bytes) -> str:
    starts = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstandard"}
    return next((name for start, name in starts.items() if block.startswith(start)), "")


def _damaged(place: int) -> str:
    return f"is damaged, or no tar archive (at byte {place}); copy or download it again"


def _cut_short(length: int) -> str:
    return f"is cut short after {length} bytes; copy or download it again"
