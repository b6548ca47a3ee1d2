from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data import listing
from longtail.data.listing import IMAGE_SUFFIXES, is_image, list_source, require_images, suffix
from longtail.data.tables.resolve import Resolver
from longtail.errors import InputError
from longtail.images.decode import FORMATS


def make_files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def make_zip(path: Path, *names: str, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), name, method)
    return path


MIXED = (
    "a/1.JPG", "a/deep/er/2.jpeg", "b/3.webp", "labels.csv", "b/notes.txt", "README",
    "__MACOSX/a/1.jpg", "a/.DS_Store", ".git/4.jpg", "b/.hidden.png", "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
    "$RECYCLE.BIN/5.jpg", "#recycle/6.jpg",
)  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_images_manifests_and_others_are_told_apart(tmp_path: Path, packed: bool) -> None:
    place = make_zip(tmp_path / "x.zip", *MIXED) if packed else make_files(tmp_path / "x", *MIXED)
    found = list_source(place)
    assert found.images == ["a/1.JPG", "a/deep/er/2.jpeg", "b/3.webp"]
    assert found.manifests == ["labels.csv"]
    assert dict(found.others) == {"txt": 1, "": 1}
    assert found.all_notes() == ["2 other files left out, no image: without ending 1, txt 1"]


@pytest.mark.parametrize("packed", [False, True])
def test_stores_and_files_open_from_either_place(tmp_path: Path, packed: bool) -> None:
    place = make_zip(tmp_path / "x.zip", *MIXED) if packed else make_files(tmp_path / "x", *MIXED)
    found = list_source(place)
    chosen = found.store(np.array([2, 0]))
    assert [chosen.read(i) for i in range(2)] == [b"b/3.webp", b"a/1.JPG"]
    with found.open("labels.csv") as file:
        assert file.read() == b"labels.csv"


@pytest.mark.parametrize("packed", [False, True])
def test_one_folder_that_holds_everything_is_gone_into(tmp_path: Path, packed: bool) -> None:
    names = ("pets/v1/cat/1.jpg", "pets/v1/dog/1.jpg", "pets/v1/dog/2.txt")
    found = list_source(
        make_zip(tmp_path / "x.zip", *names) if packed else make_files(tmp_path / "x", *names)
    )
    assert found.images == ["cat/1.jpg", "dog/1.jpg"]
    assert found.store().read(1) == b"pets/v1/dog/1.jpg"
    assert found.notes == (
        "everything lies in pets/: read from there",
        "everything lies in v1/: read from there",
    )
    assert [Resolver(found).find(path) for path in ("dog/1.jpg", "v1/dog/1.jpg", "pets/v1/dog/1.jpg")] == [
        1
    ] * 3


@pytest.mark.parametrize("names", [["train/a/1.jpg", "train/b/1.jpg"], ["only/1.jpg"], ["1.jpg"]])
def test_a_split_or_a_class_is_not_gone_into(tmp_path: Path, names: list[str]) -> None:
    assert list_source(make_files(tmp_path, *names)).images == names


def test_every_ending_of_the_formats_that_are_decoded_is_an_image() -> None:
    Image.init()
    endings = {ending[1:] for ending, name in Image.registered_extensions().items() if name in FORMATS}
    assert endings == IMAGE_SUFFIXES
    assert all(is_image(f"a.b/{ending}.{ending.upper()}") for ending in endings)


@pytest.mark.parametrize("packed", [False, True])
def test_folders_without_an_image_are_known(tmp_path: Path, packed: bool) -> None:
    names = ["a/1.jpg", "b/deep/2.jpg", "b/none/x.txt", "c/x.heic", "d/e/x.txt"]
    root = make_files(tmp_path / "x", *names)
    (root / "empty" / "too").mkdir(parents=True)
    place = make_zip(tmp_path / "x.zip", *names, "empty/", "empty/too/") if packed else root
    assert list_source(place).hollow == {"b/none", "c", "d", "d/e", "empty", "empty/too"}


def test_a_folder_without_an_image_beside_the_one_that_holds_everything_is_said(tmp_path: Path) -> None:
    root = make_files(tmp_path, "cat/x/1.jpg", "cat/y/1.jpg")
    (root / "cat" / "z").mkdir()
    (root / "dog").mkdir()
    found = list_source(root)
    assert found.notes == ("everything lies in cat/: read from there (no image in dog)",)
    assert found.hollow == {"z"}


def test_a_pipe_is_left_out_and_said(tmp_path: Path) -> None:
    root = make_files(tmp_path, "a/1.jpg", "b/1.jpg")
    os.mkfifo(root / "a" / "pipe.jpg")
    (root / "b" / "zero.jpg").symlink_to("/dev/zero")
    found = list_source(root)
    assert found.images == ["a/1.jpg", "b/1.jpg"]
    assert found.notes == ("2 pipes, sockets or devices left out: a/pipe.jpg, b/zero.jpg",)


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", "labels.csv", "1.jpg")
    data = bytearray(path.read_bytes())
    data[0] = 0  # of the signature of the first member
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x.zip/labels.csv: cannot be read \(.*damaged in the archive"):
        list_source(path).open("labels.csv")


def test_links_out_of_the_root_are_known(tmp_path: Path) -> None:
    outside = make_files(tmp_path / "outside", "x/1.jpg", "2.jpg")
    root = make_files(tmp_path / "root", "a/1.jpg", "b/1.jpg")
    (root / "c").symlink_to(outside / "x")
    (root / "a" / "2.jpg").symlink_to(outside / "2.jpg")
    (root / "a" / "3.jpg").symlink_to(root / "b" / "1.jpg")
    found = list_source(root)
    assert found.images == ["a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "c/1.jpg"]
    assert found.leaving == {"a/2.jpg", "c/1.jpg"}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = make_files(tmp_path / "root", "a/1.jpg", "b/1.jpg")
    other = make_files(tmp_path / "other", "2.jpg")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "out").symlink_to(other)
    (other / "back").symlink_to(root)
    (other / "self").symlink_to(other)
    assert list_source(root).images == ["a/1.jpg", "b/1.jpg", "b/out/2.jpg"]


def test_a_link_to_nowhere_and_odd_file_names_do_no_harm(tmp_path: Path) -> None:
    root = make_files(tmp_path, "a/ü 1.jpg", "b/x.y.jpg")
    (root / "b" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "b" / "gone").symlink_to(root / "nowhere")
    found = list_source(root)
    assert found.images == ["a/ü 1.jpg", "b/x.y.jpg"]
    assert found.notes == ("2 broken links left out: b/gone, b/gone.jpg",)


def test_an_ending_is_what_follows_the_last_dot() -> None:
    assert [suffix(n) for n in ("a.JPG", "a.b/c", "a.tar.gz", ".jpg", "x")] == ["jpg", "", "gz", "", ""]


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "..\\evil.jpg"]
)
def test_a_member_that_points_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"x.zip: member .*evil.jpg' points out of the archive"):
        list_source(make_zip(tmp_path / "x.zip", "a/1.jpg", name))


def test_backslashes_in_an_archive_are_folders(tmp_path: Path) -> None:
    found = list_source(make_zip(tmp_path / "x.zip", "a\\1.jpg", "b\\2.jpg"))
    assert found.images == ["a/1.jpg", "b/2.jpg"]
    assert found.store().read(1) == b"b\\2.jpg"


def test_a_member_that_appears_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = make_zip(tmp_path / "x.zip", "a/1.jpg", "a/1.jpg")
    with pytest.raises(InputError, match=r"x.zip: holds a/1.jpg twice"):
        list_source(path)


def test_an_unusual_compression_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"member a/1.jpg uses compression method 12; pack it again"):
        list_source(make_zip(tmp_path / "x.zip", "a/1.jpg", method=zipfile.ZIP_BZIP2))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", "a/1.jpg")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"member a/1.jpg is encrypted"):
        list_source(path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_a_corrupt_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x.zip: is not a readable zip archive"):
        list_source(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = make_files(tmp_path, "x.rar") / "x.rar"
    with pytest.raises(
        InputError,
        match=r"x.rar: expected a folder, a .zip or .tar archive, a .csv, .tsv or .par",
    ):
        list_source(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path) -> None:
    root = make_files(tmp_path, "a/1.jpg", "b/1.jpg")
    (root / "b").chmod(0)
    try:
        with pytest.raises(InputError, match="b: cannot be listed"):
            list_source(root)
    finally:
        (root / "b").chmod(0o700)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "is empty; expected images in one folder per class"),
        (["a/x.heic", "t.csv"], "holds no image among 2 files; expected one of apng, avif"),
    ],
)
def test_a_place_without_images_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_images(list_source(make_files(tmp_path, *names)), tmp_path)


def test_a_disk_taken_for_a_data_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MANY_OTHERS", 200)
    others = [f"{number}.log" for number in range(200)]
    with pytest.raises(InputError, match="holds 0 images among its first 200 files; name the folder"):
        list_source(make_zip(tmp_path / "disk.zip", *others, "a/1.png"))
    images = [f"a/{number}.png" for number in range(3)]
    assert list_source(make_zip(tmp_path / "data.zip", *images, *others)).images == images
