import errno
import os
import threading

import pytest

from longtail.errors import InputError
from longtail.files import decode_line, write_text, written_aside


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "a"
    path.write_text("before")
    with written_aside(path) as aside:
        aside.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_written_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    path, seen = tmp_path / "a", []
    path.write_text("before")
    monkeypatch.setattr(os, "fsync", lambda number: seen.append(path.read_text()))
    write_text(path, "after")
    assert seen == ["before", "after"]  # the file, then the name in its folder


def half_written(path, failure):
    with written_aside(path) as aside:
        aside.write_text("half")
        raise failure


def test_a_full_disk_leaves_the_earlier_file_and_names_it(tmp_path):
    path = tmp_path / "a"
    path.write_text("before")
    with pytest.raises(InputError, match=r"a: cannot be written \(No space left on device\)"):
        half_written(path, OSError(errno.ENOSPC, "No space left on device"))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_another_failure_leaves_nothing_behind_either(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        half_written(tmp_path / "a", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"no/a: cannot be written \(No such file or directory\)"):
        write_text(tmp_path / "no" / "a", "text")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write_text(path, "one")
    reader.join()
    assert read == ["one"]
    assert path.is_fifo()


def test_a_mark_of_byte_order_is_dropped_at_the_start_of_a_file_only():
    assert decode_line("a", 1, b"\xef\xbb\xbfx") == "x"
    assert decode_line("a", 2, b"\xef\xbb\xbfx") == "\ufeffx"


def test_a_line_that_is_not_utf_8_is_named():
    with pytest.raises(InputError, match=r"a, line 3: is not UTF-8 \(byte 0xff\); save the file"):
        decode_line("a", 3, b"x\xff")
