from __future__ import annotations

import pickle
import re
import threading
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.listing import list_source
from longtail.data.stores import MAX_BYTES
from longtail.data.zips import ZipMembers, ZipStore, read_members
from longtail.errors import InputError

CONTENT = {f"images/{i}.jpg": bytes([i]) * (1000 * i + 1) for i in range(20)}


def packed(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> ZipMembers:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return read_members(path)


def zip_store(tmp_path: Path, method: int = zipfile.ZIP_DEFLATED) -> ZipStore:
    return packed(tmp_path / "some.zip", CONTENT, method).store(np.arange(len(CONTENT)))


def without_dot(entry: zipfile.ZipInfo) -> str:
    return re.sub(r"^(\./+)+", "", entry.filename.replace("\\", "/"))


def assert_as_zipfile_reads(path: Path) -> None:
    found = read_members(path)
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if without_dot(entry)]
        assert found.names == [without_dot(entry) for entry in entries]
        assert found.offset.tolist() == [entry.header_offset for entry in entries]
        assert found.packed.tolist() == [entry.compress_size for entry in entries]
        assert found.size.tolist() == [entry.file_size for entry in entries]
        assert found.check.tolist() == [entry.CRC for entry in entries]
        assert found.method.tolist() == [entry.compress_type for entry in entries]
        assert found.encrypted.tolist() == [bool(entry.flag_bits & 1) for entry in entries]
        store = found.store(np.arange(len(entries)))
        assert [store.read(i) for i in range(len(store))] == [archive.read(entry) for entry in entries]


@given(
    st.dictionaries(st.text("aé ö/\\.jpg", min_size=1), st.binary(max_size=50), max_size=6),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=30),
    st.binary(max_size=30).filter(lambda comment: b"PK" not in comment),  # zipfile takes that for the end
)
def test_the_directory_is_that_which_zipfile_reads(
    tmp_path_factory: pytest.TempPathFactory,
    content: dict[str, bytes],
    method: int,
    before: bytes,
    comment: bytes,
) -> None:
    path = tmp_path_factory.mktemp("zips") / "x.zip"
    with path.open("wb") as file:
        file.write(before)  # as of an archive that unpacks itself
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.comment = comment
            for name, data in content.items():
                archive.writestr(zipfile.ZipInfo(name), data, method)
    assert_as_zipfile_reads(path)


def test_an_archive_with_fields_of_8_bytes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, value in (("ZIP64_LIMIT", 100), ("ZIP_FILECOUNT_LIMIT", 3)):
        monkeypatch.setattr(zipfile, limit, value)
    packed(tmp_path / "x.zip", CONTENT)
    assert b"PK\x06\x06" in (tmp_path / "x.zip").read_bytes()
    assert_as_zipfile_reads(tmp_path / "x.zip")


def unflagged(path: Path) -> None:
    """As programs write it that do not say that names are UTF-8: bit 11 of both headers is off."""
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        for found in re.finditer(re.escape(signature), bytes(content)):
            content[found.start() + flags] &= 0xF7
    path.write_bytes(content)


def test_names_in_utf_8_are_read_whether_the_archive_says_so_or_not(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    packed(path, {"Bär/1.jpg": b"1", "Café/2.jpg": b"2"})
    unflagged(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() != ["Bär/1.jpg", "Café/2.jpg"]
    assert read_members(path).names == ["Bär/1.jpg", "Café/2.jpg"]


def test_names_in_the_old_code_page_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    packed(path, {"Bör/1.jpg": b"1"})
    unflagged(path)
    path.write_bytes(path.read_bytes().replace("ö".encode(), "öö".encode("cp437")))
    assert read_members(path).names == ["Böör/1.jpg"]


def test_a_folder_of_photos_packed_with_a_leading_dot_is_found(tmp_path: Path) -> None:
    packed(tmp_path / "x.zip", {"./": b"", "./photos/cat/1.jpg": b"1", "./photos/dog/2.jpg": b"2"})
    assert list_source(tmp_path / "x.zip").images == ["cat/1.jpg", "dog/2.jpg"]


def test_a_name_that_is_not_utf_8_though_it_says_so_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    packed(path, {"ö.jpg": b""})
    path.write_bytes(path.read_bytes().replace("ö".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match=r"x.zip: is not a readable zip archive \('utf-8' codec"):
        read_members(path)


def test_a_damaged_archive_is_one_line_or_reads_on(tmp_path: Path) -> None:
    path, rng = tmp_path / "x.zip", np.random.default_rng(0)
    packed(path, {name: data[:9] for name, data in CONTENT.items()})
    whole = path.read_bytes()
    refused: list[str] = []
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged[: rng.integers(1, len(damaged))] if rng.random() < 0.2 else damaged)
        try:
            found = read_members(path)
            store = found.store(np.arange(len(found.names)))
            [store.read(i) for i in range(len(store))]
        except (InputError, OSError) as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all("x.zip" in message and "\n" not in message for message in refused)


def test_a_member_takes_little_memory(tmp_path: Path) -> None:
    packed(tmp_path / "x.zip", {f"images/{i:06d}.jpg": b"" for i in range(2000)})
    tracemalloc.start()
    found = read_members(tmp_path / "x.zip")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept / len(found.names) < 200  # zipfile keeps 500 to 600


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


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_an_oserror_that_names_it(tmp_path: Path, method: int) -> None:
    store = zip_store(tmp_path, method)
    data = bytearray(store.path.read_bytes())
    data[-len(data) // 2 - 3000 : -len(data) // 2] = b"\xff" * 3000
    store.path.write_bytes(data)
    with pytest.raises(OSError, match=r"some.zip/images/\d+.jpg: damaged"):
        [store.read(i) for i in range(len(store))]


def test_a_truncated_or_vanished_archive_is_an_oserror(tmp_path: Path) -> None:
    store = zip_store(tmp_path)
    store.path.write_bytes(b"PK")
    with pytest.raises(OSError, match="damaged"):
        store.read(5)
    store = zip_store(tmp_path)
    store.path.unlink()
    with pytest.raises(OSError, match=r"some.zip"):
        store.read(0)


def test_a_member_larger_than_any_image_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    found = packed(tmp_path / "bomb.zip", {"1.jpg": b"\0" * 10**7})
    honest = replace(found, size=np.array([MAX_BYTES + 1]))  # as its directory would say of a larger one
    with pytest.raises(OSError, match=r"1.jpg: holds 1.0 GiB, and no image more than 1 is read"):
        honest.store(np.array([0])).read(0)
    lying = replace(found, size=np.array([1000])).store(np.array([0]))
    tracemalloc.start()
    with pytest.raises(OSError, match="damaged"):
        lying.read(0)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_an_empty_member_is_read(tmp_path: Path) -> None:
    assert packed(tmp_path / "x.zip", {"1.jpg": b""}).store(np.array([0])).read(0) == b""


def test_the_index_of_an_archive_is_small(tmp_path: Path) -> None:
    packed(tmp_path / "many.zip", {f"c{i % 2}/{i:06d}.jpg": b"" for i in range(2000)})
    store = list_source(tmp_path / "many.zip").store()
    assert len(pickle.dumps(store)) < 2000 * 60
