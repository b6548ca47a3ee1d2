from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from longtail.data.published.tarball import read_members
from longtail.errors import InputError


def pack(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def plain(name: str, data: bytes = b"data") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def read(path: Path, *wanted: str, largest: int = 1000, in_all: int = 100_000) -> list[tuple[str, bytes]]:
    return list(read_members(path, wanted, largest=largest, in_all=in_all, source="http://there"))


def test_wanted_members_are_read_in_the_archives_order(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar.gz", [plain("a/2", b"two"), plain("a/3"), plain("./a/1", b"")])
    assert read(path, "a/1", "a/2", "a/4") == [("a/2", b"two"), ("a/1", b"")]


def test_links_and_paths_out_of_the_archive_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    members = [
        link("a/1", str(secret), tarfile.SYMTYPE),
        link("a/2", str(secret), tarfile.LNKTYPE),
        plain("../a/3"),
        plain(f"{tmp_path}/a/4"),
    ]
    path = pack(tmp_path / "x.tar.gz", members)
    assert read(path, "a/1", "a/2", "a/3", "a/4") == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["secret", "x.tar.gz"]


def test_a_member_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "x.tar.gz", [plain("a", bytes(1000)), plain("b", bytes(1001)), plain("c", bytes(5000))]
    )
    assert len(read(path, "a")[0][1]) == 1000
    with pytest.raises(InputError, match=r"x.tar.gz/b: has 1001 bytes, more than the 1000 .* http://there"):
        read(path, "a", "b")


def test_an_archive_that_unpacks_to_any_size_is_stopped(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar.gz", [plain("a", bytes(10)), plain("b", bytes(200_000))])
    assert path.stat().st_size < 5000
    with pytest.raises(InputError, match="unpacks to more than the 100000 bytes"):
        read(path, "a")


def test_a_long_name_that_unpacks_to_any_size_is_stopped(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar.gz", [plain("a" * 300_000)])
    with pytest.raises(InputError, match="unpacks to more than the 100000 bytes"):
        read(path, "a")


def test_a_member_packed_twice_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar.gz", [plain("a"), plain("./a")])
    with pytest.raises(InputError, match=r"x.tar.gz: holds a twice; download it again from http://there"):
        read(path, "a")


def test_damage_within_a_member_is_an_input_error(tmp_path: Path) -> None:
    path, packed = tmp_path / "x.tar.gz", pack(tmp_path / "y.tar.gz", [plain("a", bytes(range(250)) * 800)])
    whole = gzip.compress(gzip.decompress(packed.read_bytes()), 0)
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * (len(whole) // 2))
    with pytest.raises(InputError, match=r"x.tar.gz: is damaged \(Error -3 while decompressing"):
        read(path, "a", largest=300_000, in_all=300_000)


def test_damage_that_unpacks_to_something_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar.gz", [plain("a", b"data")])
    whole = gzip.compress(gzip.decompress(path.read_bytes()), 0)
    path.write_bytes(whole.replace(b"data", b"Data"))
    with pytest.raises(InputError, match=r"x.tar.gz: is damaged \(CRC check failed"):
        read(path, "a")


def test_damage_is_an_input_error(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar.gz", [plain("a", bytes(range(250)) * 4)])
    whole = path.read_bytes()
    for damaged in (
        b"",
        b"x",
        whole[:100],
        whole[:60] + b"\xff" * 40 + whole[100:],
        gzip.compress(b"no tar" * 99),
    ):
        path.write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"x.tar.gz: is damaged \(.*; download it again from http://there"
        ):
            read(path, "a")
