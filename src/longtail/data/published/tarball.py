"""Members of a .tar.gz archive in one pass, nothing written to disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from longtail.errors import InputError


def read_members(
    path: Path, wanted: Collection[str], *, largest: int, in_all: int, source: str
) -> Iterator[tuple[str, bytes]]:
    """Name and content of every wanted member that is a plain file, in the archive's order.

    No name in the archive is used as a path, and a small archive that unpacks to any size is
    stopped at the limits.

    Args:
        path: the archive.
        wanted: names of members, as the archive has them but for a leading './'.
        largest: bytes that a wanted member may have.
        in_all: bytes that the archive may unpack to.
        source: where to get it again, for messages.

    Raises:
        InputError: when the archive is damaged, cut short or beyond a limit, or has a member twice.
    """
    seen: set[str] = set()
    try:
        with gzip.open(path) as packed:
            bounded = _Bounded(packed, path, in_all, source)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if name not in wanted or not member.isreg():
                        continue
                    if name in seen:
                        raise InputError(f"{path}: holds {name} twice; download it again from {source}")
                    seen.add(name)
                    check_size(f"{path}/{member.name}", member.size, largest, source)
                    file = archive.extractfile(member)
                    yield name, file.read() if file else b""
            while bounded.read(2**20):  # only at its end does gzip compare the checksum
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{path}: is damaged ({error}); download it again from {source}") from error


def check_size(where: str, size: int, largest: int, source: str) -> None:
    """Refuse a file before it is read.

    Raises:
        InputError: when it has more bytes than `largest`.
    """
    if size > largest:
        raise InputError(
            f"{where}: has {size} bytes, more than the {largest} that are allowed;"
            f" download it again from {source}"
        )


class _Bounded(io.RawIOBase):
    """The unpacked bytes, up to a limit."""

    def __init__(self, file: gzip.GzipFile, path: Path, limit: int, source: str) -> None:
        self._file = file
        self._path = path
        self._limit = self._left = limit
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; an InputError beyond the limit."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"{self._path}: unpacks to more than the {self._limit} bytes that are allowed;"
                f" download it again from {self._source}"
            )
        return data
