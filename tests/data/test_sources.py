from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from longtail.data.dataset import Dataset
from longtail.data.sources import open_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.errors import InputError
from longtail.schema import Attribute, LabelSchema

CSV = "id,label\na,x\nb,y\nc,x\nd,y\n"


def make(root: Path, manifest: str | None = "labels.csv", text: str = CSV, folder: str = "images") -> Path:
    (root / folder).mkdir(parents=True)
    for name in "abcd":
        (root / folder / f"{name}.png").write_bytes(name.encode())
    if manifest:
        (root / manifest).write_text(text)
    return root


def pack(root: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root))
    return path


def content(data: Dataset) -> list[tuple[str, object, list[int]]]:
    return [(data.ids[i], data.images.read(i), data.labels[i].tolist()) for i in range(len(data))]


EXPECTED = [("a", b"a", [0]), ("b", b"b", [1]), ("c", b"c", [0]), ("d", b"d", [1])]


def test_folder_archive_and_manifest_give_the_same_data(tmp_path: Path) -> None:
    root = make(tmp_path / "pets")
    archive = pack(root, tmp_path / "pets.zip")
    opened = [open_dataset(str(place)) for place in (root, archive, root / "labels.csv")]
    assert [content(data) for data in opened] == [EXPECTED] * 3
    assert [data.name for data in opened] == ["pets"] * 3


def test_images_are_counted_by_class_among_rows_without_the_unlabelled(tmp_path: Path) -> None:
    rows = "a.png,x,2\nb.png,,1\nc.png,y,2\nd.png,x,\n"
    root = make(tmp_path / "x", text="image,kind,number\n" + rows)
    data = open_dataset(str(root), ColumnChoice(attributes=("kind", "number")))
    assert data.class_counts(np.arange(4)) == [[2, 1], [1, 2]]
    assert data.class_counts(np.array([1, 3])) == [[1, 0], [1, 0]]


def test_an_archive_that_wraps_everything_in_a_folder_is_read(tmp_path: Path) -> None:
    make(tmp_path / "outer" / "inner")
    data = open_dataset(str(pack(tmp_path / "outer", tmp_path / "x.zip")))
    assert content(data) == EXPECTED
    assert "everything lies in inner/: read from there" in data.notes


@pytest.mark.parametrize("manifest", ["things.csv", "labels.tsv", "Labels.CSV"])
def test_the_only_manifest_is_found_whatever_it_is_called(tmp_path: Path, manifest: str) -> None:
    text = CSV.replace(",", "\t") if manifest.endswith("tsv") else CSV
    assert content(open_dataset(str(make(tmp_path / "x", manifest, text)))) == EXPECTED


def test_labels_csv_wins_over_other_manifests(tmp_path: Path) -> None:
    root = make(tmp_path / "x")
    (root / "notes.csv").write_text("some,thing\n1,2\n")
    assert content(open_dataset(str(root))) == EXPECTED


def test_predictions_beside_the_images_are_not_taken_for_labels(tmp_path: Path) -> None:
    root = make(tmp_path / "x", "found.csv", "image,label,label:cat,label:dog\na.png,cat,0.9,0.1\n")
    with pytest.raises(InputError, match=r"found\.csv: has the columns of predictions \(label, "):
        open_dataset(str(root))
    other = make(tmp_path / "y", text="image,kind,kind:detail\na,cat,tabby\nb,dog,pug\n")
    assert open_dataset(str(other), ColumnChoice(attributes=("kind",))).schema.names == ("kind",)


def test_several_manifests_without_labels_csv_are_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "x", "train.csv")
    (root / "test.csv").write_text(CSV)
    with pytest.raises(InputError, match=r"several manifests \(test.csv, train.csv\); give one by its path"):
        open_dataset(str(root))


def test_a_parquet_manifest_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = make(tmp_path / "x", None)
    pq.write_table(pa.table({"id": list("abcd"), "label": list("xyxy")}), root / "labels.parquet")
    assert content(open_dataset(str(root))) == EXPECTED
    assert content(open_dataset(str(pack(root, tmp_path / "y.zip")))) == EXPECTED


def test_images_may_lie_in_a_folder_or_archive_elsewhere(tmp_path: Path) -> None:
    root = make(tmp_path / "pictures", None)
    archive = pack(root, tmp_path / "pictures.zip")
    manifest = tmp_path / "tables" / "mine.csv"
    manifest.parent.mkdir()
    manifest.write_text(CSV)
    for place in (root, archive):
        data = open_dataset(str(manifest), images=str(place))
        assert (content(data), data.name) == (EXPECTED, "mine")


def test_class_folders_are_read_in_place_from_an_archive(tmp_path: Path) -> None:
    make(tmp_path / "x", None, folder="train/cat")
    make(tmp_path / "x", None, folder="train/dog")
    folder, archive = (
        open_dataset(str(tmp_path / "x")),
        open_dataset(str(pack(tmp_path / "x", tmp_path / "x.zip"))),
    )
    assert content(folder) == content(archive)
    assert len(archive) == 8


def test_a_builtin_is_opened_by_name() -> None:
    assert open_dataset("digits").schema.names == ("digit",)


def test_a_folder_called_like_a_builtin_is_said_to_be_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    note = "digits is built in; ./digits, which lies here, is not read: give ./digits for it"
    assert note not in open_dataset("digits").notes
    for name in ("zero/1.png", "one/1.png"):
        (tmp_path / "digits" / name).parent.mkdir(parents=True)
        (tmp_path / "digits" / name).write_bytes(b"")
    assert note in open_dataset("digits").notes
    assert open_dataset("./digits").schema.attributes[0].classes == ("one", "zero")


def test_what_a_model_recognises_is_not_guessed_anew(tmp_path: Path) -> None:
    known = LabelSchema((Attribute("colour", ("blue", "red", "pink")), Attribute("bald", ("0", "1"))))
    root = make(tmp_path / "x", text="id,colour,bald,text\na,red,,x\nb,blue,,y\nc,pink,,x\nd,,,y\n")
    data = open_dataset(str(root), known=known)
    assert [(a.name, a.classes) for a in data.schema.attributes] == [
        ("colour", ("blue", "pink", "red")),
        ("bald", ("0", "1")),
    ]
    assert data.labels.tolist() == [[2, -1], [0, -1], [1, -1], [-1, -1]]
    constant = make(tmp_path / "y", text="id,bald\na,1\nb,1\nc,1\nd,1\n")
    assert open_dataset(str(constant), known=known).schema.attributes[0].classes == ("1",)
    folder = make(tmp_path / "z", None, folder="dog")
    assert open_dataset(str(folder), known=known).labels.tolist() == [[0]] * 4


def test_an_attribute_of_another_name_than_the_models_is_looked_for(tmp_path: Path) -> None:
    root = make(tmp_path / "x", text="id,animal\na,x\nb,y\nc,x\nd,y\n")
    assert open_dataset(str(root), known=LabelSchema.single("label", ["x", "y"])).schema.names == ("animal",)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digist", "or one of digits, digits-attributes. Did you mean 'digits'?"),
        ("{root}/petz", "{root}/petz: is not there; .* Did you mean 'pets'?"),
        ("{root}/no/where", "is not there"),
        ("", "'': is not there"),
        ("{root}/empty", "{root}/empty: is empty"),
        ("{root}/empty/", "{root}/empty: is empty"),
    ],
)
def test_a_source_that_is_not_there_is_answered_with_the_nearest(
    tmp_path: Path, source: str, message: str
) -> None:
    make(tmp_path / "pets")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message.format(root=tmp_path)):
        open_dataset(source.format(root=tmp_path))


def test_images_that_are_not_there_are_refused_by_their_flag(tmp_path: Path) -> None:
    root = make(tmp_path / "pets")
    with pytest.raises(InputError, match=r"--images .*imges: is not there.* Did you mean 'images'"):
        open_dataset(str(root / "labels.csv"), images=str(root / "imges"))


def test_a_manifest_without_any_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(CSV)
    for source in (tmp_path, tmp_path / "labels.csv"):
        with pytest.raises(InputError, match=r"holds no image among 1 file; .* --images"):
            open_dataset(str(source))


def test_flags_of_manifests_are_refused_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="digits: --attributes chooses a column of a manifest"):
        open_dataset("digits", ColumnChoice(attributes=("digit",)))
    with pytest.raises(InputError, match="digits: --images goes with a manifest"):
        open_dataset("digits", images=str(tmp_path))
    make(tmp_path / "x", None, folder="cat")
    with pytest.raises(InputError, match=r"--split-column chooses .* no manifest is there \(labels.csv\)"):
        open_dataset(str(tmp_path / "x"), ColumnChoice(split="split"))
