"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32×32, as the authors' archives or unpacked.

A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, 2009.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from longtail.data.classes import describe_attributes, describe_split
from longtail.data.dataset import SPLITS, Dataset
from longtail.data.names import Names
from longtail.data.published.cifar_batches import (
    SIDE,
    Batch,
    as_images,
    from_pickle,
    from_records,
    names_from_pickle,
    names_from_text,
)
from longtail.data.published.layouts import Layout
from longtail.data.published.tarball import check_size, read_members
from longtail.data.stores import ArrayStore
from longtail.errors import InputError
from longtail.schema import LabelSchema
from longtail.words import count, joined

SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"

_MOST_IN_FILE = 256 * 2**20  # the largest published file has 155 million bytes
_MOST_IN_ARCHIVE = 512 * 2**20  # the published ones hold at most 187 million


@dataclass(frozen=True)
class _Release:
    """One form in which a set is published.

    Attributes:
        archive: how its name begins; it ends in .tar.gz.
        size, md5: bytes and checksum of the archive.
        folder: where its files lie in it.
        train, test, names: files of the training images in order, of the test images, of the class names.
        read_batch, read_names: content of a file and its name to images and classes, or to class names.
    """

    archive: str
    size: int
    md5: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    read_batch: Callable[[bytes, str], Batch]
    read_names: Callable[[bytes, str], list[str]]

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.names)


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_CIFAR10 = (
    _Release(
        "cifar-10-python",
        170_498_071,
        "c58f30108f718f92721af3b95e74349a",
        "cifar-10-batches-py",
        _BATCHES,
        "test_batch",
        "batches.meta",
        partial(from_pickle, key="labels"),
        partial(names_from_pickle, key="label_names"),
    ),
    _Release(
        "cifar-10-binary",
        170_052_171,
        "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-batches-bin",
        tuple(f"{batch}.bin" for batch in _BATCHES),
        "test_batch.bin",
        "batches.meta.txt",
        partial(from_records, label_bytes=1),
        names_from_text,
    ),
)
_CIFAR100 = (
    _Release(
        "cifar-100-python",
        169_001_437,
        "eb9058c3a382ffc7106e4002c42a8d85",
        "cifar-100-python",
        ("train",),
        "test",
        "meta",
        partial(from_pickle, key="fine_labels"),
        partial(names_from_pickle, key="fine_label_names"),
    ),
    _Release(
        "cifar-100-binary",
        168_513_733,
        "03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-binary",
        ("train.bin",),
        "test.bin",
        "fine_label_names.txt",
        partial(from_records, label_bytes=2),
        names_from_text,
    ),
)


def _release_at(releases: tuple[_Release, ...], path: Path) -> _Release | None:
    with suppress(OSError):
        return next((release for release in releases if _is_release(release, path)), None)
    return None


def _is_release(release: _Release, path: Path) -> bool:
    if path.is_dir():
        batches = (release.train[0], release.test)
        return (path / release.names).is_file() and any((path / batch).is_file() for batch in batches)
    return path.name.startswith(release.archive) and path.name.endswith((".tar.gz", ".tgz"))


def _load(path: Path, name: str, releases: tuple[_Release, ...], more: tuple[str, ...]) -> Dataset:
    """The images in the order of the files, training first; pixels in memory, 184 MB for all 60,000."""
    release = _release_at(releases, path)
    if release is None:
        raise InputError(f"{path}: is no archive or folder of {name}; get it from {SOURCE}")
    notes = () if path.is_dir() else _check_archive(path, release)
    batches, classes = _read_files(path, release)
    images = np.concatenate([as_images(pixels) for pixels, _ in batches])
    labels = np.concatenate([codes for _, codes in batches])[:, None]
    tests = len(batches[-1][1])
    sizes = {"train": len(labels) - tests, "test": tests}
    split = np.repeat(np.array([SPLITS.index(which) for which in sizes], np.int8), list(sizes.values()))
    names = Names(f"{which}-{i:05d}" for which, size in sizes.items() for i in range(1, size + 1))
    schema = LabelSchema.single("class", classes)
    return Dataset(
        name=name,
        schema=schema,
        labels=labels,
        ids=names,
        images=ArrayStore(images, names),
        split=split,
        notes=(
            f"{count(len(labels), 'image')} of {path}, {SIDE}×{SIDE} colour",
            *describe_attributes(schema, labels),
            *describe_split("of the authors", split),
            *more,
            *notes,
        ),
    )


def _read_files(path: Path, release: _Release) -> tuple[list[Batch], list[str]]:
    """The batches in the release's order, the test last, and the class names."""
    batches: dict[str, Batch] = {}
    classes: list[str] = []
    for file, data in _contents(path, release):
        if file == release.names:
            classes = release.read_names(data, f"{path}/{file}")
        else:
            batches[file] = release.read_batch(data, f"{path}/{file}")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise InputError(
            f"{path}/{release.names}: expected the distinct names of at least two classes; download it again"
        )
    for file, (_, labels) in batches.items():
        wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
        if len(wrong):
            raise InputError(
                f"{path}/{file}, image {wrong[0] + 1}: expected a class from 0 to {len(classes) - 1}, got"
                f" {labels[wrong[0]]}; download it again"
            )
    return [batches[file] for file in (*release.train, release.test)], classes


def _contents(path: Path, release: _Release) -> Iterator[tuple[str, bytes]]:
    """Each file of the release and its content; none may be missing."""
    read = _from_folder if path.is_dir() else _from_archive
    missing = set(release.files)
    for file, data in read(path, release):
        missing.discard(file)
        yield file, data
    if missing:
        raise InputError(
            f"{path}: {joined(sorted(missing))} is not there; expected {joined(release.files)}"
            f" (all in {release.archive}.tar.gz, from {SOURCE})"
        )


def _from_folder(path: Path, release: _Release) -> Iterator[tuple[str, bytes]]:
    for file in release.files:
        if (path / file).is_file():
            check_size(f"{path}/{file}", (path / file).stat().st_size, _MOST_IN_FILE, SOURCE)
            yield file, (path / file).read_bytes()


def _from_archive(path: Path, release: _Release) -> Iterator[tuple[str, bytes]]:
    wanted = {f"{release.folder}/{file}": file for file in release.files}
    members = read_members(path, wanted, largest=_MOST_IN_FILE, in_all=_MOST_IN_ARCHIVE, source=SOURCE)
    return ((wanted[name], data) for name, data in members)


def _check_archive(path: Path, release: _Release) -> tuple[str, ...]:
    """Refuse a damaged copy of the published archive; say when it is another one."""
    size = path.stat().st_size
    if size != release.size:
        return (
            f"{path.name} is not the published archive ({size} bytes, not {release.size}): read as it is",
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != release.md5:
        raise InputError(
            f"{path}: is damaged (MD5 {found}, expected {release.md5}); download it again from {SOURCE}"
        )
    return ()


def _layout(name: str, labels: str, releases: tuple[_Release, ...], notes: tuple[str, ...] = ()) -> Layout:
    return Layout(
        name=name,
        size="60,000 colour images of 32×32; train 50,000, test 10,000",
        labels=labels,
        licence="none stated; taken from the 80 Million Tiny Images, which are withdrawn",
        source=SOURCE,
        expected=tuple(f"{release.archive}.tar.gz, or unpacked {release.folder}/" for release in releases),
        recognises=lambda path: _release_at(releases, path) is not None,
        load=lambda path: _load(path, name, releases, notes),
    )


CIFAR10 = _layout("CIFAR-10", "10 classes, balanced", _CIFAR10)
"""The python and the binary version give the same images in the same order."""

CIFAR100 = _layout(
    "CIFAR-100",
    "100 classes, balanced",
    _CIFAR100,
    ("the class is the fine label; the 20 superclasses are not read",),
)
"""The fine labels."""
