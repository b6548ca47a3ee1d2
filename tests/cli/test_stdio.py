from __future__ import annotations

import os
import threading
from pathlib import Path

from longtail.cli.stdio import writing


def test_a_file_is_there_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.csv"
    with writing(path) as file:
        file.write("one\n")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"one\n"


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
