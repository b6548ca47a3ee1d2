from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.data.tables.table import Table, read_table
from longtail.errors import InputError


def read(text: str | bytes, path: str = "labels.csv") -> Table:
    return read_table(path, io.BytesIO(text.encode() if isinstance(text, str) else text))


def cells(table: Table) -> dict[str, list[str]]:
    return {name: [c.values[i] for i in c.codes.tolist()] for name, c in table.columns.items()}


def test_columns_come_back_in_order_with_each_text_once() -> None:
    table = read("id,label\n1,cat\n2,dog\n3,cat\n")
    assert cells(table) == {"id": ["1", "2", "3"], "label": ["cat", "dog", "cat"]}
    assert table.columns["label"].values == ["cat", "dog"]


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=5)


@settings(max_examples=60)
@given(st.lists(st.tuples(FIELD, FIELD), max_size=8).map(lambda rows: [*rows, ("last", "")]))
def test_what_a_csv_writer_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    import csv

    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    table = read(out.getvalue())
    blank = [tuple("" if text.isspace() else text for text in row) for row in rows]
    assert list(zip(*cells(table).values())) == [row for row in blank if any(row)]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("id;label\n1;a,b\n2;c\n", "fields are separated by ';'"),
        ("id\tlabel\n1\ta,b\n2\tc\n", r"fields are separated by '\t'"),
        ("id;label;(cat, dog, a bird)\n1;a,b;\n2;c;\n", "fields are separated by ';'"),
        ("sep=;\nid;label\n1;a,b\n2;c\n", "fields are separated by ';'"),
        ('"sep=;";;\r\n\r\nid;label;\r\n1;a,b;\r\n2;c;\r\n', "fields are separated by ';'"),
        ("\n  \nid;label\n1;a,b\n2;c\n", "fields are separated by ';'"),
    ],
)
def test_another_separator_is_seen_in_the_header_and_said(text: str, note: str) -> None:
    table = read(text)
    assert cells(table)["label"] == ["a,b", "c"]
    assert table.notes == (f"labels.csv: {note}",)


def test_lines_above_the_header_count() -> None:
    table = read("sep=,\n\nid,label\n1,a\n\n2,b\n")
    assert cells(table) == {"id": ["1", "2"], "label": ["a", "b"]}
    assert [table.where(row) for row in range(2)] == ["labels.csv, line 4", "labels.csv, line 6"]
    with pytest.raises(InputError, match=r"labels.csv, line 3: expected 2 fields as in the header, got 3"):
        read("\nid,label\n1,a,b\n")


def test_a_tsv_has_tabs() -> None:
    table = read("id\tla,b,el\n1\tx\n", "labels.tsv")
    assert cells(table) == {"id": ["1"], "la,b,el": ["x"]}
    assert table.notes == ()


def test_byte_order_mark_crlf_and_blank_lines_are_no_content() -> None:
    table = read("\ufeffid,label\r\n1,a\r\n\r\n2,b\r\n")
    assert cells(table) == {"id": ["1", "2"], "label": ["a", "b"]}


def test_rows_of_separators_and_fields_that_a_spreadsheet_fills_up_are_no_content() -> None:
    table = read("id,label\n1,a,,\n,\n , \n,,,\n2,b\n,\n")
    assert cells(table) == {"id": ["1", "2"], "label": ["a", "b"]}
    assert [table.where(i) for i in range(2)] == ["labels.csv, line 2", "labels.csv, line 6"]


def test_a_name_is_found_in_either_form_of_its_characters() -> None:
    table = read("id,e\u0301tat\n1,a\n")
    assert list(table.columns) == ["id", "\u00e9tat"]
    assert table.named("e\u0301tat", "--attributes") == "\u00e9tat"


def test_rows_know_the_line_they_start_on() -> None:
    table = read('id,label\n1,"two\nlines"\n\n2,b\n')
    assert [table.where(i) for i in range(2)] == ["labels.csv, line 2", "labels.csv, line 5"]


def test_cells_of_spaces_are_empty() -> None:
    table = read("id,label\n1, \n2,\n3,a b\n4,\t\n")
    assert cells(table)["label"] == ["", "", "a b", ""]
    assert table.columns["label"].values == ["", "a b"]


def test_a_column_without_a_name_gets_one() -> None:
    assert list(read(",label \n0,a\n").columns) == ["unnamed 1", "label"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n1,a\n2,b,c\n", "labels.csv, line 3: expected 2 fields as in the header, got 3"),
        ('id,label\n1,"a\nb"\n2\n', "labels.csv, line 4: expected 2 fields as in the header, got 1"),
        ('id,label\n1,"a\n', "labels.csv, line 2: cannot be read as CSV"),
        ('id,label\n1,"a"b\n', "labels.csv, line 2: cannot be read as CSV"),
        ("id,id\n1,2\n", "labels.csv, line 1: column 'id' appears twice"),
        ("", "labels.csv: expected a header line and at least one row"),
        ("id,label\n", "labels.csv: expected a header line and at least one row"),
        (b"id,label\n1,a\n2,caf\xe9\n", r"labels.csv, line 3: is not UTF-8 \(byte 0xe9\); save the file"),
        ("id,label\n1,a\n".encode("utf-16"), "labels.csv, line 1: is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_line(text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text)


def test_a_missing_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"--split-column names column 'splt'.* id, split. Did you mean 'split'"
    ):
        read("id,split\n1,train\n").named("splt", "--split-column")


def parquet(**columns: object) -> io.BytesIO:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=2)
    out.seek(0)
    return out


def test_parquet_columns_of_any_scalar_kind_are_text() -> None:
    import pyarrow as pa

    file = parquet(
        id=["a", "b", "c"],
        number=pa.array([1, None, 3], pa.int64()),
        kind=pa.array(["x", "y", "x"]).dictionary_encode(),
        flag=[True, False, None],
    )
    table = read_table("labels.parquet", file)
    assert cells(table) == {
        "id": ["a", "b", "c"],
        "number": ["1", "", "3"],
        "kind": ["x", "y", "x"],
        "flag": ["true", "false", ""],
    }
    assert table.columns["number"].codes.dtype == np.int32
    assert table.where(1) == "labels.parquet, row 2"


def test_parquet_columns_that_are_no_text_are_left_out_and_said() -> None:
    import pyarrow as pa

    kinds = {
        "data": pa.binary(),
        "large": pa.large_binary(),
        "digest": pa.binary(1),
        "view": pa.binary_view(),
    }
    of_bytes = {name: pa.array([b"\xff"], kind) for name, kind in kinds.items()}
    table = read_table("x.parquet", parquet(id=["a"], box=[[1, 2]], **of_bytes))
    assert list(table.columns) == ["id"]
    assert [note.partition(" holds")[0] for note in table.notes] == [
        "x.parquet: column box",
        *(f"x.parquet: column {name}" for name in kinds),
    ]


def test_a_damaged_parquet_file_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"x.parquet: is not a readable Parquet file") as caught:
        read(b"PAR1 not really", "x.parquet")
    assert "\n" not in str(caught.value)


def test_without_pyarrow_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'longtail\[parquet\]'"):
        read(b"", "x.parquet")


def test_parquet_text_that_is_not_utf8_names_its_column() -> None:
    pa = pytest.importorskip("pyarrow")
    offsets = np.array([0, 2], np.int32).tobytes()
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(b"\xe5("))
    with pytest.raises(InputError, match=r"x\.parquet: column label holds text that is not UTF-8"):
        read_table("x.parquet", parquet(label=broken))


def test_a_table_that_holds_the_images_themselves_is_told_how_to_be_opened() -> None:
    with pytest.raises(InputError, match=r"column image holds the images themselves; name the file"):
        read_table("x.parquet", parquet(image=[{"bytes": b"1", "path": "a.png"}], label=[0]))
