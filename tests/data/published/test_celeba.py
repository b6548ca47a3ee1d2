from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from longtail.data.dataset import Dataset
from longtail.data.published.celeba import CELEBA
from longtail.data.sources import open_dataset
from longtail.data.splits import split_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.errors import InputError

from .official_files import (
    CELEBA_COLUMNS,
    CELEBA_IDENTITIES,
    CELEBA_NAMES,
    CELEBA_PARTITION,
    CELEBA_VALUES,
    jpeg,
    write_celeba,
)

ATTRIBUTES, IDENTITIES, PARTITION = "list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt"


def refused(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_dataset(str(root))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, line: int, change: Callable[[str], str]) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    path.write_text("\n".join(lines) + "\n")


def check_is_celeba(data: Dataset) -> None:
    assert data.name == "CelebA"
    assert data.schema.names == CELEBA_COLUMNS
    assert {attribute.classes for attribute in data.schema.attributes} == {("no", "yes")}
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [[int(value == 1) for value in row] for row in CELEBA_VALUES.tolist()]
    assert tuple(data.ids) == CELEBA_NAMES
    assert [data.images.read(i) for i in range(12)] == [jpeg(20 * i) for i in range(12)]
    assert data.identities is not None
    assert data.identities.tolist() == list(CELEBA_IDENTITIES)
    assert data.split is not None
    assert (data.split.dtype, data.split.tolist()) == (np.int8, list(CELEBA_PARTITION))
    assert data.groups is None


@pytest.mark.parametrize("official_folders", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_the_authors_files_give_labels_identities_and_partition(
    tmp_path: Path, official_folders: bool, packed: bool
) -> None:
    root = write_celeba(tmp_path / "celeba", official_folders=official_folders, packed=packed)
    check_is_celeba(pickle.loads(pickle.dumps(open_dataset(str(root)))))


def test_lists_in_another_order_give_each_image_its_own_values(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    for name in (IDENTITIES, PARTITION):
        lines = (root / name).read_text().splitlines()
        (root / name).write_text("\n".join(lines[::-1]))
    check_is_celeba(open_dataset(str(root)))


def test_images_follow_the_order_of_the_attributes(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    edit(root / ATTRIBUTES, 3, lambda _: "000002.jpg 1 1 1 1")
    edit(root / ATTRIBUTES, 4, lambda _: "000001.jpg -1 -1 -1 -1")
    data = open_dataset(str(root))
    assert (data.ids[0], data.images.read(0), data.labels[0].tolist()) == ("000002.jpg", jpeg(20), [1] * 4)
    assert data.identities is not None
    assert data.identities[0] == CELEBA_IDENTITIES[1]


def test_the_lists_as_csv_and_images_in_a_folder_of_a_folder_are_read(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    headers = {ATTRIBUTES: ",".join(("image_id", *CELEBA_COLUMNS)), PARTITION: "image_id,partition"}
    for name, header in headers.items():
        rows = (root / name).read_text().splitlines()[2 if name == ATTRIBUTES else 0 :]
        text = "\n".join([header, *(",".join(row.split()) for row in rows)])
        (root / name).with_suffix(".csv").write_text(text)
        (root / name).unlink()
    (root / "list_bbox_celeba.csv").write_text("image_id,x_1\n")
    (root / "img_align_celeba").rename(root / "wrapped")
    (root / "img_align_celeba").mkdir()
    (root / "wrapped").rename(root / "img_align_celeba" / "img_align_celeba")
    check_is_celeba(open_dataset(str(root)))


def test_what_was_found_is_said(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "img_align_celeba" / "extra.jpg").write_bytes(b"")
    notes = open_dataset(str(root)).notes
    assert f"12 images named by {root}/list_attr_celeba.txt" in notes
    assert "7 identities" in notes
    assert "splits of the authors: train 6, val 3, test 3 images" in notes
    assert f"1 image of {root}/img_align_celeba left out, not in list_attr_celeba.txt" in notes


def test_a_class_that_a_split_lacks_is_named(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    for line in (12, 13, 14):
        edit(root / ATTRIBUTES, line, lambda text: text.split()[0] + " -1 -1 -1 -1")
    notes = split_dataset(open_dataset(str(root))).notes
    assert "Bald: 1 class without a test image: yes" in notes


def test_without_the_partition_an_identity_stays_on_one_side(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / PARTITION).unlink()
    data = open_dataset(str(root))
    assert data.split is None
    assert data.groups is not None
    assert data.groups.tolist() == list(CELEBA_IDENTITIES)
    assert "7 identities, each whole in one split" in data.notes
    assert any(note.startswith("list_eval_partition.txt is not there") for note in data.notes)
    splits = split_dataset(data)
    who = [set(data.groups[rows].tolist()) for rows in (splits.train, splits.val, splits.test)]
    assert not who[0] & who[1]
    assert not who[0] & who[2]


def test_without_identities_nobody_is_known(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / IDENTITIES).unlink()
    data = open_dataset(str(root))
    assert (data.identities, data.groups) == (None, None)
    assert data.split is not None
    assert "identity_CelebA.txt is not there: who an image shows is not known" in data.notes


def test_blank_lines_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    for name in (ATTRIBUTES, IDENTITIES, PARTITION):
        text = (root / name).read_text().replace("\n", "\r\n")
        (root / name).write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    check_is_celeba(open_dataset(str(root)))


@pytest.mark.parametrize(
    ("name", "line", "text", "message"),
    [
        (ATTRIBUTES, 1, "13", "its first line says 13 rows, but 12 follow the header"),
        (ATTRIBUTES, 1, "twelve", "line 1: expected the number of rows, got 'twelve'"),
        (ATTRIBUTES, 1, "12 13", "line 1: expected the number of rows, got '12 13'"),
        (ATTRIBUTES, 2, "Bald Bald Male Young", "expected the distinct names of the attributes"),
        (
            ATTRIBUTES,
            5,
            "000003.jpg 1 1 -1",
            "line 5: expected an image and 4 values, got '000003.jpg 1 1 -1'",
        ),
        (
            ATTRIBUTES,
            5,
            "000003.jpg 1 1 1 1 1",
            "expected an image and 4 values, got '000003.jpg 1 1 1 1 1'",
        ),
        (ATTRIBUTES, 6, "000004.jpg 1 -1 0 1", "line 6: expected -1 or 1 as Male, got '000004.jpg 1 -1 0 1'"),
        (
            ATTRIBUTES,
            6,
            "000004.jpg x -1 1 1",
            "line 6: expected -1 or 1 as 5_o_Clock_Shadow, got",
        ),
        (
            ATTRIBUTES,
            6,
            "000003.jpg 1 -1 1 1",
            "line 6: names 000003.jpg again, after list_attr",
        ),
        (IDENTITIES, 2, "000002.jpg -3", "line 2: expected a whole number as identity, got '000002.jpg -3'"),
        (IDENTITIES, 2, "000002.jpg " + "9" * 30, "line 2: expected a whole number as identity"),
        (
            IDENTITIES,
            2,
            "000002.jpg",
            "line 2: expected an image and 1 value, got '000002.jpg'",
        ),
        (IDENTITIES, 3, "other.jpg 4", "has no line for 000003.jpg, which list_attr_celeba.txt names"),
        (
            PARTITION,
            12,
            "000012.jpg 3",
            "line 12: expected 0 (train), 1 (val) or 2 (test) as partition, got '000012.jpg 3'",
        ),
        (PARTITION, 12, "000001.jpg 2", "line 12: names 000001.jpg again"),
    ],
)
def test_a_line_that_does_not_fit_is_named(
    tmp_path: Path, name: str, line: int, text: str, message: str
) -> None:
    root = write_celeba(tmp_path / "celeba")
    edit(root / name, line, lambda _: text)
    found = refused(root)
    assert found.startswith(f"{root / name}")
    assert message in found


def test_images_without_a_partition_are_counted(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / PARTITION).write_text("000001.jpg 0\n000002.jpg 0\n")
    assert "has no line for 000003.jpg (and 9 more)" in refused(root)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / ATTRIBUTES).write_text("")
    assert "is empty; get it again" in refused(root)
    (root / ATTRIBUTES).write_text("0\nBald Male\n")
    assert "says 0 rows, but 0 follow the header" in refused(root)
    (root / ATTRIBUTES).rename(root / "list_attr_celeba.csv")
    (root / "list_attr_celeba.csv").write_text("image_id,Bald,Male\n")
    assert "expected rows below the header, found none" in refused(root)


def test_images_that_are_not_there_are_counted_and_the_first_named(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    for name in CELEBA_NAMES[3:6]:
        (root / "img_align_celeba" / name).unlink()
    assert "names 000004.jpg (and 2 more), which is not in" in refused(root)


def test_labels_without_images_and_the_other_way_say_what_is_missing(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    shutil.move(root / ATTRIBUTES, tmp_path / ATTRIBUTES)
    message = refused(root)
    assert "images are there, but no attributes; expected list_attr_celeba.txt" in message
    assert "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html" in message
    shutil.move(tmp_path / ATTRIBUTES, root / ATTRIBUTES)
    shutil.rmtree(root / "img_align_celeba")
    message = refused(root)
    assert (
        "attributes are there, but no images; expected img_align_celeba/ or img_align_celeba.zip" in message
    )
    (root / "img_align_celeba").mkdir()
    assert "but no images" in refused(root)


def test_class_folders_are_never_taken_for_celeba(tmp_path: Path) -> None:
    for name in ("img_align_celeba", "lfw"):
        (tmp_path / "sets" / name).mkdir(parents=True)
        (tmp_path / "sets" / name / "1.jpg").write_bytes(jpeg(1))
    assert not CELEBA.recognises(tmp_path / "sets")
    assert open_dataset(str(tmp_path / "sets")).schema.attributes[0].classes == ("img_align_celeba", "lfw")
    assert not CELEBA.recognises(tmp_path / "nowhere")
    assert not CELEBA.recognises(tmp_path / "sets" / "lfw" / "1.jpg")


def test_a_manifest_of_ones_own_wins(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "labels.csv").write_text(
        "image,smile\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(CELEBA_NAMES))
    )
    assert open_dataset(str(root)).schema.names == ("smile",)


def test_flags_of_manifests_are_refused(tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    with pytest.raises(InputError, match=r"--attributes chooses a column of a manifest, but it is CelebA"):
        open_dataset(str(root), ColumnChoice(attributes=("Bald",)))
    with pytest.raises(InputError, match=r"--images goes with a manifest, but it is CelebA"):
        open_dataset(str(root), images=str(root))
