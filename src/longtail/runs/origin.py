"""origin.json: what a training began with, so that it goes on with the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from longtail.data.dataset import Dataset, Tags
from longtail.data.marks import content_mark
from longtail.documents import Form, Part
from longtail.errors import InputError
from longtail.runs.folder import RunFolder
from longtail.words import listed


class Origin(Part, frozen=True):
    """Checksums (SHA-256) of what must not change while a training is stopped.

    Attributes:
        config: of config.json.
        splits: of splits.json.
        images: how many there are.
        ids: of the names of the images, in their order.
        labels: of attributes, classes and labels.
        tags: of groups, splits, identities, domains and matches.
        content: of the images, see `longtail.data.marks`.
        changes: what had changed where the training went on all the same.
    """

    config: str
    splits: str
    images: int
    ids: str
    labels: str
    tags: str
    content: str
    changes: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: RunFolder, dataset: Dataset, changes: tuple[str, ...] = ()) -> Origin:
        """Of a run's folder as it is, and of its data."""
        store = dataset.images
        marks = np.fromiter((content_mark(store, row) for row in range(len(store))), np.uint32, len(store))
        return cls(
            config=_of_file(folder.config),
            splits=_of_file(folder.splits),
            images=len(dataset),
            ids=_digest(f"{name}\n".encode("utf-8", "surrogateescape") for name in dataset.ids),
            labels=_digest((repr(dataset.schema).encode(), dataset.labels.tobytes())),
            tags=_digest(_tags(dataset)),
            content=_digest((marks.tobytes(),)),
            changes=changes,
        )

    def same_images(self, other: Origin) -> bool:
        """Whether rows of the one are rows of the other."""
        return self.ids == other.ids

    def differences(self, now: Origin) -> list[str]:
        """What is no longer as it was, in words."""
        found = [f"{name}.json" for name in ("config", "splits") if getattr(self, name) != getattr(now, name)]
        if not self.same_images(now):
            number = (
                f"{now.images}, were {self.images}" if now.images != self.images else "renamed or reordered"
            )
            return [*found, f"the images ({number})"]
        parts = {"labels": "labels or classes", "tags": "groups or tags", "content": "the content of images"}
        return [*found, *(text for name, text in parts.items() if getattr(self, name) != getattr(now, name))]


ORIGIN = Form(
    Origin, "checksums of a run", "the origin.json of an unfinished run", "start again with --overwrite", 2
)


def check_origin(folder: RunFolder, dataset: Dataset, allowed: bool) -> tuple[Origin, list[str], bool]:
    """What a resumed training goes on with, sentences on it, and whether its rows are those of before.

    Raises:
        InputError: when something has changed, and that is not `allowed`.
    """
    if not folder.origin.exists():
        note = (
            f"{folder.origin} is missing: the data are not compared with those that the training began with"
        )
        return Origin.of(folder, dataset), [note], True
    before = ORIGIN.read(folder.origin)
    now = Origin.of(folder, dataset, before.changes)
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


def _tags(dataset: Dataset) -> Iterator[bytes]:
    for part in (dataset.groups, dataset.split, dataset.identities, dataset.domains, dataset.matches):
        if isinstance(part, Tags):
            yield repr(part.names).encode("utf-8", "surrogateescape")
            yield part.codes.tobytes()
        else:
            yield b"none" if part is None else part.tobytes()


def _of_file(path: Path) -> str:
    try:
        return _digest((path.read_bytes(),))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected that of the run") from None


def _digest(parts: Iterable[bytes]) -> str:
    found = sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
