from __future__ import annotations

import gc
import os
import pickle
import threading
from pathlib import Path

import pytest

from longtail.data.handles import MOST_OPEN, Handles


def files(tmp_path: Path, number: int = 1) -> Handles:
    paths = tuple(tmp_path / str(i) for i in range(number))
    for i, path in enumerate(paths):
        path.write_bytes(b"%d" % i)
    return Handles(paths)


def test_each_thread_has_a_handle_of_its_own(tmp_path: Path) -> None:
    handles = files(tmp_path)
    found = [handles.get(0)]
    thread = threading.Thread(target=lambda: found.append(handles.get(0)))
    thread.start()
    thread.join()
    assert found[0] is handles.get(0)
    assert found[1] is not found[0]


def test_another_process_gets_a_handle_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handles = files(tmp_path)
    mine = handles.get(0)
    assert handles.get(0) is mine
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert handles.get(0) is not mine


def test_an_open_file_is_closed_without_a_warning(tmp_path: Path) -> None:
    handles = files(tmp_path)
    raw = handles.get(0).raw
    del handles
    gc.collect()
    assert raw.closed


def test_of_many_files_few_are_open_and_all_can_be_read(tmp_path: Path) -> None:
    handles = files(tmp_path, 2 * MOST_OPEN)
    opened = [handles.get(i) for i in range(len(handles.paths))]
    assert sum(not file.closed for file in opened) == MOST_OPEN
    assert [handles.get(i).read() for i in range(len(handles.paths))] == [
        b"%d" % i for i in range(len(handles.paths))
    ]


def test_what_is_open_is_left_behind_when_pickled(tmp_path: Path) -> None:
    handles = files(tmp_path)
    handles.get(0)
    again = pickle.loads(pickle.dumps(handles))
    assert again.get(0).read() == b"0"
