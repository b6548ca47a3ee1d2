"""Where images lie: files below a folder, an array in memory; members of archives have files of their own.

Every store keeps a few dozen bytes per image, can be pickled into worker processes, and may be
read by several threads at once.
"""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtail.data.names import Names

MAX_BYTES = 2**30
"""A file that is larger, or unpacks to more, is refused unread: no encoded image is."""


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
        return read_file(self.root / self.names[index])


def read_file(path: Path) -> bytes:
    """The content of a file that may be an image.

    Raises:
        OSError: when it is missing, unreadable, larger than `MAX_BYTES`, or a pipe or device.
    """
    if "\0" in str(path):
        raise OSError("a path cannot hold a null character; write one path per line")
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path}: is no file, but a folder, pipe or device")
    check_size(str(path), found.st_size)
    return path.read_bytes()


def check_size(name: str, size: int) -> None:
    """Refuse a file of more than `MAX_BYTES`.

    Raises:
        OSError: when it is one.
    """
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
