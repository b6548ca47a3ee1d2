from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from longtail.data.marks import END, content_mark
from longtail.data.names import Names
from longtail.data.stores import FileStore
from longtail.data.tars import read_members as read_tars
from longtail.data.zips import read_members as read_zip


def in_folder(root: Path, content: bytes) -> int:
    (root / "1.jpg").write_bytes(content)
    return content_mark(FileStore(root, Names(["1.jpg"])), 0)


def in_zip(root: Path, content: bytes) -> int:
    with zipfile.ZipFile(root / "x.zip", "w") as archive:
        archive.writestr("1.jpg", content)
    return content_mark(read_zip(root / "x.zip").store(np.array([0])), 0)


def in_tar(root: Path, content: bytes) -> int:
    with tarfile.open(root / "x.tar", "w") as archive:
        entry = tarfile.TarInfo("1.jpg")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return content_mark(read_tars([root / "x.tar"]).store(np.array([0])), 0)


@pytest.mark.parametrize("mark", [in_folder, in_zip, in_tar])
@pytest.mark.parametrize("size", [1, END, END + 1, 3 * END])
def test_another_beginning_end_or_size_is_another_mark(tmp_path: Path, mark, size: int) -> None:
    whole = bytes(size)
    marks = [
        mark(tmp_path, content) for content in (whole, b"\1" + whole[1:], whole[1:] + b"\1", whole + b"\0")
    ]
    assert marks[0] == mark(tmp_path, whole)
    assert marks[0] not in marks[1:]


def test_files_and_tar_archives_have_the_same_marks(tmp_path: Path) -> None:
    for content in (b"", b"one", bytes(range(256)) * 40):
        assert in_folder(tmp_path, content) == in_tar(tmp_path, content)


def test_what_is_gone_has_none(tmp_path: Path) -> None:
    assert content_mark(FileStore(tmp_path, Names(["1.jpg"])), 0) == 0
