from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from longtail.cli.stdio import fail, writing


def test_a_file_is_there_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.csv"
    with writing(path) as file:
        file.write("one\n")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"one\n"


def test_a_full_disk_names_the_file_that_was_asked_for(tmp_path: Path):
    path = tmp_path / "a.csv"
    with pytest.raises(OSError) as error, writing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_names_the_file_that_was_asked_for(tmp_path: Path):
    path = tmp_path / "no" / "a.csv"
    with pytest.raises(FileNotFoundError) as error, writing(path):
        pass
    assert error.value.filename == str(path)


def test_another_file_that_fails_meanwhile_keeps_its_name(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as error, writing(tmp_path / "a.csv"):
        (tmp_path / "image.jpg").read_bytes()
    assert error.value.filename == str(tmp_path / "image.jpg")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    with writing(path) as file:
        file.write("one\n")
    reader.join()
    assert read == ["one\n"]
    assert path.is_fifo()


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]):
    fail("one\n  two")
    assert capsys.readouterr().err == "longtail: error: one two\n"
