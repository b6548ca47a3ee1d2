"""Where images lie: files below a folder, members of a zip archive, an array in memory.

Every store keeps a few dozen bytes per image, can be pickled into worker processes, and may be
read by several threads at once.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import zlib
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

import numpy as np
from numpy.typing import NDArray

from longtail.data.names import Names

READABLE_METHODS = (ZIP_STORED, ZIP_DEFLATED)
"""Compression methods of zip members that can be read in place."""

MAX_BYTES = 2**30
"""A file that is larger, or unpacks to more, is refused unread: no encoded image is."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, length of the name, length of the extra field


class FileStore:
    """Images as files below one folder.

    Args:
        root: the folder.
        names: N paths below it, with forward slashes.
    """

    def __init__(self, root: Path, names: Names) -> None:
        self.root = root
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The file's path."""
        return str(self.root / self.names[index])

    def read(self, index: int) -> bytes:
        """The encoded file.

        Raises:
            OSError: when the file is missing, unreadable, larger than `MAX_BYTES`, or a pipe or device.
        """
        path = self.root / self.names[index]
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path}: is no file, but a folder, pipe or device")
        _check_size(str(path), found.st_size)
        return path.read_bytes()


class ZipStore:
    """Images as members of a zip archive, read in place.

    The place of every member is kept in four small arrays, so a worker process opens the file and
    reads: it neither parses the archive's directory again nor holds it.

    Args:
        path: the archive.
        members: N entries of its directory, stored or deflated, not encrypted.
    """

    def __init__(self, path: Path, members: list[ZipInfo]) -> None:
        self.path = path
        self.names = Names(member.filename for member in members)
        self._offset = np.array([member.header_offset for member in members], np.int64)
        self._packed = np.array([member.compress_size for member in members], np.int64)
        self._size = np.array([member.file_size for member in members], np.int64)
        self._check = np.array([member.CRC for member in members], np.uint32)
        self._deflated = np.array([member.compress_type == ZIP_DEFLATED for member in members], np.bool_)
        self._handles = threading.local()

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
        _check_size(self.name(index), max(packed, size))
        handle = self._handle()
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

    def _handle(self) -> _Reader:
        # One open file a thread, and a new one after a fork: two readers of one handle share its position.
        if getattr(self._handles, "process", None) != os.getpid():
            self._handles.reader = _Reader(io.FileIO(self.path))
            self._handles.process = os.getpid()
        return self._handles.reader

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_handles"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._handles = threading.local()


def _check_size(name: str, size: int) -> None:
    if size > MAX_BYTES:
        raise OSError(f"{name}: holds {size / 2**30:.1f} GiB, and no image more than 1 is read")


class ArrayStore:
    """Decoded images in memory.

    Args:
        images: (N, H, W, C) uint8.
        names: N names, for messages.

    Raises:
        ValueError: when the array is not (N, H, W, C) uint8 beside N names.
    """

    def __init__(self, images: NDArray[np.uint8], names: Names) -> None:
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(names):
            raise ValueError(
                f"images: expected ({len(names)}, H, W, C) uint8, got {images.shape} {images.dtype}"
            )
        self.images = images
        self.names = names

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The image's name."""
        return self.names[index]

    def read(self, index: int) -> NDArray[np.uint8]:
        """The image, (H, W, C) uint8."""
        return self.images[index]


class _Reader(io.BufferedReader):
    """A file that closes itself when its thread or its store goes."""

    def __del__(self) -> None:
        self.close()
