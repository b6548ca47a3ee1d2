from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.data.huggingface import is_huggingface, open_huggingface
from longtail.data.sources import open_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.errors import InputError


@dataclass(frozen=True)
class ImageFeature:
    decode: bool = True


@dataclass(frozen=True)
class ClassLabel:
    names: tuple[str, ...]


@dataclass(frozen=True)
class Value:
    dtype: str = "string"


@dataclass(frozen=True)
class Part:
    """A stand-in for a table of the library: what the reader asks of one, and nothing else."""

    features: dict[str, Any]
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: Any) -> dict[str, Any]:
        for name, feature in self.features.items():
            assert feature != ImageFeature(decode=True), f"{name} would be decoded"
        return {name: column[index] for name, column in self.columns.items()}

    def select_columns(self, names: list[str]) -> Part:
        return Part({n: self.features[n] for n in names}, {n: self.columns[n] for n in names})

    def cast_column(self, name: str, feature: Any) -> Part:
        return Part({**self.features, name: feature}, self.columns)


def part(labels: list[Any], **more: list[Any]) -> Part:
    features: dict[str, Any] = {
        "id": Value(),
        "picture": ImageFeature(),
        "label": ClassLabel(("zebra", "ant", "never")),
    }
    columns = {
        "id": [f"{label}{i}" for i, label in enumerate(labels)],
        "picture": [{"bytes": bytes([i]), "path": None} for i in range(len(labels))],
        "label": labels,
    }
    return Part(features | {name: Value() for name in more}, columns | more)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Puts a stand-in in the place of the library that gives this when asked for any data set."""

    def provide(loaded: Any) -> None:
        def load(*args: Any) -> Any:
            if isinstance(loaded, Exception):
                raise loaded
            module.asked = args
            return loaded

        module: Any = ModuleType("datasets")
        module.Image, module.ClassLabel, module.Value = ImageFeature, ClassLabel, Value
        module.load_dataset = module.load_from_disk = load
        monkeypatch.setitem(sys.modules, "datasets", module)

    return provide


def refused(source: str = "hf:o/n", choice: ColumnChoice | None = None) -> str:
    with pytest.raises(InputError) as caught:
        open_huggingface(source, choice or ColumnChoice())
    assert "\n" not in str(caught.value)
    assert source in str(caught.value)
    return str(caught.value)


def test_class_labels_keep_all_their_classes_in_their_order(library: Callable[[Any], None]) -> None:
    library({"train": part([0, 1, None]), "Validation": part([1]), "test": part([-1, -1])})
    data = open_huggingface("hf:owner/name", ColumnChoice())
    assert data.name == "name"
    assert data.schema.names == ("label",)
    assert data.schema.attributes[0].classes == ("zebra", "ant", "never")
    assert data.labels.tolist() == [[0], [1], [-1], [1], [-1], [-1]]
    assert data.labels.dtype == np.int64
    assert data.split is not None
    assert data.split.tolist() == [0, 0, 0, 1, 2, 2]
    assert [data.images.read(i) for i in range(6)] == [b"\0", b"\1", b"\2", b"\0", b"\0", b"\1"]
    assert list(data.ids)[2:4] == ["train-0000002", "val-0000000"]
    assert (data.images.name(3), len(data.images)) == ("val-0000000", 6)
    assert "splits in column split: train 3, val 1, test 2 images" in data.notes


@pytest.mark.parametrize("folder", [".", "data"])
def test_what_was_downloaded_from_the_hub_is_read_by_the_library(
    library: Callable[[Any], None], tmp_path: Path, folder: str
) -> None:
    place = tmp_path / "pets" / folder
    place.mkdir(parents=True)
    assert not is_huggingface(str(tmp_path / "pets"))
    (place / "labels.parquet").write_bytes(b"")
    assert not is_huggingface(str(tmp_path / "pets"))
    (place / "train-00000-of-00002-a1b2.parquet").write_bytes(b"")
    assert is_huggingface(str(tmp_path / "pets"))
    library({"train": part([0, 1])})
    sys.modules["datasets"].load_from_disk = None
    assert open_huggingface(str(tmp_path / "pets"), ColumnChoice()).name == "pets"
    assert sys.modules["datasets"].asked == (str(tmp_path / "pets"),)


@pytest.mark.parametrize(
    ("source", "asked"), [("hf:a/b", ("a/b", None)), ("hf:a/b:c", ("a/b", "c")), ("hf:b", ("b", None))]
)
def test_a_source_names_a_data_set_and_perhaps_its_configuration(
    library: Callable[[Any], None], source: str, asked: tuple[str, str | None]
) -> None:
    library({"train": part([0, 1])})
    assert open_huggingface(source, ColumnChoice()).name == "b"
    assert sys.modules["datasets"].asked == asked


def test_columns_can_be_chosen(library: Callable[[Any], None]) -> None:
    more = {
        "colour": ["red", None, " ", "blue"],
        "who": ["x", "y", "x", "y"],
        "part": ["train"] * 3 + ["test"],
    }
    library({"train": part([0, 1, 0, 1], **more)})
    data = open_huggingface("hf:a", ColumnChoice("picture", ("colour", "label"), "part", "who"))
    assert data.schema.names == ("colour", "label")
    assert data.schema.attributes[0].classes == ("blue", "red")
    assert data.labels.tolist() == [[1, 0], [-1, 1], [-1, 0], [0, 1]]
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0, 1]
    assert data.split is not None
    assert data.split.tolist() == [0, 0, 0, 2]


def test_a_chosen_split_column_wins_over_the_splits_of_the_library(library: Callable[[Any], None]) -> None:
    library({"train": part([0, 1], split=["test", "train"]), "test": part([0], split=["val"])})
    data = open_huggingface("hf:a", ColumnChoice(split="split"))
    assert data.split is not None
    assert data.split.tolist() == [2, 0, 1]
    data = open_huggingface("hf:a", ColumnChoice())
    assert data.split is not None
    assert data.split.tolist() == [0, 0, 2]


def test_without_class_labels_columns_are_taken_as_from_a_manifest(library: Callable[[Any], None]) -> None:
    # A class label with one class is none to recognise; ids differ in every row.
    library({"all": part([1, 1, 1, 1, 1], age=[10, 9, 10, None, 9])})
    data = open_huggingface("hf:a", ColumnChoice())
    assert data.schema.names == ("age",)
    assert data.schema.attributes[0].classes == ("9", "10")
    assert data.labels.tolist() == [[1], [0], [1], [-1], [0]]
    assert data.split is None
    assert any("column id is no attribute" in note for note in data.notes)


def test_unknown_splits_beside_known_ones_are_left_out(library: Callable[[Any], None]) -> None:
    library({"unsupervised": part([-1]), "train": part([0, 1])})
    data = open_huggingface("hf:a", ColumnChoice())
    assert len(data) == 2
    assert data.notes[-1] == "splits left out: unsupervised"


def test_an_image_may_lie_in_a_file_or_be_missing(tmp_path: Path, library: Callable[[Any], None]) -> None:
    (tmp_path / "a.png").write_bytes(b"file")
    rows = part([0, 1, 0, 1])
    rows.columns["picture"][1:] = [{"bytes": None, "path": str(tmp_path / "a.png")}, None, {"bytes": None}]
    library(rows)
    images = open_huggingface("hf:a", ColumnChoice()).images
    assert (images.read(0), images.read(1)) == (b"\0", b"file")
    for row in (2, 3):
        with pytest.raises(OSError, match=f"row-000000{row}: has no image"):
            images.read(row)


@pytest.mark.parametrize(
    ("loaded", "choice", "message"),
    [
        (ConnectionError("no network\nat all"), None, "cannot be opened (no network); check its name"),
        (ValueError(), None, "cannot be opened (ValueError)"),
        ({"a": part([0]), "b": part([1])}, None, "has splits a, b; expected train"),
        ({"val": part([0]), "valid": part([1])}, None, "has splits val, valid; expected train"),
        ({"train": part([0]), "test": part([1], x=[1])}, None, "its splits differ in their columns"),
        (
            part([0, 1]),
            ColumnChoice("pictur"),
            "names 'pictur', which is no column of images; those are picture",
        ),
        (
            part([0, 1]),
            ColumnChoice(attributes=("lable",)),
            "--attributes names column 'lable', which is not",
        ),
        (
            part([0, 1]).select_columns(["label"]),
            None,
            "expected one column of type Image, found none among label",
        ),
        (part([0, 0]).select_columns(["picture", "label"]), None, "no column to recognise; looked at label"),
    ],
)
def test_what_does_not_fit_is_named(
    library: Callable[[Any], None], loaded: Any, choice: ColumnChoice | None, message: str
) -> None:
    library(loaded)
    assert message in refused(choice=choice)


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'longtail[huggingface]'" in refused()


def test_sources_are_known_by_prefix_or_by_what_save_to_disk_writes(tmp_path: Path) -> None:
    assert is_huggingface("hf:owner/name")
    assert not is_huggingface(str(tmp_path))
    (tmp_path / "dataset_info.json").touch()
    assert not is_huggingface(str(tmp_path))
    (tmp_path / "state.json").touch()
    assert is_huggingface(str(tmp_path))
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "dataset_dict.json").touch()
    assert is_huggingface(str(tmp_path / "many"))


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def test_the_library_itself_is_read(tmp_path: Path) -> None:
    datasets: Any = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["zebra", "ant", "never"]),
            "word": datasets.Value("string"),
        }
    )
    columns = {
        "image": [{"bytes": png(i), "path": None} for i in range(6)],
        "label": [0, 1, None, -1, 1, 0],
        "word": ["x", None, "y", "x", "y", "x"],
    }
    whole = datasets.Dataset.from_dict(columns, features=features)
    shuffled = whole.select([5, 4, 3])
    datasets.DatasetDict({"train": whole, "validation": shuffled}).save_to_disk(str(tmp_path / "set"))
    assert is_huggingface(str(tmp_path / "set"))
    data = open_huggingface(str(tmp_path / "set"), ColumnChoice(attributes=("label", "word")))
    assert data.name == "set"
    assert data.schema.attributes[0].classes == ("zebra", "ant", "never")
    assert data.labels[:6].tolist() == [[0, 0], [1, -1], [-1, 1], [-1, 0], [1, 1], [0, 0]]
    images = pickle.loads(pickle.dumps(data.images))
    assert [images.read(i) for i in (0, 5, 6, 8)] == [png(0), png(5), png(5), png(3)]

    whole.save_to_disk(str(tmp_path / "one"))
    assert is_huggingface(str(tmp_path / "one"))
    assert open_huggingface(str(tmp_path / "one"), ColumnChoice()).split is None

    root = tmp_path / "hub" / "data"
    root.mkdir(parents=True)
    whole.to_parquet(str(root / "train-00000-of-00001.parquet"))
    shuffled.to_parquet(str(root / "test-00000-of-00001.parquet"))
    data = open_dataset(str(tmp_path / "hub"), ColumnChoice(attributes=("label",)))
    assert data.schema.attributes[0].classes == ("zebra", "ant", "never")
    assert data.split is not None
    assert data.split.tolist() == [0] * 6 + [2] * 3
    assert [data.images.read(i) for i in (0, 6)] == [png(0), png(5)]
