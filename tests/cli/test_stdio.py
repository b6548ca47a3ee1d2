from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from longtail.cli.stdio import expect_no_input, expect_writable, writing
from longtail.errors import InputError


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


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "splits.json", "report.html"])
def test_an_output_takes_the_place_of_nothing_that_a_run_needs(tmp_path: Path, name: str):
    expect_writable(tmp_path / name, "--output")
    for file in (name, "results.json", "model.onnx"):
        (tmp_path / file).write_bytes(b"x")
    if name != "config.json":
        expect_writable(tmp_path / name, "--output")  # the folder is not that of a run
        (tmp_path / "config.json").write_bytes(b"x")
    expect_writable(tmp_path / "results.json", "--output", own="results*.json")
    expect_writable(tmp_path / "model.onnx", "--output", own="model*.onnx")
    with pytest.raises(InputError, match=rf"--output .*{name}: is a file of a run; choose another place"):
        expect_writable(tmp_path / name, "--output")


def test_an_output_takes_the_place_of_no_image(tmp_path: Path):
    expect_no_input(tmp_path / "photo.jpg", "--output")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"--output .*photo\.jpg: is an image; choose another place"):
        expect_no_input(tmp_path / "photo.jpg", "--output")
