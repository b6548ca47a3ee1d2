"""Files that stay open for reading, for stores whose images lie in a few large files."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

MOST_OPEN = 64
"""Files that a thread keeps open: a process may open about a thousand, in all threads together."""


class Handles:
    """Some files, opened when they are first read, once for each thread and process.

    Two readers of one handle would share its position, and so would a forked process. What is open is
    left behind when this is copied or pickled.

    Args:
        paths: the files.
    """

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        self._own = threading.local()

    def get(self, number: int) -> io.BufferedReader:
        """The file of that number, open in this thread.

        Raises:
            OSError: when it cannot be opened.
        """
        if getattr(self._own, "process", None) != os.getpid():
            self._own.process, self._own.files = os.getpid(), {}
        files: dict[int, _Reader] = self._own.files
        if number not in files:
            if len(files) >= MOST_OPEN:
                files.pop(next(iter(files))).close()
            files[number] = _Reader(_File(self.paths[number]))
        return files[number]

    def __getstate__(self) -> tuple[Path, ...]:
        return self.paths

    def __setstate__(self, paths: tuple[Path, ...]) -> None:
        self.__init__(paths)


class _Reader(io.BufferedReader):
    """A file that closes itself when its thread or its store goes."""

    def __del__(self) -> None:
        self.close()


class _File(io.FileIO):
    """The same below it: in a cycle that is collected, either may go first."""

    def __del__(self) -> None:
        self.close()
