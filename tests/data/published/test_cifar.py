from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.data.dataset import Dataset
from longtail.data.published import cifar
from longtail.data.published.cifar import CIFAR10 as CIFAR10_LAYOUT
from longtail.data.published.cifar import CIFAR100 as CIFAR100_LAYOUT
from longtail.data.sources import open_dataset
from longtail.data.splits import split_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.errors import InputError

from .official_files import (
    CIFAR10,
    CIFAR10_NAMES,
    CIFAR100,
    CIFAR100_NAMES,
    CifarBatch,
    cifar10_binary,
    cifar10_python,
    cifar100_binary,
    cifar100_python,
    python2_pickle,
    python3_pickle,
    write_archive,
    write_folder,
)

FORMS: dict[str, tuple[str, Callable[[], dict[str, bytes]]]] = {
    "cifar-10-python": ("cifar-10-batches-py", cifar10_python),
    "cifar-10-binary": ("cifar-10-batches-bin", cifar10_binary),
    "cifar-100-python": ("cifar-100-python", cifar100_python),
    "cifar-100-binary": ("cifar-100-binary", cifar100_binary),
}


def archive(root: Path, form: str = "cifar-10-python", **changed: bytes | None) -> Path:
    """The archive of a form, with files changed, or left out where they are None."""
    folder, files = FORMS[form]
    kept = {name: data for name, data in {**files(), **changed}.items() if data is not None}
    return write_archive(root / f"{form}.tar.gz", folder, kept)


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_dataset(str(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def check_is(data: Dataset, name: str, batches: list[CifarBatch], classes: list[str]) -> None:
    """Pixel by pixel, from the authors' description: first all red values, row by row."""
    assert data.name == name
    assert [(a.name, a.classes) for a in data.schema.attributes] == [("class", tuple(classes))]
    labels = [label for batch in batches for label in batch.labels]
    assert (data.labels.dtype, data.labels.tolist()) == (np.int64, [[label] for label in labels])
    row = 0
    for batch in batches:
        for image in batch.images:
            found = data.images.read(row)
            assert isinstance(found, np.ndarray)
            assert (found.shape, found.dtype, found.flags.c_contiguous) == ((32, 32, 3), np.uint8, True)
            for channel in range(3):
                assert (found[:, :, channel] == image[channel]).all()
            row += 1
    assert row == len(data)
    assert data.split is not None
    tests = len(batches[-1].labels)
    trains = row - tests
    assert (data.split.dtype, data.split.tolist()) == (np.int8, [0] * trains + [2] * tests)
    ids = [f"train-{i:05d}" for i in range(1, trains + 1)] + [f"test-{i:05d}" for i in range(1, tests + 1)]
    assert list(data.ids) == ids
    assert data.images.name(0) == "train-00001"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [True, False])
def test_every_form_gives_the_same_images_packed_and_unpacked(
    tmp_path: Path, form: str, packed: bool
) -> None:
    folder, files = FORMS[form]
    path = archive(tmp_path, form) if packed else write_folder(tmp_path / folder, files())
    data = pickle.loads(pickle.dumps(open_dataset(str(path))))
    if form.startswith("cifar-100"):
        check_is(data, "CIFAR-100", CIFAR100, CIFAR100_NAMES)
    else:
        check_is(data, "CIFAR-10", CIFAR10, CIFAR10_NAMES)


def test_pickles_of_python_3_are_read_too(tmp_path: Path) -> None:
    path = write_archive(
        tmp_path / "cifar-10-python.tgz", "./cifar-10-batches-py", cifar10_python(python3_pickle)
    )
    check_is(open_dataset(str(path)), "CIFAR-10", CIFAR10, CIFAR10_NAMES)
    path = write_folder(tmp_path / "some", cifar100_python(python3_pickle))
    check_is(open_dataset(str(path)), "CIFAR-100", CIFAR100, CIFAR100_NAMES)


def test_a_validation_split_is_cut_from_train_alone(tmp_path: Path) -> None:
    data = open_dataset(str(archive(tmp_path)))
    splits = split_dataset(data, (0.5, 0.5, 0.0))
    assert splits.test.tolist() == [11, 12, 13, 14]
    assert len(splits.val)
    assert sorted([*splits.train.tolist(), *splits.val.tolist()]) == list(range(11))


def test_what_was_found_is_said(tmp_path: Path) -> None:
    path = archive(tmp_path, "cifar-100-binary")
    notes = open_dataset(str(path)).notes
    assert notes[0] == f"12 images of {path}, 32×32 colour"
    assert "splits of the authors: train 7, val 0, test 5 images" in notes
    assert "the class is the fine label; the 20 superclasses are not read" in notes
    size = path.stat().st_size
    assert (
        f"cifar-100-binary.tar.gz is not the published archive ({size} bytes, not 168513733): read as it is"
        in notes
    )


def test_an_archive_of_the_published_size_must_have_the_published_checksum(tmp_path: Path) -> None:
    path = archive(tmp_path)
    data = path.read_bytes()
    same = replace(cifar._CIFAR10[0], size=len(data), md5=hashlib.md5(data).hexdigest())
    assert cifar._check_archive(path, same) == ()
    with pytest.raises(InputError, match=r"is damaged \(MD5 .*, expected c58f30108f718f92721af3b95e74349a\)"):
        cifar._check_archive(path, replace(cifar._CIFAR10[0], size=len(data)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_an_archive_cut_short_is_refused(tmp_path: Path, form: str, kept: float) -> None:
    path = archive(tmp_path, form)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    message = refused(path)
    assert "is damaged" in message or "is not there; expected" in message
    assert "https://www.cs.toronto.edu/~kriz/cifar.html" in message


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_text("<html>404 Not Found</html>")
    assert "is damaged (Not a gzipped file" in refused(path)
    files = cifar10_python()
    assert "batches.meta, data_batch_1, data_batch_2" in refused(write_archive(path, "elsewhere", files))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "data_batch_3 is not there; expected data_batch_1," in refused(
        archive(tmp_path, data_batch_3=None)
    )
    files = cifar10_binary()
    del files["test_batch.bin"]
    path = write_folder(tmp_path / "cifar-10-batches-bin", files)
    assert "test_batch.bin is not there" in refused(path)
    assert "(all in cifar-10-binary.tar.gz" in refused(path)


class Runs:
    """A pickle that runs a command when it is opened without care."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("file", ["data_batch_2", "test_batch", "batches.meta"])
def test_a_pickle_that_would_run_something_is_refused_and_not_run(tmp_path: Path, file: str) -> None:
    evil = pickle.dumps({b"data": Runs(f"touch {tmp_path}/ran"), b"labels": [1]}, protocol=2)
    message = refused(archive(tmp_path, **{file: evil}))
    assert f"{file}: names 'posix.system', which plain data do not need; nothing in it was run" in message
    assert not (tmp_path / "ran").exists()


def batch(**changed: Any) -> bytes:
    content = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], **changed}
    return python2_pickle({key.encode(): value for key, value in content.items()})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (batch(labels=[0, 10]), "data_batch_2, image 2: expected a class from 0 to 9, got 10"),
        (batch(labels=[0, -1]), "expected a list of numbers from 0 to 255 under 'labels'"),
        (batch(labels=[0, 2**20]), "expected a list of numbers from 0 to 255 under 'labels'"),
        (batch(labels=[0, b"1"]), "expected a list of numbers from 0 to 255 under 'labels'"),
        (batch(labels=None), "expected a list of numbers from 0 to 255 under 'labels'"),
        (batch(labels=[1]), "data: expected 1 × 3072 values beside the labels, got 2 × 3072"),
        (
            batch(data=np.zeros((2, 3071), np.uint8)),
            "expected 2 × 3072 values beside the labels, got 2 × 3071",
        ),
        (batch(data=None), "data_batch_2, data: expected an array of bytes (uint8)"),
        (python2_pickle([1, 2]), "data_batch_2: expected a dictionary, got list"),
        (batch()[:-50], "data_batch_2: is damaged ("),
        (b"", "data_batch_2: is damaged (EOFError)"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refused(archive(tmp_path, data_batch_2=content))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({b"label_names": [b"cat", b"cat"]}, "expected the distinct names of at least two classes"),
        ({b"label_names": [b"cat"]}, "expected the distinct names of at least two classes"),
        ({b"names": [b"cat", b"dog"]}, "expected a list of names under 'label_names'"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(tmp_path: Path, names: Any, message: str) -> None:
    path = archive(tmp_path, **{"batches.meta": python2_pickle(names)})
    assert f"batches.meta: {message}" in refused(path)


def test_records_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for content in (b"", bytes(3072), bytes(2 * 3073 - 1)):
        path = archive(tmp_path, "cifar-10-binary", **{"data_batch_1.bin": content})
        assert f"expected records of 3073 bytes, got {len(content)} bytes" in refused(path)
    path = archive(tmp_path, "cifar-100-binary", **{"test.bin": bytes([0, 100]) + bytes(3072)})
    assert "test.bin, image 1: expected a class from 0 to 99, got 100" in refused(path)


def test_a_file_larger_than_any_published_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar, "_MOST_IN_FILE", 7000)
    assert "data_batch_1.bin: has 9219 bytes, more than the 7000" in refused(
        archive(tmp_path, "cifar-10-binary", **{"test_batch.bin": None})
    )
    path = write_folder(tmp_path / "cifar-10-batches-bin", cifar10_binary())
    assert "data_batch_1.bin: has 9219 bytes, more than the 7000" in refused(path)


def test_class_folders_are_never_taken_for_cifar(tmp_path: Path) -> None:
    for name in ("train", "test", "meta", "data_batch_1", "test_batch", "batches.meta"):
        (tmp_path / "sets" / name).mkdir(parents=True)
    (tmp_path / "sets" / "meta").rmdir()
    (tmp_path / "sets" / "meta").write_text("a note beside class folders")
    for layout in (CIFAR10_LAYOUT, CIFAR100_LAYOUT):
        assert not layout.recognises(tmp_path / "sets")
        assert not layout.recognises(tmp_path / "nowhere")
    assert not CIFAR10_LAYOUT.recognises(tmp_path / "cifar-100-python.tar.gz")
    with pytest.raises(InputError, match=r"sets: is no archive or folder of CIFAR-10; get it from https"):
        CIFAR10_LAYOUT.load(tmp_path / "sets")


def test_another_archive_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "photos.tar.gz").write_bytes(b"")
    assert "expected a folder, a .zip or .tar archive" in refused(tmp_path / "photos.tar.gz")


def test_flags_of_manifests_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path)
    with pytest.raises(InputError, match=r"--split-column chooses .*, but it is CIFAR-10; leave it out"):
        open_dataset(str(path), ColumnChoice(split="split"))
