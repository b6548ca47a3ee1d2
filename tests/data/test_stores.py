from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from longtail.data.names import Names
from longtail.data.stores import MAX_BYTES, ArrayStore, FileStore


def test_a_vanished_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nothing.jpg"):
        FileStore(tmp_path, Names(["nothing.jpg"])).read(0)


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "1.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(OSError, match=r"1.jpg: holds 1.0 GiB, and no image more than 1 is read"):
        FileStore(tmp_path, Names(["1.jpg"])).read(0)


def test_what_would_never_end_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "/dev/zero", "."):
        with pytest.raises(OSError, match="is no file, but a folder, pipe or device"):
            FileStore(tmp_path, Names([name])).read(0)


def test_a_file_store_reads_files_below_its_root(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"one")
    store = pickle.loads(pickle.dumps(FileStore(tmp_path, Names(["a/1.jpg"]))))
    assert (len(store), store.read(0), store.name(0)) == (1, b"one", str(tmp_path / "a" / "1.jpg"))


def test_an_array_store_gives_decoded_images() -> None:
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4, 1)
    store = ArrayStore(images, Names(["x", "y"]))
    assert (store.read(1) == images[1]).all()
    assert (len(store), store.name(1)) == (2, "y")


@pytest.mark.parametrize("images", [np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4, 1), np.float32)])
def test_an_array_of_another_form_is_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected \(2, H, W, C\) uint8"):
        ArrayStore(images, Names(["x", "y"]))


def test_a_path_with_a_null_character_cannot_be_read(tmp_path):
    store = FileStore(tmp_path, Names(["a\0b"]))
    with pytest.raises(OSError, match="null character"):
        store.read(0)
