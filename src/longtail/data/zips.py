"""Zip archives that are read in place: their directory in a few arrays, and a store over it.

The library's `zipfile` keeps an object of half a kilobyte for every member, which an archive of a million
images makes half a gigabyte.
"""

from __future__ import annotations

import io
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np
from numpy.typing import NDArray

from longtail.data.handles import Handles
from longtail.data.names import Names
from longtail.data.stores import check_size
from longtail.errors import InputError

READABLE_METHODS = (ZIP_STORED, ZIP_DEFLATED)
"""Compression methods of members that can be read in place."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, length of the name, length of the extra field
_ENTRY = struct.Struct("<4s4xHH4xLLLHHH8xL")
_END = struct.Struct("<4s8xLL2x")  # signature, length and offset of the directory
_END_64 = struct.Struct("<4s36xQQ")
_LOCATOR_64 = 20  # bytes of what stands between the two ends
_MOST_COMMENT = 2**16
_ELSEWHERE = 0xFFFFFFFF
"""What a field of 4 bytes holds where the number stands in the extra field, with 8."""

_UTF_8, _ENCRYPTED = 0x800, 0x1


@dataclass(frozen=True, eq=False)
class ZipMembers:
    """The M entries of an archive's directory, those of folders among them.

    Attributes:
        path: the archive.
        names: with forward slashes.
        offset: (M,) int64, where the member's header begins.
        packed: (M,) int64 bytes in the archive.
        size: (M,) int64 bytes unpacked.
        check: (M,) uint32 checksum.
        method: (M,) uint16, how it is compressed.
        encrypted: (M,) bool.
    """

    path: Path
    names: list[str]
    offset: NDArray[np.int64]
    packed: NDArray[np.int64]
    size: NDArray[np.int64]
    check: NDArray[np.uint32]
    method: NDArray[np.uint16]
    encrypted: NDArray[np.bool_]

    def store(self, numbers: NDArray[np.int64]) -> ZipStore:
        """Where the members of these numbers are read from."""
        return ZipStore(self, numbers)


class ZipStore:
    """Images as members of a zip archive.

    The place of every member is kept in a few small arrays, so a worker process opens the file and
    reads: it neither parses the archive's directory again nor holds it.

    Args:
        members: of the archive.
        numbers: (N,) which of them, stored or deflated, not encrypted.
    """

    def __init__(self, members: ZipMembers, numbers: NDArray[np.int64]) -> None:
        self.path = members.path
        self.names = Names(members.names[number] for number in numbers.tolist())
        self._offset, self._packed = members.offset[numbers], members.packed[numbers]
        self._size, self._check = members.size[numbers], members.check[numbers]
        self._deflated = members.method[numbers] == ZIP_DEFLATED
        self.handles = Handles((members.path,))

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The archive's path and the member's name."""
        return f"{self.path}/{self.names[index]}"

    def read(self, index: int) -> bytes:
        """The encoded member.

        Raises:
            OSError: when the archive is missing, or the member is damaged or larger than `MAX_BYTES`.
        """
        packed, size = int(self._packed[index]), int(self._size[index])
        check_size(self.name(index), max(packed, size))
        handle = self.handles.get(0)
        start = int(self._offset[index])
        handle.seek(start)
        header = handle.read(_LOCAL_HEADER.size).ljust(_LOCAL_HEADER.size, b"\0")
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        handle.seek(start + 30 + name_length + extra_length)
        data = handle.read(packed)
        try:
            if self._deflated[index]:  # one byte more than is said, so that a lie shows and stays small
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error as error:
            raise OSError(f"{self.name(index)}: damaged in the archive ({error})") from error
        if signature != b"PK\x03\x04" or zlib.crc32(data) != self._check[index]:
            raise OSError(f"{self.name(index)}: damaged in the archive (checksum differs)")
        return data

    def checksum(self, index: int) -> int:
        """What the archive says of the member's content."""
        return int(self._check[index])


def read_members(path: Path) -> ZipMembers:
    """The directory of an archive.

    Raises:
        InputError: when the file cannot be read or is no whole zip archive.
    """
    try:
        with path.open("rb") as file:
            directory, shift = _directory(file)
        return _parsed(path, directory, shift)
    except (OSError, ValueError, struct.error) as error:
        raise InputError(
            f"{path}: is not a readable zip archive ({error}); copy or download it again"
        ) from error


def _directory(file: BinaryIO) -> tuple[bytes, int]:
    """The directory's bytes, and how far all that it points to lies behind where it says."""
    length = file.seek(0, io.SEEK_END)
    start = file.seek(max(length - _END.size - _MOST_COMMENT, 0))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _END.size > len(tail):
        raise ValueError("it has no directory at its end")
    end = start + place
    _, size, offset = _END.unpack_from(tail, place)
    before = end - _LOCATOR_64 - _END_64.size
    if before >= 0:
        file.seek(before)
        signature, size_64, offset_64 = _END_64.unpack(file.read(_END_64.size))
        if signature == b"PK\x06\x06" and file.read(4) == b"PK\x06\x07":
            end, size, offset = before, size_64, offset_64
    if size + offset > end:
        raise ValueError("its directory points before its beginning")
    file.seek(end - size)
    return file.read(size), end - size - offset


def _parsed(path: Path, directory: bytes, shift: int) -> ZipMembers:
    names: list[str] = []
    places, sizes, checks, kinds = array("q"), array("q"), array("L"), array("H")
    for name, flags, method, check, packed, size, offset in _entries(directory):
        names.append(name)
        places.append(offset + shift)
        sizes.append(packed)
        sizes.append(size)
        checks.append(check)
        kinds.append(flags)
        kinds.append(method)
    both, kind = np.array(sizes).reshape(-1, 2), np.array(kinds).reshape(-1, 2)
    return ZipMembers(
        path=path,
        names=names,
        offset=np.array(places),
        packed=both[:, 0],
        size=both[:, 1],
        check=np.array(checks).astype(np.uint32),
        method=kind[:, 1],
        encrypted=(kind[:, 0] & _ENCRYPTED) > 0,
    )


def _entries(directory: bytes) -> Iterator[tuple[str, int, int, int, int, int, int]]:
    """Name, flags, method, checksum, packed and unpacked size, and offset of every entry."""
    place, unpack = 0, _ENTRY.unpack_from
    while place < len(directory):
        signature, flags, method, check, packed, size, length, more, comment, offset = unpack(
            directory, place
        )
        start = place + _ENTRY.size
        place = start + length + more + comment
        if signature != b"PK\x01\x02" or place > len(directory):
            raise ValueError(f"its directory is damaged at byte {start - _ENTRY.size}")
        raw = directory[start : start + length]
        if _ELSEWHERE in (packed, size, offset):
            extra = directory[start + length : start + length + more]
            size, packed, offset = _wide(extra, size, packed, offset)
        if name := _name(raw, bool(flags & _UTF_8)):
            yield name, flags, method, check, packed, size, offset


def _name(raw: bytes, is_utf_8: bool) -> str:
    """A member's name with forward slashes and without leading './'; '' of the place that all lie in.

    Many programs write UTF-8 and do not say so; names in code page 437 are hardly ever valid UTF-8.
    """
    try:
        name = raw.decode("utf-8").replace("\\", "/")
    except UnicodeDecodeError:
        if is_utf_8:
            raise
        name = raw.decode("cp437").replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _wide(extra: bytes, *fields: int) -> list[int]:
    """The fields, of 8 bytes from the extra field where 4 were not enough; no more than any file holds."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            wide = (number for (number,) in struct.iter_unpack("<Q", extra[place + 4 :][: length // 8 * 8]))
            return [min(next(wide, field), 2**60) if field == _ELSEWHERE else field for field in fields]
        place += 4 + length
    return list(fields)
