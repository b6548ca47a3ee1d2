from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data import tars
from longtail.data.stores import MAX_BYTES
from longtail.data.tars import TarMembers, read_members
from longtail.errors import InputError

CONTENT = {f"a/{i}.jpg": bytes([i]) * (700 * i) for i in range(5)}
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def packed(
    path: Path,
    content: dict[str, bytes],
    form: int = tarfile.PAX_FORMAT,
    *odd: tarfile.TarInfo,
) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for entry in odd:
            archive.addfile(entry)
    return path


def everything(found: TarMembers) -> dict[str, bytes]:
    store = found.store(np.arange(len(found.names)))
    return {name: store.read(i) for i, name in enumerate(found.names)}


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


NAME = st.text("ab é/", min_size=1, max_size=150).filter(
    lambda name: not name.startswith("/") and not name.endswith("/") and ".." not in name
)


@given(st.dictionaries(NAME, st.binary(max_size=1500), max_size=5), st.sampled_from(FORMATS[1:]))
def test_what_the_library_packs_is_found_whole(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], form: int
) -> None:
    path = packed(tmp_path_factory.mktemp("tars") / "x.tar", content, form)
    assert everything(read_members([path])) == content


@pytest.mark.parametrize("form", FORMATS)
def test_folders_are_left_out_and_long_paths_read(tmp_path: Path, form: int) -> None:
    name = f"./{'long/' * 25}1.jpg"
    folder = entry("a/", tarfile.DIRTYPE)
    path = packed(tmp_path / "x.tar", {name: b"one"}, form, folder)
    assert everything(read_members([path])) == {name[2:]: b"one"}


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    paths = [packed(tmp_path / f"{i}.tar", {"1.jpg": bytes([i])}) for i in range(3)]
    store = pickle.loads(pickle.dumps(read_members(paths).store(np.array([2, 0]))))
    assert [store.read(i) for i in range(len(store))] == [b"\2", b"\0"]
    assert [store.name(i) for i in range(2)] == [f"{tmp_path}/2.tar/1.jpg", f"{tmp_path}/0.tar/1.jpg"]


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (
            entry("b.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            "member 'b.jpg' is a link; pack it again",
        ),
        (entry("b.jpg", tarfile.LNKTYPE, "a/1.jpg"), "member 'b.jpg' is a link"),
        (entry("pipe", tarfile.FIFOTYPE), "member 'pipe' is neither a file nor a folder"),
        (entry("a/../../b.jpg", tarfile.REGTYPE), "points out of the archive"),
        (entry("/b.jpg", tarfile.REGTYPE), "points out of the archive"),
        (entry("a/1.jpg", tarfile.REGTYPE), "holds a/1.jpg twice"),
    ],
)
def test_links_devices_and_names_that_lead_out_are_refused(
    tmp_path: Path, odd: tarfile.TarInfo, message: str
) -> None:
    with pytest.raises(InputError, match=f"x.tar: .*{message}"):
        read_members([packed(tmp_path / "x.tar", CONTENT, tarfile.PAX_FORMAT, odd)])


def test_an_archive_that_was_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = packed(tmp_path / "x.tar", CONTENT).read_bytes()
    end = whole.rstrip(b"\0")
    for length in range(0, len(end), 256):
        (tmp_path / "x.tar").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"x.tar: is cut short after \d+ bytes"):
            read_members([tmp_path / "x.tar"])


def test_archives_that_were_put_together_are_refused_and_not_read_half(tmp_path: Path) -> None:
    one, other = (packed(tmp_path / f"{name}.tar", {f"{name}.jpg": b"1"}) for name in "ab")
    both = tmp_path / "ab.tar"
    both.write_bytes(one.read_bytes() + other.read_bytes())
    with pytest.raises(InputError, match=r"ab\.tar: .*holds more behind its end"):
        read_members([both])
    both.write_bytes(one.read_bytes() + bytes(100_000))
    assert read_members([both]).names == ["a.jpg"]


def test_a_damaged_header_is_one_line_or_does_no_harm(tmp_path: Path) -> None:
    content = {name: data[:9] for name, data in CONTENT.items()}
    path, rng = packed(tmp_path / "x.tar", content), np.random.default_rng(0)
    whole, refused = path.read_bytes(), 0
    with tarfile.open(path) as archive:
        headers = [member.offset for member in archive]
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[int(rng.choice(headers)) + int(rng.integers(512))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            assert everything(read_members([path])).keys() <= content.keys()  # spaces of a checksum
        except InputError:
            refused += 1
    assert refused > 250


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_compressed_archive_is_refused_by_name(tmp_path: Path, mode: str, name: str) -> None:
    with tarfile.open(tmp_path / "x.tar", mode):
        pass
    with pytest.raises(InputError, match=rf"x.tar: is compressed \({name}\), and only read from its start"):
        read_members([tmp_path / "x.tar"])


def test_sizes_of_8_gib_and_more_are_read_and_no_image(tmp_path: Path) -> None:
    for form in FORMATS[1:]:
        large = tarfile.TarInfo("1.jpg")
        large.size = 2**33 + 5
        with (tmp_path / "x.tar").open("wb") as file:
            file.write(large.tobuf(form))
            file.truncate(file.tell() + 2**33 + 512 + 1024)  # a sparse file takes no room
        store = read_members([tmp_path / "x.tar"]).store(np.array([0]))
        assert store.size(0) == 2**33 + 5 > MAX_BYTES
        with pytest.raises(OSError, match=r"x.tar/1.jpg: holds 8.0 GiB, and no image more than 1 is read"):
            store.read(0)


def test_a_header_that_says_a_name_of_any_length_is_not_believed(tmp_path: Path) -> None:
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tars._LONG_NAME, tars._LONGEST + 1
    (tmp_path / "x.tar").write_bytes(long.tobuf() + bytes(2 * tars._LONGEST))
    with pytest.raises(InputError, match="is damaged, or no tar archive"):
        read_members([tmp_path / "x.tar"])


def test_an_archive_that_shrank_since_or_is_gone_is_an_oserror(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.tar", CONTENT)
    store = read_members([path]).store(np.array([4]))
    path.write_bytes(path.read_bytes()[:2048])
    with pytest.raises(OSError, match=r"x.tar/a/4.jpg: the archive has become shorter"):
        store.read(0)
    path.unlink()
    store = read_members([packed(path, CONTENT)]).store(np.array([4]))
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        store.read(0)


def test_a_folder_or_nothing_in_the_place_of_an_archive_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.tar"):
        with pytest.raises(InputError, match="cannot be read"):
            read_members([path])
