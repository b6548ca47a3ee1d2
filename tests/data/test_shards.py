from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from longtail.data.dataset import Dataset
from longtail.data.sources import open_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.errors import InputError
from longtail.schema import Attribute, LabelSchema


def shard(path: Path, **files: str | bytes | dict[str, object]) -> Path:
    """An archive of files; a first underscore stands for the dot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            text = json.dumps(content) if isinstance(content, dict) else content
            data = text.encode() if isinstance(text, str) else text
            entry = tarfile.TarInfo(name.replace("_", ".", 1))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def labels_of(data: Dataset) -> dict[str, dict[str, str | None]]:
    """What is said of each image, by its name."""
    return {
        name: {
            attribute.name: attribute.classes[code] if code >= 0 else None
            for attribute, code in zip(data.schema.attributes, row)
        }
        for name, row in zip(data.ids, data.labels.tolist(), strict=True)
    }


def test_the_class_of_an_image_stands_beside_it(tmp_path: Path) -> None:
    for i, kind in enumerate(("cls", "txt")):
        texts = {f"{n}_{kind}": f"{n % 2 + i}\n" for n in range(4)}
        shard(tmp_path / f"{kind}-{i}.tar", **{f"{n}_jpg": f"image {i}{n}" for n in range(4)}, **texts)
        data = open_dataset(str(tmp_path / f"{kind}-{i}.tar"))
        assert labels_of(data) == {f"{kind}-{i}.tar/{n}.jpg": {"label": str(n % 2 + i)} for n in range(4)}
        assert [data.images.read(n) for n in range(4)] == [f"image {i}{n}".encode() for n in range(4)]
        assert data.notes[0] == f"4 images with a label in {tmp_path}/{kind}-{i}.tar"


@pytest.mark.parametrize("source", ["", "/s-{0..1}.tar"])
def test_shards_may_each_count_from_0(tmp_path: Path, source: str) -> None:
    for i in range(2):
        shard(tmp_path / f"s-{i}.tar", **{"0_png": str(i), "0_cls": f"c{i}"})
    data = open_dataset(f"{tmp_path}{source}")
    assert labels_of(data) == {"s-0.tar/0.png": {"label": "c0"}, "s-1.tar/0.png": {"label": "c1"}}
    assert [data.images.read(i) for i in range(2)] == [b"0", b"1"]
    assert data.split is None


def test_fields_are_columns_like_those_of_a_manifest(tmp_path: Path) -> None:
    fields = [
        {"colour": "red", "big": True, "n": 1, "id": "a", "box": [1]},
        {"colour": "blue", "big": False, "n": 1, "id": "b", "box": {}},
        {"colour": "red", "big": None, "n": 1, "id": "c"},
        {"big": True, "n": 1, "id": "d"},
        {"colour": "red", "big": True, "n": 1, "id": "e"},
    ]
    files = {f"{i}_jpg": "" for i in range(5)} | {f"{i}_json": own for i, own in enumerate(fields)}
    shard(tmp_path / "x.tar", **files)
    data = open_dataset(str(tmp_path / "x.tar"))
    assert list(labels_of(data).values()) == [
        {"colour": "red", "big": "true"},
        {"colour": "blue", "big": "false"},
        {"colour": "red", "big": None},
        {"colour": None, "big": "true"},
        {"colour": "red", "big": "true"},
    ]
    assert "fields of .json that hold no text or number, left out: box" in data.notes
    chosen = open_dataset(str(tmp_path / "x.tar"), ColumnChoice(attributes=("colour",), group="id"))
    assert chosen.schema.names == ("colour",)
    assert chosen.groups is not None


def test_a_class_wins_over_fields_unless_they_are_asked_for(tmp_path: Path) -> None:
    files = {f"{i}_jpg": "" for i in range(4)} | {f"{i}_cls": str(i % 2) for i in range(4)}
    fields = {f"{i}_json": {"colour": str(i // 2), "label": "z"} for i in range(4)}
    path = str(shard(tmp_path / "x.tar", **files, **fields))
    assert open_dataset(path).schema.names == ("label",)
    assert open_dataset(path, ColumnChoice(attributes=("colour",))).schema.names == ("colour",)
    trained = LabelSchema((Attribute("colour", ("0", "1")),))
    assert open_dataset(path, known=trained).schema.names == ("colour",)


def test_text_beside_a_class_is_a_caption(tmp_path: Path) -> None:
    files = {"0_jpg": "", "0_cls": "a", "0_txt": "a photo", "1_jpg": "", "1_cls": "b", "1_txt": "another"}
    data = open_dataset(str(shard(tmp_path / "x.tar", **files)))
    assert data.schema.attributes[0].classes == ("a", "b")
    assert "2 files in the shards left out: no image with a label" in data.notes


def test_images_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    files = {"0_jpg": "", "0_cls": "a", "0_seg.png": "", "1_jpg": "", "1_cls": "b", "2_jpg": ""}
    data = open_dataset(str(shard(tmp_path / "x.tar", **files)))
    assert list(data.ids) == ["x.tar/0.jpg", "x.tar/1.jpg"]
    assert "2 files in the shards left out: no image with a label" in data.notes


def test_names_of_shards_say_the_splits(tmp_path: Path) -> None:
    for i, name in enumerate(("train-0", "train-1", "set-val-0", "test/0")):
        shard(tmp_path / f"{name}.tar", **{"0_png": str(i), "0_cls": f"c{i % 2}"})
    data = open_dataset(str(tmp_path))
    assert data.split is not None
    assert dict(zip(data.ids, data.split.tolist())) == {
        "train-0.tar/0.png": 0, "train-1.tar/0.png": 0, "set-val-0.tar/0.png": 1, "test/0.tar/0.png": 2,
    }  # fmt: skip
    shard(tmp_path / "more.tar", **{"0_png": "", "0_cls": "c0"})
    with pytest.raises(InputError, match=r"train-1.tar look like splits, but more.tar lies beside them"):
        open_dataset(str(tmp_path))


def test_an_archive_without_labels_is_read_like_a_folder(tmp_path: Path) -> None:
    for name, files in {
        "folders": {"cat/1_jpg": "1", "dog/1_jpg": "2", "dog/notes_md": ""},
        "manifest": {"1_jpg": "1", "2_jpg": "2", "labels_csv": "image,label\n1,cat\n2,dog\n"},
    }.items():
        choice = ColumnChoice(attributes=("label",)) if name == "manifest" else ColumnChoice()
        data = open_dataset(str(shard(tmp_path / f"{name}.tar", **files)), choice)
        assert [list(row.values()) for row in labels_of(data).values()] == [["cat"], ["dog"]]
        assert [data.images.read(i) for i in range(2)] == [b"1", b"2"]


def test_images_of_a_manifest_may_lie_in_an_archive(tmp_path: Path) -> None:
    shard(tmp_path / "x.tar", **{"1_jpg": "1", "1_cls": "0", "2_jpg": "2", "2_cls": "0"})
    (tmp_path / "labels.csv").write_text("image,label\n2,cat\n1,dog\n", encoding="utf-8")
    choice = ColumnChoice(attributes=("label",))
    data = open_dataset(str(tmp_path / "labels.csv"), choice, images=str(tmp_path / "x.tar"))
    assert [data.images.read(i) for i in range(2)] == [b"2", b"1"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"0_jpg": "", "0_cls": b"\xff"},
            r"x.tar/0.cls: is not UTF-8; expected the name or number",
        ),
        ({"0_jpg": "", "0_json": "[1]"}, r"x.tar/0.json: expected a JSON object of fields"),
        ({"0_jpg": "", "0_json": "[" * 5000}, r"x.tar/0.json: expected a JSON object of fields"),
        ({"0_jpg": "", "0_cls": "x" * 2**21}, r"x.tar/0.cls: holds 2097152 bytes; expected a label"),
        ({"0_jpg": "", "0_png": "", "0_cls": "a"}, r"0.jpg and 0.png of x.tar share a label"),
        ({"0_jpg": "", "0_cls": "a", "1_jpg": "", "1_cls": "a"}, r"x.tar: only one class in label"),
        ({"0_txt": ""}, r"x.tar: holds no image among 1 file"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        open_dataset(str(shard(tmp_path / "x.tar", **files)))
    assert "\n" not in str(error.value)


def test_flags_of_a_manifest_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    path = str(shard(tmp_path / "x.tar", **{"0_jpg": "", "0_cls": "a", "1_jpg": "", "1_cls": "b"}))
    for choice, images in ((ColumnChoice(image="x"), None), (ColumnChoice(), str(tmp_path))):
        with pytest.raises(InputError, match="tar archives hold their own images; leave it out"):
            open_dataset(path, choice, images=images)
