"""What is written is read again as it was, with a label changed by a person."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image

from longtail.data.dataset import Tags
from longtail.data.sources import open_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.diagnosing.label_table import given_columns, write_label_table

from .label_data import doubted, shades

PIXELS = io.BytesIO()
Image.new("L", (2, 2)).save(PIXELS, "PNG")


@pytest.fixture
def photos(tmp_path):
    """Forty images and a manifest with everything that guides a split; some cells are empty."""
    (tmp_path / "photos").mkdir()
    lines = ["file,colour,shape,group,split,domain,identity,match"]
    for row in range(40):
        (tmp_path / "photos" / f"p {row}.png").write_bytes(PIXELS.getvalue())
        colour, shape = ["red", '"blue, dark"', "10"][row % 3], ["", "flat", "round"][row % 3]
        split = ["train", "val", "test", ""][row % 4]
        match = f"m{row // 2}" if row < 30 else ""
        cells = (f"p {row}.png", colour, shape, f"g{row // 4}", split, ["shop", "street"][row % 2])
        lines.append(",".join([*cells, f"who{row % 5}", match]))
    (tmp_path / "photos" / "labels.csv").write_text("\n".join(lines))
    return tmp_path / "photos"


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def same_sets(first, second):
    """Whether two columns of codes tell the same images apart."""
    return {tuple(np.flatnonzero(first == c)) for c in set(first)} == {
        tuple(np.flatnonzero(second == c)) for c in set(second)
    }


def test_labels_groups_and_splits_come_back(photos, tmp_path):
    dataset = open_dataset(str(photos), ColumnChoice(attributes=("colour", "shape")))
    write_label_table(tmp_path / "out.csv", dataset, doubted(dataset, 4, 7))
    again = open_dataset(str(tmp_path / "out.csv"), images=str(photos))
    assert again.schema == dataset.schema
    assert list(again.ids) == list(dataset.ids)
    np.testing.assert_array_equal(again.labels, dataset.labels)
    np.testing.assert_array_equal(again.split, dataset.split)
    assert again.domains.names == dataset.domains.names
    np.testing.assert_array_equal(again.domains.codes, dataset.domains.codes)
    for role in ("groups", "identities", "matches"):
        assert same_sets(getattr(again, role), getattr(dataset, role))
    np.testing.assert_array_equal(again.matches < 0, dataset.matches < 0)


def test_a_label_that_a_person_changed_is_what_is_read(photos, tmp_path):
    dataset = open_dataset(str(photos), ColumnChoice(attributes=("colour",)))
    write_label_table(tmp_path / "out.csv", dataset, doubted(dataset, 3))
    rows = table(tmp_path / "out.csv")
    assert (rows[3]["colour"], rows[3]["suggested_colour"]) == ("red", "10")
    rows[3]["colour"] = rows[3]["suggested_colour"]
    with (tmp_path / "out.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    again = open_dataset(str(tmp_path / "out.csv"), images=str(photos))
    assert np.flatnonzero(again.labels[:, 0] != dataset.labels[:, 0]).tolist() == [3]


def test_columns_that_were_found_are_no_attributes(photos, tmp_path):
    dataset = open_dataset(str(photos), ColumnChoice(attributes=("colour",)))
    write_label_table(tmp_path / "out.csv", dataset, doubted(dataset, *range(20)))
    again = open_dataset(str(tmp_path / "out.csv"), images=str(photos))
    assert again.schema.names == ("colour",)
    assert "2 columns that longtail diagnose --labels wrote: no attribute" in again.notes


def test_cells_are_empty_where_nothing_is_known():
    dataset = shades(4, labels=np.array([[0], [-1], [1], [0]]), domains=Tags(("a",), np.array([0, -1, 0, 0])))
    columns = dict(given_columns(dataset))
    assert columns["colour"] == ["even", "", "odd", "even"]
    assert columns["domain"] == ["a", "", "a", "a"]


def test_suspicion_is_written_for_judged_images_and_a_suggestion_for_suspects(tmp_path):
    dataset = shades(5)
    write_label_table(tmp_path / "out.csv", dataset, doubted(dataset, 0))
    rows = table(tmp_path / "out.csv")
    assert [row["suspicion_colour"] for row in rows] == ["0.9000", "0.7000", "0.5000", "0.3000", ""]
    assert [row["suggested_colour"] for row in rows] == ["odd", "", "", "", ""]


def test_attributes_that_are_called_as_other_columns_keep_their_names():
    dataset = shades(4, ("image", "group"), groups=np.arange(4))
    assert [name for name, _ in given_columns(dataset)] == ["image_path", "image", "group", "group_column"]
