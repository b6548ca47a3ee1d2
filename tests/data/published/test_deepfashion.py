from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data.published.deepfashion import DEEPFASHION, DEEPFASHION_FINE
from longtail.errors import InputError

CATEGORIES = "3\ncategory_name  category_type\nAnorak         1\nBlazer         1\nDress          3\n"
IMAGES = [f"img/Folder_{n}/img_0000000{n}.jpg" for n in range(1, 6)]


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def images(place: Path, names: list[str] = IMAGES) -> None:
    for shade, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(picture(shade))


def coarse(root: Path, anno: str = "Anno", place: str = ".") -> Path:
    (root / anno).mkdir(parents=True)
    (root / "Eval").mkdir()
    (root / anno / "list_category_cloth.txt").write_text(CATEGORIES)
    numbers = [3, 1, 3, 3, 1]
    rows = "".join(f"{name}    {number}\n" for name, number in zip(IMAGES, numbers))
    (root / anno / "list_category_img.txt").write_text(f"5\nimage_name  category_label\n{rows}")
    words = ["train", "val", "test", "train", "train"]
    rows = "".join(f"{name}    {word}\n" for name, word in list(zip(IMAGES, words))[::-1])
    (root / "Eval" / "list_eval_partition.txt").write_text(f"5\nimage_name  evaluation_status\n{rows}")
    images(root / place)
    return root


def fine(root: Path) -> Path:
    anno = root / "Anno_fine"
    anno.mkdir(parents=True)
    (anno / "list_category_cloth.txt").write_text(CATEGORIES)
    (anno / "list_attr_cloth.txt").write_text("2\nattribute_name  attribute_type\nfloral  1\nno dress  3\n")
    for split, names, numbers, flags in (
        ("train", IMAGES[:3], "3\n1\n3 \n", "1 0\n0 0\n0 1 \n"),
        ("val", IMAGES[3:4], "2\n", "1 1\n"),
        ("test", IMAGES[4:], "1\n", "0 0\n"),
    ):
        (anno / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        (anno / f"{split}_cate.txt").write_text(numbers)
        (anno / f"{split}_attr.txt").write_text(flags)
    images(root / "Img")
    return root


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(load: object, root: Path) -> str:
    assert callable(load)
    with pytest.raises(InputError) as caught:
        load(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("anno", "place"), [("Anno", "."), ("Anno_coarse", "Img")])
def test_images_have_their_category_and_published_split(tmp_path: Path, anno: str, place: str) -> None:
    root = coarse(tmp_path / "deep", anno, place)
    assert DEEPFASHION.recognises(root)
    data = DEEPFASHION.load(root)
    assert data.name == "DeepFashion"
    assert data.schema.attributes[0].name == "category"
    assert data.schema.attributes[0].classes == ("Anorak", "Blazer", "Dress")
    assert data.labels.tolist() == [[2], [0], [2], [2], [0]]
    assert data.labels.dtype == np.int64
    assert data.split is not None
    assert (data.split.tolist(), data.split.dtype) == ([0, 1, 2, 0, 0], np.int8)
    assert list(data.ids) == IMAGES
    assert [data.images.read(i) for i in range(5)] == [picture(i) for i in range(5)]
    assert data.notes[0] == f"5 images named by {root / anno}"
    assert "1 attribute: category (3 classes, 3 … 0 images)" in data.notes
    assert "splits as published: train 3, val 1, test 1 images" in data.notes
    assert any("list_attr_img.txt are not read" in note for note in data.notes)


def test_an_image_in_no_split_is_kept_and_counted(tmp_path: Path) -> None:
    root = coarse(tmp_path)
    partition = root / "Eval" / "list_eval_partition.txt"
    replaced(partition, f"{IMAGES[1]}    val\n", "")
    replaced(partition, "5\nimage_name", "4\nimage_name")
    data = DEEPFASHION.load(root)
    assert data.split is not None
    assert data.split.tolist() == [0, -1, 2, 0, 0]
    assert "1 image in no split" in data.notes


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (
            "Anno/list_category_img.txt",
            "jpg    1",
            "jpg    4",
            "line 4: expected a category from 1 to 3, got",
        ),
        (
            "Anno/list_category_img.txt",
            "jpg    1",
            "jpg    0",
            "line 4: expected a category from 1 to 3, got",
        ),
        ("Anno/list_category_img.txt", "5\n", "6\n", "says 6 rows, but 5 follow"),
        ("Anno/list_category_img.txt", IMAGES[1], IMAGES[0], f"line 4: names {IMAGES[0]} again, after"),
        (
            "Anno/list_category_img.txt",
            IMAGES[3],
            "img/a.jpg",
            "expected image img/a.jpg, which is not there;",
        ),
        ("Anno/list_category_cloth.txt", "Blazer", "Anorak", "line 4: names Anorak again"),
        ("Eval/list_eval_partition.txt", "val\n", "extra\n", "expected an image and train, val or test, got"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, path: str, old: str, new: str, message: str) -> None:
    root = coarse(tmp_path)
    replaced(root / path, old, new)
    assert message in refused(DEEPFASHION.load, root)


@pytest.mark.parametrize("name", ["Anno/list_category_cloth.txt", "Eval/list_eval_partition.txt"])
def test_a_missing_list_says_where_to_get_it(tmp_path: Path, name: str) -> None:
    root = coarse(tmp_path)
    (root / name).unlink()
    message = refused(DEEPFASHION.load, root)
    assert f"{root / name}: cannot be read" in message
    assert DEEPFASHION.source in message


def test_images_that_are_not_unpacked_are_asked_for(tmp_path: Path) -> None:
    root = coarse(tmp_path, place="elsewhere")
    message = refused(DEEPFASHION.load, root)
    assert f"expected image {IMAGES[0]} (and 4 more), which is not there; unpack img.zip there" in message


def test_the_fine_part_has_categories_and_binary_attributes(tmp_path: Path) -> None:
    root = fine(tmp_path / "deep")
    assert DEEPFASHION_FINE.recognises(root)
    data = DEEPFASHION_FINE.load(root)
    assert data.name == "DeepFashion-fine"
    assert data.schema.names == ("category", "floral", "no dress")
    assert data.schema.attributes[1].classes == ("no", "yes")
    assert data.labels.tolist() == [[2, 1, 0], [0, 0, 0], [2, 0, 1], [1, 1, 1], [0, 0, 0]]
    assert data.split is not None
    assert (data.split.tolist(), data.split.dtype) == ([0, 0, 0, 1, 2], np.int8)
    assert list(data.ids) == IMAGES
    assert data.images.read(4) == picture(4)


def test_the_folder_of_the_fine_part_chooses_it_beside_the_whole(tmp_path: Path) -> None:
    root = fine(coarse(tmp_path, "Anno_coarse"))
    assert DEEPFASHION.recognises(root)
    assert not DEEPFASHION_FINE.recognises(root)
    assert DEEPFASHION_FINE.recognises(root / "Anno_fine")
    assert not DEEPFASHION.recognises(root / "Anno_fine")
    assert len(DEEPFASHION_FINE.load(root / "Anno_fine")) == 5


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("train_attr.txt", "0 0\n", "0\n", "train_attr.txt, line 2: expected 2 numbers, 0 or 1, got '0'"),
        ("train_attr.txt", "0 1 \n", "0 2\n", "train_attr.txt, line 3: expected numbers 0 or 1, got '0 2'"),
        ("list_attr_cloth.txt", "no dress", "floral", "list_attr_cloth.txt, line 4: names floral again"),
        ("val_cate.txt", "2\n", "9\n", "val_cate.txt, line 1: expected a category from 1 to 3, got '9'"),
        ("train_cate.txt", "1\n", "", "train_cate.txt: has 2 rows beside 3 images of train.txt"),
        (
            "test.txt",
            IMAGES[4],
            IMAGES[1],
            f"test.txt, line 1: names {IMAGES[1]} again, after train.txt, line 2",
        ),
        ("test.txt", IMAGES[4], "img/a.jpg", "expected image img/a.jpg, which is not there; unpack img.zip"),
    ],
)
def test_what_does_not_fit_in_the_fine_part_is_named(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    root = fine(tmp_path)
    replaced(root / "Anno_fine" / name, old, new)
    assert message in refused(DEEPFASHION_FINE.load, root)


def test_other_folders_are_not_taken_for_deepfashion(tmp_path: Path) -> None:
    for layout in (DEEPFASHION, DEEPFASHION_FINE):
        assert not layout.recognises(tmp_path)
        assert not layout.recognises(tmp_path / "absent")
