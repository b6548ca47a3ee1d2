"""origin.json: what a training began with, so that it goes on, and is compared, with the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np
from msgspec.structs import asdict, replace

from longtail.data.dataset import Dataset, Tags
from longtail.data.marks import content_mark
from longtail.documents import Form, Part
from longtail.errors import InputError
from longtail.runs.folder import RunFolder
from longtail.threads import each
from longtail.words import listed


class DataMarks(Part, frozen=True, kw_only=True):
    """Checksums (SHA-256) of the data of a training.

    Attributes:
        images: how many there are.
        ids: of the names of the images, in their order.
        labels: of attributes, classes and labels.
        tags: of groups, splits, identities, domains and matches.
        content: of the images, see `longtail.data.marks`.
    """

    images: int
    ids: str
    labels: str
    tags: str
    content: str

    @classmethod
    def of(cls, dataset: Dataset) -> DataMarks:
        """Of a data set as it is."""
        store = dataset.images
        marks = np.fromiter(each(partial(content_mark, store), len(store)), np.uint32, len(store))
        return DataMarks(
            images=len(dataset),
            ids=_of_ids(dataset),
            labels=_of_labels(dataset),
            tags=_digest(_tags(dataset)),
            content=_digest((marks.tobytes(),)),
        )

    def same_images(self, other: DataMarks) -> bool:
        """Whether rows of the one are rows of the other."""
        return self.ids == other.ids

    def changes_to(self, now: DataMarks) -> list[str]:
        """What is no longer as it was, in words."""
        if not self.same_images(now):
            number = f"{now.images:,}, were {self.images:,}"
            return [f"the images ({number if now.images != self.images else 'renamed or reordered'})"]
        parts = {"labels": "labels or classes", "tags": "groups or tags", "content": "the content of images"}
        return [text for name, text in parts.items() if getattr(self, name) != getattr(now, name)]


class Origin(DataMarks, frozen=True, kw_only=True):
    """Checksums of all that must not change while a training is stopped.

    Attributes:
        config: of config.json.
        splits: of splits.json.
        start: of the model that a second stage went on from; '' of others.
        changes: what had changed where the training went on all the same.
    """

    config: str
    splits: str
    start: str = ""
    changes: tuple[str, ...] = ()

    @classmethod
    def begun(cls, folder: RunFolder, dataset: Dataset, start: str | None = None) -> Origin:
        """Of a run's folder as it is, of its data, and of the run that it goes on from."""
        return cls(
            config=_of_file(folder.config),
            splits=_of_file(folder.splits),
            start="" if start is None else start_mark(start),
            **asdict(DataMarks.of(dataset)),
        )

    def differences(self, now: Origin) -> list[str]:
        """What is no longer as it was, in words."""
        found = [f"{name}.json" for name in ("config", "splits") if getattr(self, name) != getattr(now, name)]
        return [*found, *self.changes_to(now)]


def start_mark(run: str) -> str:
    """The checksum of a run's model, for `Origin.start`."""
    return _of_file(RunFolder(Path(run)).model)


ORIGIN = Form(Origin, "checksums of a run", "the origin.json of a run", "start again with --overwrite", 2)


def check_origin(folder: RunFolder, dataset: Dataset, allowed: bool) -> tuple[Origin, list[str], bool]:
    """What a resumed training goes on with, sentences on it, and whether its rows are those of before.

    Raises:
        InputError: when something has changed, and that is not `allowed`.
    """
    if not folder.origin.exists():
        note = (
            f"{folder.origin} is missing: the data are not compared with those that the training began with"
        )
        return Origin.begun(folder, dataset), [note], True
    before = ORIGIN.read(folder.origin)
    now = replace(Origin.begun(folder, dataset), start=before.start, changes=before.changes)
    changed = before.differences(now)
    if not changed:
        return now, [], True
    what = f"{listed(changed)} changed since the training began"
    if not allowed:
        raise InputError(
            f"--resume {folder.path}: {what}; put that back, start again with --overwrite, or go on all the "
            "same with --allow-changed-data"
        )
    now = replace(now, changes=(*before.changes, what))
    return now, [f"{what}: the training goes on all the same (--allow-changed-data)"], before.same_images(now)


def relabelled(folder: RunFolder, dataset: Dataset) -> bool:
    """Whether the images of a run have other labels than at its beginning; not where nothing tells."""
    try:
        before = ORIGIN.read(folder.origin)
    except InputError:  # not there, or damaged: a finished run needs it for nothing else
        return False
    return before.ids == _of_ids(dataset) and before.labels != _of_labels(dataset)


def _of_ids(dataset: Dataset) -> str:
    return _digest(f"{name}\n".encode("utf-8", "surrogateescape") for name in dataset.ids)


def _of_labels(dataset: Dataset) -> str:
    return _digest((repr(dataset.schema).encode(), dataset.labels.tobytes()))


def _tags(dataset: Dataset) -> Iterator[bytes]:
    for part in (dataset.groups, dataset.split, dataset.identities, dataset.domains, dataset.matches):
        if isinstance(part, Tags):
            yield repr(part.names).encode("utf-8", "surrogateescape")
            yield part.codes.tobytes()
        else:
            yield b"none" if part is None else part.tobytes()


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected that of the run") from None


def _digest(parts: Iterable[bytes]) -> str:
    found = sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
