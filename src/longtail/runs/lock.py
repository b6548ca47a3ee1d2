"""One process at a time in the folder of a run, or at a file of predictions."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from datetime import datetime
from io import FileIO
from pathlib import Path

from longtail.errors import InputError


class RunLock:
    """Claims a folder for this process, until the block ends or the process does, however it ends.

    Another process of the machine is refused, and one of another machine where the file system knows locks of
    other machines. The lock belongs to the process: processes that it starts do not hold it.

    Args:
        path: the file that is locked; it says who holds it, and is removed when the block ends.
        work: what the process does, for messages.
    """

    def __init__(self, path: Path, work: str = "training") -> None:
        self._path = path
        self._work = work
        self._file: FileIO | None = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # the folder may be gone
                self._path.unlink()
            self._file.close()

    def take(self, asked: str) -> None:
        """Hold the lock; its folder must be there.

        Args:
            asked: what named the folder, for messages: "--output runs/x".

        Raises:
            InputError: when another process holds it, with the words that it left; or on a folder that cannot
                be written.
        """
        while self._file is None:
            file = self._opened(asked)
            if self._is_current(file):
                self._file = file
            else:
                file.close()  # the process before removed it in between
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        try:
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now}\n".encode())
        except OSError as error:
            raise InputError(f"{asked}: cannot be written ({error.strerror})") from None

    def _opened(self, asked: str) -> FileIO:
        try:
            file = FileIO(self._path, "a+")
        except OSError as error:
            raise InputError(f"{asked}: cannot be written ({error.strerror})") from None
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = " ".join(file.read(200).decode(errors="replace").split()) or "another process"
            file.close()
            raise InputError(
                f"{asked}: is in use by a {self._work} ({holder}); wait for its end, or choose another "
                "--output"
            ) from None
        except OSError:
            pass  # a file system without locks
        return file

    def _is_current(self, file: FileIO) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        own = os.fstat(file.fileno())
        return (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)
