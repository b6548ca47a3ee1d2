"""The files below a folder, whatever links and pipes lie there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_HIDDEN = re.compile(r"(^|/)(\.|(__MACOSX|@eaDir|#recycle|\$RECYCLE\.BIN|System Volume Information)(/|$))")


def hidden(path: str) -> bool:
    """Whether a file, or a folder on the way to it, is one that people do not see.

    That is what begins with a dot, and what macOS adds to archives, storage servers to folders of photos
    (small copies of them), and systems to disks.
    """
    return _HIDDEN.search(path) is not None


class Walk:
    """Paths of files below the root, hidden ones left out; gathers on the way what else is there.

    A link to a folder is followed, except into a folder that the path to it already goes through.

    Attributes:
        folders: paths of folders.
        leaving: files that a link fetches from outside.
        broken: links to nothing.
        special: what is neither file nor folder; to open a pipe would wait for ever.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: set[str] = set()
        self.leaving: set[str] = set()
        self.broken: list[str] = []
        self.special: list[str] = []

    def __iter__(self) -> Iterator[str]:
        real_root = os.path.realpath(self.root)
        todo: list[tuple[str, tuple[str, ...], bool]] = [("", (real_root,), False)]
        while todo:
            below, trail, outside = todo.pop()
            with os.scandir(self.root / below) as entries:
                for entry in entries:
                    if hidden(entry.name):
                        continue
                    path = below + entry.name
                    link = os.path.realpath(entry.path) if entry.is_symlink() else ""
                    out = outside or (bool(link) and not _inside(link, real_root))
                    if entry.is_file():
                        if out:
                            self.leaving.add(path)
                        yield path
                    elif not entry.is_dir():
                        (self.special if Path(entry.path).exists() else self.broken).append(path)
                    elif not link:
                        self.folders.add(path)
                        todo.append((path + "/", trail, out))
                    elif not any(_inside(p, link) for p in (*trail, os.path.realpath(self.root / below))):
                        self.folders.add(path)
                        todo.append((path + "/", (*trail, link), out))


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
