from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest

from longtail.data.listing import Listing
from longtail.data.tables.resolve import Resolver
from longtail.data.tables.roles import ColumnChoice, Roles, find_roles
from longtail.data.tables.table import read_table
from longtail.errors import InputError


def roles(text: str, *images: str, choice: ColumnChoice | None = None) -> Roles:
    table = read_table("labels.csv", io.BytesIO(text.encode()))
    found = Resolver(Listing(Path(), list(images), [], Counter()))
    return find_roles(table, choice or ColumnChoice(), found)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
NUMBERED = [f"images/{i}.jpg" for i in range(6)]


def rows(header: str, *columns: str) -> str:
    return header + "\n" + "\n".join(map(",".join, zip(*columns))) + "\n"


def test_numeric_labels_are_not_taken_for_numeric_ids() -> None:
    assert roles(rows("label,nr", "010101", "012345"), *NUMBERED).image == "nr"


def test_a_column_of_few_texts_is_not_taken_for_the_ids() -> None:
    with pytest.raises(InputError, match=r"no column names images \(looked at id 'a', kids '0'\)"):
        roles("id,kids\n" + "".join(f"{letter},{i % 2}\n" for i, letter in enumerate(LETTERS)), *NUMBERED)


def test_a_telling_name_decides_between_columns_that_both_name_images() -> None:
    assert roles(rows("nr,id,label", "543210", "012345", "xyxyxy"), *NUMBERED).image == "id"
    assert roles(rows("id,Path,label", "543210", "012345", "xyxyxy"), *NUMBERED).image == "Path"


@pytest.mark.parametrize(("cells", "image"), [("abcdef", "photo"), ("0bcdef", "photo"), ("01234f", "id")])
def test_a_telling_name_that_names_less_than_half_as_many_images_is_passed_over(
    cells: str, image: str
) -> None:
    found = roles(rows("id,photo,label", cells, "012345", "xyxyxy"), *NUMBERED)
    assert (found.image, found.attributes) == (image, ("label",))


def test_a_group_equal_to_the_ids_is_still_the_group() -> None:
    found = roles(rows("group,id,label", "012345", "012345", "xyxyxy"), *NUMBERED)
    assert (found.image, found.group, found.attributes) == ("id", "group", ("label",))


def test_columns_that_are_nearly_all_different_constant_or_empty_are_no_attributes() -> None:
    text = "id,text,one,none,label\n" + "".join(f"{i},t{i},c,,{'xy'[i % 2]}\n" for i in range(6))
    found = roles(text, *NUMBERED)
    assert found.attributes == ("label",)
    assert found.notes == (
        "column text is no attribute: 6 different texts in 6 rows; --attributes text makes it one",
        "column one is no attribute: it is 'c' in every row; --attributes one makes it one",
        "column none is no attribute: it is empty; --attributes none makes it one",
    )


def test_a_constant_column_with_empty_cells_is_not_said_to_be_so_in_every_row() -> None:
    found = roles(rows("id,edema,label", "012345", ["1.0", "", "1.0", "", "", "1.0"], "xyxyxy"), *NUMBERED)
    assert found.notes == (
        "column edema is no attribute: it is '1.0' in each of the 3 rows that say anything;"
        " --attributes edema makes it one",
    )


@pytest.mark.parametrize("name", ["fold", "Subset", "partition", "cv_split", "train_set"])
def test_a_column_called_like_a_split_that_says_none_is_no_attribute_unless_chosen(name: str) -> None:
    cells = "012012" if "fold" in name else "123123"  # numbers of folds are not those of CelebA's partitions
    text = rows(f"id,{name},label", "012345", cells, "xyxyxy")
    found = roles(text, *NUMBERED)
    assert (found.attributes, found.split) == (("label",), None)
    assert found.notes == (
        f"column {name} is no attribute: it seems to say a split; --split-column makes it one, once its"
        f" cells are train, val or test; --attributes {name} makes it one",
    )
    assert roles(text, *NUMBERED, choice=ColumnChoice(attributes=(name,))).attributes == (name,)


def test_a_column_of_other_words_for_splits_is_no_attribute() -> None:
    cells = ["Training", "PublicTest", "PrivateTest"] * 2
    found = roles(rows("id,Usage,label", "012345", cells, "xyxyxy"), *NUMBERED)
    assert (found.attributes, found.split) == (("label",), None)
    assert found.notes[0].startswith("column Usage is no attribute: it seems to say a split; --split-column")


def test_a_class_may_be_called_like_a_split() -> None:
    cells = ["train", "car", "bus"] * 2
    assert roles(rows("id,vehicle", "012345", cells), *NUMBERED).attributes == ("vehicle",)
    cells = ["valve", "high value", "low value"] * 2
    assert roles(rows("id,part", "012345", cells), *NUMBERED).attributes == ("part",)


@pytest.mark.parametrize("name", ["setting", "splitter", "offset", "dataset", "stage"])
def test_a_column_of_another_name_is_an_attribute(name: str) -> None:
    assert roles(rows(f"id,{name}", "012345", "xyxyxy"), *NUMBERED).attributes == (name,)


def test_a_column_of_too_many_combinations_is_said_to_hold_several_labels() -> None:
    cells = ["a|b", "a", "b|c", "c", "a|c", "a|b|c"]
    with pytest.raises(InputError, match=r"6 different texts in 6 rows, which look like several labels, sep"):
        roles(rows("id,tags", "012345", cells), *NUMBERED)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0.jpg,x\n1.jpg,y\n2.jpg,x\n3.jpg,y\n", "0.jpg"),
        ("x,0\ny,1\nx,2\ny,3\n", "0"),
        ("images/0,x\nimages/1,y\nimages/2,x\nimages/3,y\n", "images/0"),
        ("gone/0.jpg,x\ngone/7.jpg,y\ngone/8.jpg,x\n", "gone/0.jpg"),
    ],
)
def test_a_first_row_in_place_of_a_header_is_refused(text: str, name: str) -> None:
    with pytest.raises(
        InputError, match=rf"line 1: '{name}' is an image, so the file seems to have no header"
    ):
        roles(text, *NUMBERED)


def test_a_header_may_hold_numbers_and_words_that_images_are_called() -> None:
    found = roles(rows("id,1,2", "012345", "010101", "001101"), *NUMBERED, "image.jpg", "id.jpg")
    assert (found.image, found.attributes) == ("id", ("1", "2"))


@pytest.mark.parametrize(
    "text",
    ["a/CAT.jpg", "a/cat.png", " cat.jpg ", "C:\\data\\cat.jpg", "https://x.org/y/cat.jpg?size=1",
     "/else/cat.jpg", "photos/a/cat.JPG", "kat.jpg"],
)  # fmt: skip
def test_where_no_column_names_images_the_nearest_image_is_named(text: str) -> None:
    table = "file,label\n" + "".join(f"{text.replace('cat', f'{k}cat') if k else text},x\n" for k in range(3))
    with pytest.raises(
        InputError, match=r"no column names images .* in column file is img/cat\.jpg"
    ) as caught:
        roles(table, "img/cat.jpg", "img/dog.jpg")
    assert f"nearest to {text!r}" in str(caught.value)


def test_empty_cells_do_not_count_when_judging_a_column() -> None:
    text = "id,few,label\n0,p,x\n1,q,y\n2,r,x\n3,,y\n4,,x\n5,,y\n"
    assert roles(text, *NUMBERED).attributes == ("label",)


def test_a_column_chosen_as_attribute_has_no_other_role() -> None:
    text = rows("id,split,group,label", "012345", "ababab", "cdcdcd", "xyxyxy")
    found = roles(text, *NUMBERED, choice=ColumnChoice(attributes=("split", "group")))
    assert (found.attributes, found.split, found.group) == (("split", "group"), None, None)


def test_a_choice_without_a_manifest_is_refused_by_its_flag() -> None:
    ColumnChoice().refuse("digits", "it is built in")
    with pytest.raises(
        InputError, match="digits: --group-column chooses a column of a manifest, but it is built in"
    ):
        ColumnChoice(group="who").refuse("digits", "it is built in")
