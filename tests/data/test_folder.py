from __future__ import annotations

from pathlib import Path

import pytest

from longtail.data.dataset import Dataset
from longtail.data.folder import open_folders
from longtail.data.listing import list_source
from longtail.data.splits import split_dataset
from longtail.errors import InputError


def open_at(root: Path, *names: str) -> Dataset:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return open_folders(list_source(root), "pets")


def test_each_folder_is_a_class_and_holds_images_at_any_depth(tmp_path: Path) -> None:
    data = open_at(tmp_path, "dog/1.jpg", "cat/a/b/1.jpg", "cat/2.png")
    assert data.schema.attributes[0].classes == ("cat", "dog")
    found = {data.ids[i]: data.labels[i, 0] for i in range(3)}
    assert found == {"cat/2.png": 0, "cat/a/b/1.jpg": 0, "dog/1.jpg": 1}
    assert [data.images.read(i) for i in range(3)] == [name.encode() for name in data.ids]
    assert data.split is None
    assert "1 attribute: label (2 classes, 2 … 1 images)" in data.notes


def test_numbered_folders_are_ordered_by_number(tmp_path: Path) -> None:
    data = open_at(tmp_path, "10/1.jpg", "9/1.jpg")
    assert data.schema.attributes[0].classes == ("9", "10")


def test_class_folders_of_one_name_in_two_spellings_are_mentioned(tmp_path: Path) -> None:
    data = open_at(tmp_path, "Cat/1.jpg", "cat/1.jpg", "cat /1.jpg", "dog/1.jpg")
    assert data.schema.attributes[0].classes == ("Cat", "cat", "cat ", "dog")
    assert (
        "label: 'Cat' and 'cat' and 'cat ' differ only in case or spaces; they stay 3 classes" in data.notes
    )


def test_split_folders_are_seen_in_any_spelling(tmp_path: Path) -> None:
    names = ("Train/a/1.jpg", "Train/b/1.jpg", "validation/a/1.jpg", "test/b/1.jpg")
    data = open_at(tmp_path, *names)
    assert data.split is not None
    assert dict(zip(data.ids, data.split.tolist())) == dict(zip(names, (0, 0, 1, 2)))
    assert "splits by folder: train 2, val 1, test 1 images" in data.notes


def test_a_class_of_one_split_only_is_kept_and_named(tmp_path: Path) -> None:
    data = open_at(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/c/1.jpg")
    assert data.schema.attributes[0].classes == ("a", "b", "c")
    notes = split_dataset(data).notes
    assert "label: 1 class without a training image: c" in notes
    assert "label: 1 class without a test image: b" in notes


def test_a_train_folder_alone_is_a_split(tmp_path: Path) -> None:
    data = open_at(tmp_path, "train/a/1.jpg", "train/b/1.jpg")
    assert data.schema.attributes[0].classes == ("a", "b")
    assert data.split is not None
    assert data.split.tolist() == [0, 0]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    data = open_at(tmp_path, "train/1.jpg", "bus/1.jpg")
    assert data.schema.attributes[0].classes == ("bus", "train")


@pytest.mark.parametrize("loose", ["x.jpg", "test/x.jpg"])
def test_images_in_no_class_folder_are_left_out_and_counted(tmp_path: Path, loose: str) -> None:
    data = open_at(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", loose)
    assert len(data) == 3
    assert "1 image left out, in no class folder" in data.notes


def test_class_folders_without_an_image_are_named(tmp_path: Path) -> None:
    (tmp_path / "rare" / "deep").mkdir(parents=True)
    data = open_at(tmp_path, "a/1.jpg", "a/x/2.jpg", "a/y/notes.txt", "b/1.jpg", "other/1.heic")
    assert data.schema.attributes[0].classes == ("a", "b")
    assert "2 folders without an image, so no class: other, rare" in data.notes


def test_splits_and_their_class_folders_without_an_image_are_named(tmp_path: Path) -> None:
    for name in ("test/a", "train/rare", "val/b"):
        (tmp_path / name).mkdir(parents=True)
    data = open_at(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg")
    assert "2 folders without an image, so no class: test, train/rare" in data.notes
    assert "label: 1 class without a validation image: b" in split_dataset(data).notes


def test_one_class_is_enough_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match=r"only one class, 'a' \(no image in b\); expected CLASS/IMAGE"):
        open_at(tmp_path, "a/1.jpg")
    data = open_folders(list_source(tmp_path), "pets", least_classes=1)
    assert data.schema.attributes[0].classes == ("a",)


def test_links_to_images_elsewhere_are_used_and_counted(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x")
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "1.jpg").symlink_to(tmp_path / "x.jpg")
    data = open_at(tmp_path / "root", "b/1.jpg")
    assert data.images.read(0) == b"x"
    assert "1 file fetched from outside by symbolic links" in data.notes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.jpg"], "only one class, 'a'; expected CLASS/IMAGE"),
        (["1.jpg", "2.jpg"], "no image lies in a class folder"),
        (["train/a/1.jpg", "test/a/1.jpg"], "only one class, 'a'; expected SPLIT/CLASS/IMAGE"),
        (["train/1.jpg", "test/1.jpg"], "images lie directly in test/, without a class folder"),
        (
            ["train/a/1.jpg", "val/b/1.jpg", "extra/c/1.jpg"],
            "train, val look like splits, but extra lie beside",
        ),
    ],
)
def test_a_layout_that_gives_no_classes_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_at(tmp_path, *names)
