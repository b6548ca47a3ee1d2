"""Files that are written whole or not at all, and lines of text that are read."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from longtail.errors import InputError


def file_name(text: str) -> str:
    """The text as the name of a file or folder; what some system does not allow there becomes a dash.

    Example:
        >>> file_name("mine/own.py:Loss+over")
        'mine-own.py-Loss+over'
    """
    return re.sub(r"[^\w.+-]+", "-", text)


PART = ".part"
"""What the name of a file that is being written ends with; it begins with a dot."""


@contextmanager
def written_aside(path: Path) -> Generator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    What was written is on the disk before the renaming. When the block fails, what it wrote is removed and
    an earlier file stays as it was. A pipe or a device is written to as it is: it must not be replaced by a
    file.

    Raises:
        InputError: when the block or the renaming cannot write, with the system's reason.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with written_aside(target) as aside:
        ...     _ = aside.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    special = path.exists() and not path.is_file()
    aside = path if special else path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        yield aside
        if not special:
            take_place(aside, path)
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be written ({reason}); choose a place with room to write") from None
    finally:
        if not special:
            with suppress(OSError):
                aside.unlink()


def take_place(aside: Path, path: Path) -> None:
    """Put a file that is written into the place of another; it is on the disk before."""
    _on_disk(aside)
    aside.replace(path)
    with suppress(OSError):  # not all systems can do that with a folder
        _on_disk(path.parent)


def _on_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would outlast a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Raises:
        InputError: see `written_aside`.
    """
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def decode_line(path: str, number: int, line: bytes) -> str:
    """The text of a line of a UTF-8 file; a mark of byte order at its start does no harm.

    Raises:
        InputError: when it is not UTF-8.
    """
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, line {number}: is not UTF-8 (byte 0x{line[error.start]:02x});"
            " save the file with encoding UTF-8"
        ) from None


def place_of(name: str) -> Path:
    """A path in which ~ stands for the home folder; of a name that nobody has, as it is."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  Path.expanduser raises there
