from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.cli.predict import _write_csv, _write_jsonl
from longtail.errors import InputError

from .conftest import Job, Run


@dataclass(frozen=True)
class Prediction:
    image: str
    labels: dict[str, str]
    probabilities: dict[str, dict[str, float]]


def example(image: str = "a, b.jpg") -> Prediction:
    return Prediction(
        image,
        {"colour": "red", "shape": "round"},
        {"colour": {"red": 2 / 3, "blue": 1 / 3}, "shape": {"round": 1.0, "flat": 1e-9}},
    )


CSV = """\
image,colour,shape,colour:red,colour:blue,shape:round,shape:flat
"a, b.jpg",red,round,0.666667,0.333333,1.000000,0.000000
"""

JSONL = (
    '{"image": "a, b.jpg", "labels": {"colour": "red", "shape": "round"}, "probabilities": '
    '{"colour": {"red": 0.666667, "blue": 0.333333}, "shape": {"round": 1.0, "flat": 0.0}}}\n'
)


@pytest.fixture
def one(prediction: Job) -> Job:
    prediction.act = lambda call: iter([example()])
    return prediction


def test_a_row_has_the_labels_then_the_probability_of_every_class(run: Run, one: Job):
    ended = run("predict", "runs/x", "a, b.jpg", "photos", "--skip-unreadable")
    assert (ended.code, ended.out, ended.err) == (0, CSV, "")
    (call,) = one.calls
    assert (call.run, tuple(call.images), call.skip_unreadable) == (
        Path("runs/x"),
        ("a, b.jpg", "photos"),
        True,
    )


def test_the_ending_of_the_output_says_its_form(run: Run, one: Job, tmp_path: Path):
    for name, content in (("a.csv", CSV), ("a.JSONL", JSONL)):
        ended = run("predict", "runs/x", "a", "--output", str(tmp_path / name))
        assert (ended.code, ended.out) == (0, "")
        assert (tmp_path / name).read_bytes() == content.encode()


def test_the_form_can_be_said(run: Run, one: Job, tmp_path: Path):
    assert run("predict", "runs/x", "a", "--format", "jsonl").out == JSONL
    assert run("predict", "runs/x", "a", "--output", str(tmp_path / "a.txt"), "--format", "csv").code == 0
    assert (tmp_path / "a.txt").read_text() == CSV
    assert run("predict", "runs/x", "a", "--output", "a.txt").mistake == (
        "--output a.txt: expected a name that ends in .csv or .jsonl, or --format with it"
    )


def test_images_must_be_named(run: Run, one: Job):
    assert run("predict", "runs/x").mistake.startswith("IMAGES is missing: expected image files")
    assert one.calls == []


def test_a_failed_prediction_leaves_an_earlier_output_as_it_was(run: Run, prediction: Job, tmp_path: Path):
    def act(call: SimpleNamespace) -> Iterator[Prediction]:
        yield example()
        raise InputError("b.jpg: damaged")

    prediction.act = act
    output = tmp_path / "a.csv"
    output.write_text("earlier")
    assert run("predict", "runs/x", "a", "--output", str(output)).mistake == "b.jpg: damaged"
    assert output.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_rows_come_out_before_the_last_image_is_read(prediction: Job):
    stream = io.StringIO()

    def predictions() -> Iterator[Prediction]:
        yield example()
        assert "a, b.jpg" in stream.getvalue()
        yield example("c.jpg")

    _write_csv(stream, predictions())
    assert stream.getvalue().count("\n") == 3


def test_names_that_are_not_utf8_keep_their_bytes(run: Run, prediction: Job, tmp_path: Path):
    prediction.act = lambda call: iter([example("\udcff.jpg")])
    output = tmp_path / "a.csv"
    assert run("predict", "runs/x", "a", "--output", str(output)).code == 0
    assert b"\n\xff.jpg,red" in output.read_bytes()


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1)


@given(NAMES, NAMES, st.dictionaries(NAMES, st.floats(0, 1), min_size=1))
def test_what_is_written_can_be_read_again(image: str, attribute: str, classes: dict[str, float]):
    label = max(classes, key=classes.__getitem__)
    prediction = Prediction(image, {attribute: label}, {attribute: classes})
    table, lines = io.StringIO(), io.StringIO()
    _write_csv(table, [prediction])
    _write_jsonl(lines, [prediction])
    header, row = csv.reader(io.StringIO(table.getvalue()))
    assert header == ["image", attribute, *(f"{attribute}:{name}" for name in classes)]
    assert row[:2] == [image, label]
    assert [float(cell) for cell in row[2:]] == pytest.approx(list(classes.values()), abs=5.1e-7)
    record = json.loads(lines.getvalue())
    assert (record["image"], record["labels"]) == (image, {attribute: label})
    assert record["probabilities"][attribute] == pytest.approx(classes, abs=5.1e-7)
