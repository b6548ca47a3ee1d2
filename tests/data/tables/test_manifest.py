from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from longtail.data.dataset import Dataset
from longtail.data.listing import list_source
from longtail.data.tables.manifest import open_manifest
from longtail.data.tables.roles import ColumnChoice
from longtail.data.tables.table import read_table
from longtail.errors import InputError

PLAIN = "id,label,kids\na,x,0\nb,y,1\nc,x,\nd,y,0\ne,x,1\n"


def images(root: Path, names: str = "abcde") -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / "images" / f"{name}.jpg").write_bytes(name.encode())
    return root


def opened(
    root: Path,
    text: str,
    choice: ColumnChoice | None = None,
    skip_missing: bool = False,
    names: str = "abcde",
) -> Dataset:
    found = list_source(images(root, names) / "images")
    table = read_table("labels.csv", io.BytesIO(text.encode()))
    return open_manifest(table, found, choice or ColumnChoice(), skip_missing, "some")


def refused(root: Path, text: str, choice: ColumnChoice | None = None, **options: bool) -> str:
    with pytest.raises(InputError) as caught:
        opened(root, text, choice, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_row_is_an_image_with_its_labels(tmp_path: Path) -> None:
    data = opened(tmp_path, PLAIN)
    assert [(a.name, a.classes) for a in data.schema.attributes] == [
        ("label", ("x", "y")),
        ("kids", ("0", "1")),
    ]
    assert data.labels.tolist() == [[0, 0], [1, 1], [0, -1], [1, 0], [0, 1]]
    assert data.labels.dtype == np.int64
    assert list(data.ids) == list("abcde")
    assert [data.images.read(i) for i in range(5)] == [b"a", b"b", b"c", b"d", b"e"]
    assert (data.groups, data.split) == (None, None)
    assert data.notes == (
        "5 images named by column id of labels.csv",
        "2 attributes: label (2 classes, 3 … 2 images), kids (2 classes, 2 … 2 images)",
        "kids: 1 image not labelled (empty)",
    )


def test_rows_keep_the_order_of_the_manifest(tmp_path: Path) -> None:
    data = opened(tmp_path, "id,label\nd,x\na,y\nc,x\nb,y\n")
    assert [data.images.read(i) for i in range(4)] == [b"d", b"a", b"c", b"b"]
    assert "1 image left out, in no row of labels.csv" in data.notes


def test_a_data_set_can_be_pickled(tmp_path: Path) -> None:
    data = pickle.loads(pickle.dumps(opened(tmp_path, PLAIN)))
    assert (data.images.read(3), data.ids[3]) == (b"d", "d")


def test_absolute_paths_below_the_root_are_taken_for_what_they_are(tmp_path: Path) -> None:
    place = tmp_path / "images"
    text = "path,label\n" + "".join(f"{place}/{name}.jpg,{label}\n" for name, label in zip("abcd", "xyxy"))
    data = opened(tmp_path, text)
    assert [data.images.read(i) for i in range(4)] == [b"a", b"b", b"c", b"d"]
    assert data.ids[0] == f"{place}/a.jpg"


def test_split_and_group_columns_are_found_by_name(tmp_path: Path) -> None:
    text = "id,Split,group,label\na,train,g,x\nb,VALID,h,y\nc,test,g,x\nd,Validation,i,y\ne,,,x\n"
    data = opened(tmp_path, text)
    assert data.schema.names == ("label",)
    assert data.split is not None
    assert data.groups is not None
    assert data.split.tolist() == [0, 1, 2, 1, -1]
    assert data.groups[0] == data.groups[2]
    assert len(set(data.groups.tolist())) == 4
    assert "splits in column Split: train 1, val 2, test 1 images" in data.notes
    assert "1 image in no split (empty)" in data.notes
    assert "4 groups in column group" in data.notes


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        ("subset", ("train", "val", "test"), [0, 1, 2]),
        ("Set", ("Train", "VALID", "Testing"), [0, 1, 2]),
        ("whatever", ("training", "dev", " test "), [0, 1, 2]),
        ("partition", ("0", "1", "2"), [0, 1, 2]),
        ("is_valid", ("False", "True", "False"), [0, 1, 0]),
        ("is_val", ("0", "1", ""), [0, 1, -1]),
        ("isTest", ("no", "no", "yes"), [0, 0, 2]),
        ("is_training_image", ("1", "0", "1"), [0, 2, 0]),
    ],
)
def test_a_split_is_found_by_what_its_column_says(
    tmp_path: Path, column: str, cells: tuple[str, ...], expected: list[int]
) -> None:
    rows = [f"{name},{'xy'[i % 2]},{cells[i % 3]}\n" for i, name in enumerate("abcdef")]
    data = opened(tmp_path, f"id,label,{column}\n" + "".join(rows), names="abcdef")
    assert data.schema.names == ("label",)
    assert data.split is not None
    assert data.split.tolist() == expected * 2
    assert any(note.startswith(f"splits in column {column}: train ") for note in data.notes)


def test_images_without_a_group_are_not_one_group(tmp_path: Path) -> None:
    data = opened(tmp_path, "id,group,label\na,,x\nb,,y\nc,g,x\nd,g,y\n")
    assert data.groups is not None
    assert len(set(data.groups.tolist())) == 3
    assert "2 images with an empty group: each is a group of its own" in data.notes


def test_groups_of_one_image_each_are_said_to_be_so(tmp_path: Path) -> None:
    data = opened(tmp_path, "id,group,label\na,1,x\nb,2,y\nc,3,x\nd,4,y\n")
    assert "4 groups in column group, one image each" in data.notes


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    text = "a1,photo,who,part,label,more\n1,a,g,test,x,0\n2,b,g,train,y,1\n3,c,h,train,x,0\n4,d,h,train,y,1\n"
    choice = ColumnChoice("photo", ("more", "label"), "part", "who")
    data = opened(tmp_path, text, choice)
    assert data.schema.names == ("more", "label")
    assert data.split is not None
    assert data.groups is not None
    assert data.split.tolist() == [2, 0, 0, 0]
    assert data.groups.tolist() == [0, 0, 1, 1]


def test_a_column_of_yes_and_no_can_be_chosen_as_the_split_by_any_name_that_says_which(
    tmp_path: Path,
) -> None:
    text = "id,is_test,is_valid,label\na,0,0,x\nb,0,1,y\nc,1,0,x\nd,1,0,y\n"
    assert "columns is_test, is_valid each say which images train; choose one with" in refused(tmp_path, text)
    data = opened(tmp_path, text, ColumnChoice(split="is_test"))
    assert data.schema.names == ("label",)
    assert data.split is not None
    assert data.split.tolist() == [0, 0, 2, 2]
    assert (
        "column is_valid is no attribute: it says train, val or test; --attributes is_valid makes it one"
        in (data.notes)
    )


def test_groups_of_one_name_in_two_spellings_are_mentioned(tmp_path: Path) -> None:
    data = opened(tmp_path, "id,group,identity,label\na,Anna,1,x\nb,anna,1.0,y\nc,g,3,x\nd,g,2,y\n")
    assert "group: 'Anna' and 'anna' differ only in case or spaces; they stay 2 different ones" in data.notes
    assert "identity: '1' and '1.0' differ only in the form of a number; they stay 2 different ones" in (
        data.notes
    )


def test_classes_do_not_depend_on_which_images_are_there(tmp_path: Path) -> None:
    text = "id,label\na,x\nmissing,w\nb,y\nc,x\nd,y\ne,x\n"
    data = opened(tmp_path, text, skip_missing=True)
    assert data.schema.attributes[0].classes == ("w", "x", "y")
    assert data.labels[:, 0].tolist() == [1, 2, 1, 2, 1]
    assert "1 row of labels.csv left out, image not there (--skip-missing)" in data.notes


def test_a_row_that_is_left_out_shifts_no_label_split_or_group(tmp_path: Path) -> None:
    rows = ("a,train,g,x", "missing,test,h,y", "b,val,i,y", "c,test,i,x", "d,train,j,y", "e,train,j,x")
    data = opened(tmp_path, "id,split,group,label\n" + "\n".join(rows) + "\n", skip_missing=True)
    assert data.split is not None
    assert data.groups is not None
    assert list(data.ids) == list("abcde")
    assert data.labels[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert data.split.tolist() == [0, 1, 2, 0, 0]
    assert np.unique(data.groups, return_inverse=True)[1].tolist() == [0, 1, 1, 2, 2]


def test_odd_class_names_are_kept_and_mentioned(tmp_path: Path) -> None:
    data = opened(tmp_path, "id,label\na,NA\nb,y\nc,NA\nd,y\n")
    assert data.schema.attributes[0].classes == ("NA", "y")
    assert any("'NA' (2 rows) stays a class" in note for note in data.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,label\na,x\nq,y\nb,x\nr,y\n",
            "labels.csv, line 3, column id: expected image {root}/q.jpg, which is not there (and 1 more)",
        ),
        (
            "id,label\na.jpg,x\nB.JPG,y\nb.png,x\nc.jpg,y\n",
            "or leave such rows out with --skip-missing. The nearest image is b.jpg.",
        ),
        (
            "id,label\na,x\nb,y\na,y\nc,x\n",
            "labels.csv, line 4, column id: names the same image as labels.csv, line 2",
        ),
        (
            "id,label\na,x\nb,y\na.jpg,y\nc,x\n",
            "names the same image as labels.csv, line 2 (a and a.jpg); keep one row per image",
        ),
        (
            "id,label\na,x\na,y\nb,x\nb,y\n",
            "labels.csv, line 3, column id: names the same image as labels.csv, line 2",
        ),
        (
            "id,label\na,x\n,y\nb,y\nc,x\n",
            "labels.csv, line 3, column id: is empty; expected an image's name",
        ),
        ("id,label\na,x\n../b.jpg,y\nb,y\nc,x\n", "line 3, column id: '../b.jpg' leads out of {root}"),
        ("id,label\na,x\n/b.jpg,y\nb,y\nc,x\n", "line 3, column id: '/b.jpg' leads out of {root}"),
        (
            "id,split,label\na,train,x\nb,trian,y\nc,test,x\nd,test,y\n",
            "line 3, column split: 'trian' is no split; expected one of train, training, val, valid,"
            " validation, dev, test, testing.",
        ),
        ("id,label\na,x\nb,x\nc,x\n", "no column to recognise; looked at label (it is 'x' in every row)"),
        ("id\na\nb\n", "no column to recognise; looked at none"),
        ("code,label\n1,x\n2,y\n3,x\n4,y\n", "no column names images (looked at code '1', label 'x')"),
    ],
)
def test_a_row_or_column_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert message.format(root=tmp_path / "images") in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (ColumnChoice(attributes=("lable",)), "--attributes names column 'lable'"),
        (ColumnChoice(attributes=("lable",)), "columns are id, label, kids. Did you mean 'label'?"),
        (ColumnChoice(attributes=("label", "label")), "--attributes names column label twice"),
        (ColumnChoice(image="ids"), "--image-column names column 'ids'"),
        (ColumnChoice(image="label"), "line 2, column label: expected image {root}/x.jpg"),
        (ColumnChoice(split="part"), "--split-column names column 'part'"),
        (ColumnChoice(split="label"), "line 2, column label: 'x' is no split"),
        (ColumnChoice(group="who"), "--group-column names column 'who'"),
    ],
)
def test_a_choice_that_does_not_fit_is_named(tmp_path: Path, choice: ColumnChoice, message: str) -> None:
    assert message.format(root=tmp_path / "images") in refused(tmp_path, PLAIN, choice)


def test_a_chosen_attribute_with_one_class_or_none_is_refused(tmp_path: Path) -> None:
    text = "id,label,none\na,x,\nb,x,\n"
    assert "only one class in label" in refused(tmp_path, text, ColumnChoice(attributes=("label",)))
    assert "column none of --attributes is empty" in refused(
        tmp_path, text, ColumnChoice(attributes=("none",))
    )


def test_the_nearest_split_is_offered(tmp_path: Path) -> None:
    message = refused(tmp_path, "id,split,label\na,trian,x\nb,train,y\nc,train,x\nd,train,y\n")
    assert "Did you mean 'train'?" in message


def test_skipping_every_row_is_no_way_out(tmp_path: Path) -> None:
    text = "id,label\nq,x\nr,y\ns,x\nt,y\n"
    message = refused(tmp_path, text, ColumnChoice(image="id"), skip_missing=True)
    assert "which is not there (and 3 more);" in message


def test_links_to_images_elsewhere_are_used_and_counted(tmp_path: Path) -> None:
    root, store = images(tmp_path, "ab"), images(tmp_path / "store", "cd")
    (store / "5.jpg").write_bytes(b"e")
    (root / "images" / "e.jpg").symlink_to(store / "5.jpg")
    (root / "images" / "sub").symlink_to(store / "images")
    data = opened(tmp_path, "id,label\na,x\nb,y\nsub/c,x\nsub/d,y\nimages/e.jpg,x\n", names="ab")
    assert [data.images.read(i) for i in range(5)] == [b"a", b"b", b"c", b"d", b"e"]
    assert "3 files fetched from outside by symbolic links" in data.notes


def test_an_id_that_fits_two_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for place in ("sub/f.jpg", "sub/f.png"):
        (tmp_path / "images" / place).write_bytes(b"")
    message = refused(tmp_path, PLAIN + "f,x,0\n")
    assert "line 7, column id: 'f' fits both sub/f.jpg and sub/f.png" in message
