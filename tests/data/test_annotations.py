from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtail.data.annotations import (
    Rows,
    below_header,
    check_distinct,
    holds,
    images_below,
    read_counted_rows,
    read_rows,
    split_of,
)
from longtail.errors import InputError


def written(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_are_lines_without_ends_and_without_the_empty_last_ones(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "\ufeffa 1\r\nb 2\n\n \n"), "there")
    assert rows.texts == ["a 1", "b 2"]
    assert str(rows.refuse(1, "more")) == f"{rows.path}, line 2: expected more, got 'b 2'"


def test_counted_rows_begin_on_the_third_line(tmp_path: Path) -> None:
    rows = read_counted_rows(written(tmp_path, "2\nname type\na b 1\nc 2\n"), "there")
    assert rows.pairs("a pair") == (["a b", "c"], ["1", "2"])
    assert ", line 4: expected more" in str(rows.refuse(1, "more"))
    assert rows.header == "name type"


def test_rows_below_a_header_begin_on_the_second_line(tmp_path: Path) -> None:
    rows = below_header(read_rows(written(tmp_path, "name,value\na,1\nb,2\n"), "there"))
    assert (rows.header, rows.texts) == ("name,value", ["a,1", "b,2"])
    assert ", line 3: expected more" in str(rows.refuse(1, "more"))


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"list\.txt: expected rows below the header, found none"):
        below_header(read_rows(written(tmp_path, "name,value\n"), "there"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; get it again, see there"),
        (b"1\nname\na \xff 1\n", "line 3: is not UTF-8 (byte 0xff)"),
        ("two\nname\na 1\n", "line 1: expected the number of rows, got 'two'"),
        ("0\nname\n", "says 0 rows, but 0 follow the header"),
        ("3\nname\na 1\n", "says 3 rows, but 1 follow the header; get it whole, see there"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes | str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_counted_rows(written(tmp_path, content), "there")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt: cannot be read \(No such file.*see there"):
        read_rows(tmp_path / "absent.txt", "there")


def test_a_row_of_one_word_is_no_pair(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "a 1\nb\n"), "there")
    with pytest.raises(InputError, match="line 2: expected two words, got 'b'"):
        rows.pairs("two words")


def test_an_unknown_word_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "x\ny\nz\nz\n"), "there")
    assert rows.codes(rows.texts, {"x": 4, "y": -1, "z": 0}, "x").tolist() == [4, -1, 0, 0]
    with pytest.raises(InputError, match="line 3: expected x or y, got 'z'"):
        rows.codes(rows.texts, {"x": 0, "y": 1}, "x or y")


def test_a_name_in_two_rows_or_two_files_is_refused(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "a\nb\na\n"), "there")
    with pytest.raises(
        InputError, match=r"line 3: names a again, after list\.txt, line 1; keep one row per name"
    ):
        check_distinct((rows, rows.texts))
    other = Rows(tmp_path / "other.txt", ["c", "b"], first=3)
    check_distinct((rows, rows.texts[:2]), (other, ["c", "d"]))
    with pytest.raises(InputError, match=r"other\.txt, line 4: names b again, after list\.txt, line 2"):
        check_distinct((rows, rows.texts[:2]), (other, other.texts))


def test_the_split_of_a_name_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "b test\na train\nc val\n"), "there")
    split = split_of(rows, ["a", "b", "other", "c"])
    assert (split.tolist(), split.dtype) == ([0, 2, -1, 1], np.int8)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "b tset\n"), "there")
    with pytest.raises(InputError, match="line 1: expected an image and train, val or test, got 'b tset'"):
        split_of(rows, ["b"])


def test_an_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "b test\na train\nb train\n"), "there")
    with pytest.raises(InputError, match="line 3: names b again"):
        split_of(rows, ["a", "b"])


@pytest.mark.parametrize("folder", ["img", "Img/img", "."])
def test_images_are_listed_by_their_path_below_the_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder / "a").mkdir(parents=True)
    for name in ("a/1.jpg", "a/2.PNG", "a/3.txt"):
        (tmp_path / folder / name).write_bytes(b"")
    prefix = "" if folder == "." else f"{folder}/"
    assert images_below(tmp_path) == {f"{prefix}a/1.jpg", f"{prefix}a/2.PNG"}


def test_a_folder_holds_only_files(tmp_path: Path) -> None:
    written(tmp_path, "a")
    assert holds(tmp_path, "list.txt")
    assert not holds(tmp_path, "list.txt", "other.txt")
    assert not holds(tmp_path.parent, tmp_path.name)
    assert not holds(tmp_path / "list.txt", "x")
    assert not holds(tmp_path, "x" * 5000)
