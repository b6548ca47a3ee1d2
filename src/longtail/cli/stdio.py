"""What a command prints, and files it writes that were named by a flag."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Generator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from longtail.errors import InputError
from longtail.files import written_aside

if TYPE_CHECKING:
    from rich.console import RenderableType


SURROGATES = "surrogateescape"
"""File names that are not UTF-8 are written as the bytes they are."""


def command_line() -> str:
    """What was typed."""
    return shlex.join(["longtail", *sys.argv[1:]])


def expect_writable(path: Path, flag: str, own: str = "") -> None:
    """Look at the place of an output before the work is done.

    Args:
        path: where it is to be.
        flag: that named it.
        own: pattern of the names of a run's files that this command makes, and may make anew.

    Raises:
        InputError: when the path is a folder, or its folder does not exist, or it is another file of a run.
    """
    if path.is_dir():
        raise InputError(f"{flag} {path}: expected a file to write, got a folder")
    if not path.parent.is_dir():
        raise InputError(f"{flag} {path}: the folder {path.parent} does not exist")
    from longtail.runs.folder import RunFolder

    folder = RunFolder(path.parent)
    if folder.config.exists() and path in folder.files and not fnmatch(path.name, own):
        raise InputError(f"{flag} {path}: is a file of a run; choose another place")


def expect_no_input(path: Path, flag: str, *inputs: str | Path | None) -> None:
    """Refuse to write over what is read, or over any image.

    Raises:
        InputError: when the path is one of the inputs, or an image.
    """
    from longtail.data.listing import is_image

    if path.exists() and is_image(path.name):
        raise InputError(f"{flag} {path}: is an image; choose another place")
    if any(given is not None and path.resolve() == Path(given).resolve() for given in inputs):
        raise InputError(f"{flag} {path}: is what is read; choose another place")


@contextmanager
def writing(path: Path) -> Generator[TextIO]:
    """A text file that takes the place of `path` when the block ends well, see `written_aside`."""
    with (
        written_aside(path) as target,
        target.open("w", encoding="utf-8", newline="", errors=SURROGATES) as file,
    ):
        yield file


def show(content: RenderableType) -> None:
    """Print a table of `longtail.reporting`, without the blanks that fill its lines."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(content)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
