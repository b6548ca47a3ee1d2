from __future__ import annotations

from pathlib import Path

import pytest

from longtail.data.sources import open_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.errors import InputError


def write(root: Path, **lists: str) -> Path:
    for k in range(6):
        path = root / "images" / "train" / f"n0{k % 2}" / f"an image {k}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([k]))
    for name, text in lists.items():
        (root / f"{name}.txt").write_text(text)
    return root


def lines(*numbers: int) -> str:
    return "".join(f"train/n0{k % 2}/an image {k}.JPEG {k % 2 + 9}\n" for k in numbers)


@pytest.mark.parametrize("given", ["Some_LT_train", "Some_LT_test"])
def test_the_lists_of_all_splits_are_read_together(tmp_path: Path, given: str) -> None:
    root = write(tmp_path, Some_LT_train=lines(0, 1, 2), Some_LT_val=lines(3), Some_LT_test=lines(4, 5))
    data = open_dataset(str(root / f"{given}.txt"), images=str(root / "images"))
    assert (data.schema.names, data.schema.attributes[0].classes) == (("label",), ("9", "10"))
    assert [data.images.read(i) for i in range(6)] == [bytes([k]) for k in range(6)]
    assert data.labels[:, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert data.split is not None
    assert data.split.tolist() == [0, 0, 0, 1, 2, 2]
    assert "lists read: Some_LT_train.txt, Some_LT_val.txt, Some_LT_test.txt" in data.notes


def test_a_list_has_no_columns_to_choose(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--attributes chooses a column of a manifest, but it is a list"):
        open_dataset(str(write(tmp_path, some=lines(0, 1)) / "some.txt"), ColumnChoice(attributes=("label",)))


def test_a_list_on_its_own_has_no_split(tmp_path: Path) -> None:
    root = write(tmp_path, trained=lines(0, 1, 2), test=lines(3), trainval=lines(0, 1), latest=lines(2, 3, 4))
    for name, images in (("trained", 3), ("trainval", 2), ("latest", 3)):
        data = open_dataset(str(root / f"{name}.txt"))
        assert (len(data), data.split, data.name) == (images, None, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "some.txt: is empty"),
        (lines(0) + "one\n", "some.txt, line 2: expected the path of an image and its class, got 'one'"),
        (lines(0, 1) + "train/n00/gone.JPEG 9\n", "some.txt, line 3, column image: expected image"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(str(write(tmp_path, some=text) / "some.txt"))
