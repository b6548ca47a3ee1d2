from __future__ import annotations

import csv
import io
import json
import re
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.runs.predict import Prediction
from longtail.runs.prediction_rows import (
    ArrowRows,
    Columns,
    CsvRows,
    JsonRows,
    Rows,
    cell,
    rows_of,
    to_parquet,
)
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("colour", ("red", "blue")), Attribute("shape", ("round", "flat"))))


def example(image: str = "a, b.jpg", features: int = 0, sets: bool = False) -> Prediction:
    return Prediction(
        image,
        {"colour": "red", "shape": "round"},
        {"colour": {"red": 2 / 3, "blue": 1 / 3}, "shape": {"round": 1.0, "flat": 1e-9}},
        {"colour": ("red", "blue"), "shape": ("round",)} if sets else None,
        np.arange(1, 2 * features + 1, dtype=np.float32).reshape(features, 2) / 3 if features else None,
    )


def written(rows: Rows, *predictions: Prediction) -> bytes:
    return rows.head() + rows.of(predictions)


def test_a_row_of_csv_has_the_labels_then_the_probability_of_every_class():
    assert written(CsvRows(Columns.of(SCHEMA)), example()).decode() == (
        "image,colour,shape,colour:red,colour:blue,shape:round,shape:flat\n"
        '"a, b.jpg",red,round,0.666667,0.333333,1.000000,0.000000\n'
    )


def test_a_set_of_csv_stands_in_a_cell():
    header, row = csv.reader(
        io.StringIO(written(CsvRows(Columns.of(SCHEMA, sets=True)), example(sets=True)).decode())
    )
    assert (header[3:5], row[3:5]) == (["colour set", "shape set"], ["red|blue", "round"])


def test_a_class_with_a_bar_in_its_name_can_be_told_in_a_set():
    prediction = Prediction("a", {"x": "a|b"}, {"x": {"a|b": 0.6, "c": 0.4}}, {"x": ("a|b", "c")})
    columns = Columns.of(LabelSchema.single("x", ["a|b", "c"]), sets=True)
    assert CsvRows(columns).of([prediction]).decode() == r"a,a|b,a\|b|c,0.600000,0.400000" + "\n"


def test_a_line_of_json_has_no_more_than_was_asked_for():
    assert JsonRows().of([example()]).decode() == (
        '{"image": "a, b.jpg", "labels": {"colour": "red", "shape": "round"}, "probabilities": '
        '{"colour": {"red": 0.666667, "blue": 0.333333}, "shape": {"round": 1.0, "flat": 0.0}}}\n'
    )
    record = json.loads(JsonRows().of([example(features=1, sets=True)]))
    assert record["sets"] == {"colour": ["red", "blue"], "shape": ["round"]}
    assert record["features"] == [0.3333333, 0.6666667]
    each = json.loads(JsonRows().of([example(features=2)]))["features"]
    assert each == {"colour": [0.3333333, 0.6666667], "shape": [1.0, 1.333333]}


def test_a_parquet_file_holds_lists_numbers_and_names_as_they_are(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = ArrowRows(Columns.of(SCHEMA, sets=True, vectors=2))
    pieces = [example("=1", 2, True)], [], [example("b\x1b", 2, True), example("\udcff", 2, True)]
    (tmp_path / "part").write_bytes(rows.head() + b"".join(map(rows.of, pieces)))
    to_parquet(tmp_path / "part", tmp_path / "p.parquet")
    table = parquet.read_table(tmp_path / "p.parquet")
    assert table.column("image").to_pylist() == ["=1", "b\x1b", "\\udcff"]
    first = table.to_pylist()[0]
    assert first["colour set"] == ["red", "blue"]
    assert first["shape features"] == pytest.approx([1, 4 / 3])
    assert first["colour:red"] == pytest.approx(2 / 3)
    assert table.column_names == rows.columns.all


def test_large_parquet_files_are_made_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("longtail.runs.prediction_rows._ROW_GROUP", 1)
    rows = ArrowRows(Columns.of(SCHEMA))
    (tmp_path / "part").write_bytes(rows.head() + 3 * rows.of([example()]))
    to_parquet(tmp_path / "part", tmp_path / "p.parquet")
    assert parquet.ParquetFile(tmp_path / "p.parquet").num_row_groups == 3


# --- columns --------------------------------------------------------------------------------------


def test_columns_that_would_have_one_name_are_numbered():
    schema = LabelSchema(
        (
            Attribute("image", ("x", "y")),
            Attribute("a:b", ("c", "set")),
            Attribute("a", ("b:c", "q")),
            Attribute("image (2)", ("x", "y")),
        )
    )
    assert Columns.of(schema).all == [
        *("image", "image (3)", "a:b", "a", "image (2)"),
        *("image:x", "image:y", "a:b:c", "a:b:set", "a:b:c (2)", "a:q", "image (2):x", "image (2):y"),
    ]


NAMES = st.text(st.sampled_from("ab: ()2\t\\'=+-"), min_size=1, max_size=3)
SCHEMAS = st.lists(
    st.builds(Attribute, NAMES, st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple)),
    min_size=1,
    max_size=4,
    unique_by=lambda attribute: attribute.name,
).map(lambda attributes: LabelSchema(tuple(attributes)))


@given(SCHEMAS, st.booleans(), st.sampled_from([0, 1, 4]))
def test_no_two_columns_have_one_name_whatever_attributes_and_classes_are_called(
    schema: LabelSchema, sets: bool, vectors: int
):
    columns = Columns.of(schema, sets=sets, vectors=min(vectors, schema.num_attributes))
    assert len(set(columns.all)) == len(columns.all)
    (header,) = csv.reader(io.StringIO(CsvRows(columns).head().decode()))
    assert len(set(header)) == len(header) == len(columns.all)


# --- text that others run or obey -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1.jpg", "'=1+1.jpg"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("-1", "-1"),
        ("+.5e-3", "+.5e-3"),
        ("-1+1", "'-1+1"),
        ("a;=1", "a;'=1"),
        ("a=b, c-d", "a=b, c-d"),
        ("\t=1", r"\t=1"),
        ("a\r\nb", r"a\r\nb"),
        ("\x1b[2J\x9b", r"\x1b[2J\x9b"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("été 日本", "été 日本"),
        ("", ""),
    ],
)
def test_a_cell_is_shown_and_not_run(text: str, shown: str):
    assert cell(text) == shown


TEXT = st.text(st.one_of(st.sampled_from("=+-@'; \t\r\n\x1b\x9b\u202e019.e"), st.characters(codec="utf-8")))


@given(TEXT)
def test_no_cell_begins_like_a_formula_or_holds_what_a_terminal_obeys(text: str):
    found = cell(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)
    for piece in found.split(";"):
        if piece[:1] in "=+-@＝＋－＠" and piece:
            assert set(found) <= {*string.digits, *"+-.eE"}, "only a number may"


@given(TEXT, TEXT, TEXT.filter(bool))
def test_what_json_holds_is_what_it_was_and_hides_nothing(image: str, label: str, other: str):
    prediction = Prediction(image, {"x": label}, {"x": {label: 0.5, other: 0.25}})
    line = JsonRows().of([prediction]).decode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", line)
    assert line.count("\n") == 1
    record = json.loads(line)
    assert (record["image"], record["labels"]) == (image, {"x": label})
    assert record["probabilities"]["x"] == {label: 0.5} | {other: 0.25}


def test_names_that_are_not_utf8_keep_their_bytes_in_csv_and_are_escaped_in_json():
    assert CsvRows(Columns.of(SCHEMA)).of([example("\udcff.jpg")]).startswith(b"\xff.jpg,red")
    line = JsonRows().of([example("\udcff.jpg")])
    assert line.startswith(rb'{"image": "\udcff.jpg"')
    assert json.loads(line)["image"] == "\udcff.jpg"


SAFE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp")), min_size=1).map(
    lambda text: "n" + text.replace(";", "")
)


@given(SAFE, SAFE, st.dictionaries(SAFE, st.floats(0, 1), min_size=1))
def test_csv_of_usual_names_can_be_read_again(image: str, attribute: str, classes: dict[str, float]):
    label = max(classes, key=classes.__getitem__)
    columns = Columns.of(LabelSchema.single(attribute, list(classes)))
    rows = CsvRows(columns)
    table = written(rows, Prediction(image, {attribute: label}, {attribute: classes})).decode()
    header, row = csv.reader(io.StringIO(table, newline=""))
    assert header == columns.all
    assert row[:2] == [image, label]
    assert [float(text) for text in row[2:]] == pytest.approx(list(classes.values()), abs=5.1e-7)


def test_the_form_is_found_by_its_name():
    columns = Columns.of(SCHEMA)
    assert rows_of("csv", columns) == CsvRows(columns)
    assert rows_of("jsonl", columns) == JsonRows()
