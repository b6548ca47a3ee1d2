"""Numbers that change when an image does, without reading all of it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from longtail.data.dataset import ImageStore
from longtail.data.stores import FileStore
from longtail.data.tars import TarStore
from longtail.data.zips import ZipStore

END = 4096
"""Bytes at the beginning and at the end of a file that its mark is made of."""


def content_mark(store: ImageStore, index: int) -> int:
    """A number made of the content of an image; 0 of one that cannot be read.

    Of a file it is made of its size and both ends, so that a million files cost a million small reads; so it
    is in a tar archive. A zip archive has a checksum of its own.
    """
    try:
        if isinstance(store, ZipStore):
            return store.checksum(index)
        if isinstance(store, TarStore):
            return _mark(store.size(index), partial(store.part, index))
        if isinstance(store, FileStore):
            return _file_mark(store, index)
        content = store.read(index)
    except OSError:
        return 0
    return zlib.crc32(content if isinstance(content, bytes) else content.tobytes())


def _file_mark(store: FileStore, index: int) -> int:
    path = Path(store.name(index))
    if not path.is_file():  # a pipe would be waited for
        return 0
    with path.open("rb", buffering=0) as file:

        def part(start: int, length: int) -> bytes:
            file.seek(start)
            return file.read(length)

        return _mark(os.fstat(file.fileno()).st_size, part)


def _mark(size: int, part: Callable[[int, int], bytes]) -> int:
    """Of a file of a size, by what stands from some byte on."""
    mark = zlib.crc32(part(0, min(size, END)), size & 0xFFFFFFFF)
    if size > END:
        start = max(END, size - END)
        mark = zlib.crc32(part(start, size - start), mark)
    return mark
