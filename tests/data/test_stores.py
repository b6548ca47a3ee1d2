from __future__ import annotations

import gc
import os
import pickle
import threading
import tracemalloc
import zipfile
from copy import copy
from pathlib import Path

import numpy as np
import pytest

from longtail.data.listing import list_source
from longtail.data.names import Names
from longtail.data.stores import MAX_BYTES, ArrayStore, FileStore, ZipStore

CONTENT = {f"images/{i}.jpg": bytes([i]) * (1000 * i + 1) for i in range(20)}


def zip_store(tmp_path: Path, method: int = zipfile.ZIP_DEFLATED) -> ZipStore:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in CONTENT.items():
            archive.writestr(name, data)
    with zipfile.ZipFile(path) as archive:
        return ZipStore(path, [archive.getinfo(name) for name in CONTENT])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_read_in_place_are_what_was_packed(tmp_path: Path, method: int) -> None:
    store = zip_store(tmp_path, method)
    assert [store.read(i) for i in range(len(store))] == list(CONTENT.values())
    assert store.name(3) == f"{tmp_path}/some.zip/images/3.jpg"


def test_a_store_reads_on_after_pickling(tmp_path: Path) -> None:
    store = zip_store(tmp_path)
    store.read(0)
    again = pickle.loads(pickle.dumps(store))
    assert [again.read(i) for i in range(len(again))] == list(CONTENT.values())


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    store, expected = zip_store(tmp_path), list(CONTENT.values())
    wrong: list[int] = []

    def read_all() -> None:
        wrong.extend(i for _ in range(20) for i in range(len(store)) if store.read(i) != expected[i])

    threads = [threading.Thread(target=read_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_each_thread_has_a_handle_of_its_own(tmp_path: Path) -> None:
    store = zip_store(tmp_path)
    handles = [store._handle()]
    thread = threading.Thread(target=lambda: handles.append(store._handle()))
    thread.start()
    thread.join()
    assert handles[0] is store._handle()
    assert handles[1] is not handles[0]


def test_another_process_gets_a_handle_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = zip_store(tmp_path)
    mine = store._handle()
    assert store._handle() is mine
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert store._handle() is not mine


def test_an_open_archive_is_closed_without_a_warning(tmp_path: Path) -> None:
    store = zip_store(tmp_path)
    store.read(0)
    handle = store._handle().raw
    del store
    gc.collect()
    assert handle.closed


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_an_oserror_that_names_it(tmp_path: Path, method: int) -> None:
    store = zip_store(tmp_path, method)
    data = bytearray(store.path.read_bytes())
    data[-len(data) // 2 - 3000 : -len(data) // 2] = b"\xff" * 3000
    store.path.write_bytes(data)
    with pytest.raises(OSError, match=r"some.zip/images/\d+.jpg: damaged"):
        [store.read(i) for i in range(len(store))]


def test_a_truncated_archive_is_an_oserror(tmp_path: Path) -> None:
    store = zip_store(tmp_path)
    store.path.write_bytes(b"PK")
    with pytest.raises(OSError, match="damaged"):
        store.read(5)


def test_a_vanished_file_or_archive_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nothing.jpg"):
        FileStore(tmp_path, Names(["nothing.jpg"])).read(0)
    store = zip_store(tmp_path)
    store.path.unlink()
    with pytest.raises(OSError, match=r"some.zip"):
        store.read(0)


def test_a_member_larger_than_any_image_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpg", b"\0" * 10**7)
    with zipfile.ZipFile(path) as archive:
        honest, lying = archive.getinfo("1.jpg"), copy(archive.getinfo("1.jpg"))
    honest.file_size = MAX_BYTES + 1  # as its directory would say of a larger one
    with pytest.raises(OSError, match=r"1.jpg: holds 1.0 GiB, and no image more than 1 is read"):
        ZipStore(path, [honest]).read(0)
    lying.file_size = 1000
    tracemalloc.start()
    with pytest.raises(OSError, match="damaged"):
        ZipStore(path, [lying]).read(0)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_an_empty_member_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpg", b"")
    with zipfile.ZipFile(path) as archive:
        assert ZipStore(path, archive.infolist()).read(0) == b""


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


def test_the_index_of_an_archive_is_small(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(2000):
            archive.writestr(f"c{i % 2}/{i:06d}.jpg", b"")
    found = list_source(path)
    assert len(pickle.dumps(found.store(found.images))) < 2000 * 60
