from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from longtail.data import unlabelled
from longtail.data.unlabelled import Block, ManifestReading, open_images
from longtail.errors import InputError

PLAIN = ManifestReading()


def names(
    sources: list[str], reading: ManifestReading = PLAIN, said: list[str] | None = None, listed: bytes = b""
):
    say = [].append if said is None else said.append
    return [name for block in open_images(sources, reading, say, io.BytesIO(listed)) for name in block.names]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images whose content is their name."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "new/b.png", "new/deep/c.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    with zipfile.ZipFile("some.zip", "w") as archive:
        archive.write("a.png", "z.png")
    return tmp_path


def test_files_folders_archives_and_a_list_come_in_the_order_given(place: Path):
    listed = "new/b.png\n\nnot there.png\r\né.png".encode()
    found = names(["new", "a.png", "-", "some.zip", "a.png"], listed=listed)
    own = ["new/b.png", "new/deep/c.jpg", "a.png", "new/b.png", "not there.png", "é.png", "some.zip/z.png"]
    assert found == [*own, "a.png"]


def test_a_manifest_names_images_beside_it_and_its_other_columns_do_not_matter(place: Path):
    Path("new/list.csv").write_text("kind,image\ncat,deep/c.jpg\n,b.png\ncat,deep/c.jpg\n")
    assert names(["new/list.csv"]) == ["new/deep/c.jpg", "new/b.png", "new/deep/c.jpg"]
    Path("only.csv").write_text("path\nb.png\n")
    reading = ManifestReading(images="new")
    assert names(["only.csv"], reading) == ["new/b.png"]


def test_rows_without_their_image_are_refused_or_left_out_and_said(place: Path):
    Path("list.csv").write_text("image\na.png\ngone.png\n")
    with pytest.raises(InputError, match=r"^list\.csv, line 3, column image: expected image .*gone\.png"):
        names(["list.csv"])
    said: list[str] = []
    assert names(["list.csv"], ManifestReading(skip_missing=True), said) == ["a.png"]
    assert said == [
        "1 image named by column image of list.csv",
        "1 row of list.csv left out, image not there (--skip-missing)",
    ]


def test_a_manifest_beside_which_there_is_no_image_is_named(place: Path):
    Path("empty").mkdir()
    Path("empty/list.csv").write_text("image\n../a.png\n")
    with pytest.raises(InputError, match=r"^empty/list\.csv: empty holds no image .*; --images names"):
        names(["empty/list.csv"], PLAIN)


def test_a_column_can_be_chosen(place: Path):
    Path("list.csv").write_text("image,other\na.png,b.png\nb.png,a.png\n")
    assert names(["list.csv"], ManifestReading(image_column="other")) == ["new/b.png", "a.png"]
    with pytest.raises(InputError, match="--image-column names column 'no', which is not there"):
        names(["list.csv"], ManifestReading(image_column="no"))


@pytest.mark.parametrize(
    ("sources", "reading", "message"),
    [
        (["a.png", "gone"], PLAIN, "^gone: no such file; expected images, folders"),
        (["a.png"], ManifestReading(images="new"), "^--images: goes with a manifest"),
        (["a.png"], ManifestReading(skip_missing=True), "^--skip-missing: goes with a manifest"),
        (["-", "-"], PLAIN, "^-: is standard input; expected it at most once"),
        (["list.txt"], PLAIN, r"^list\.txt: a list of paths is read from standard input: - < list\.txt"),
        (["empty"], PLAIN, "^empty: is empty; expected one of apng"),
        (["other"], PLAIN, "^other: holds no image among 1 file; expected one of .*webp$"),
        (["a.tar.gz"], PLAIN, r"^a\.tar\.gz: compressed archives are not read; unpack it first$"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    place: Path, sources: list[str], reading: ManifestReading, message: str
):
    Path("list.txt").write_text("a.png\n")
    Path("empty").mkdir()
    Path("other").mkdir()
    Path("other/read.me").write_text("a")
    Path("a.tar.gz").write_bytes(b"a")
    with pytest.raises(InputError, match=message):
        names(sources, reading)


def test_no_block_is_larger_than_what_is_kept_in_memory(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unlabelled, "BLOCK", 2)
    blocks = list(open_images(["a.png"] * 5, PLAIN, print))
    assert [len(block) for block in blocks] == [2, 2, 1]
    assert [block.read(0) for block in blocks] == [b"a.png"] * 3


def test_a_block_can_lose_its_first_images(place: Path):
    (block,) = open_images(["new", "a.png"][:1], PLAIN, print)
    rest = block.without(1)
    assert (rest.names, rest.read(0), len(rest)) == (["new/deep/c.jpg"], b"new/deep/c.jpg", 1)


def test_paths_are_taken_as_soon_as_they_are_written():
    reader, writer = os.pipe()
    got: list[Block] = []
    with open(reader, "rb") as stream, open(writer, "wb", buffering=0) as sink:  # noqa: PTH123
        blocks = open_images(["-"], PLAIN, print, stream)
        for line in (b"a.png\nb.p", b"ng\n"):
            sink.write(line)
            got.append(next(blocks))  # would wait for ever, were it to ask for more
    assert [block.names for block in got] == [["a.png"], ["b.png"]]


def test_paths_that_are_not_utf8_keep_their_bytes(place: Path):
    assert names(["-"], listed=b"\xff.png\n") == ["\udcff.png"]
