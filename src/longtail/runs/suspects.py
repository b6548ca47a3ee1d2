"""Suspect labels of a data set: from its images to a page and a table in a folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from longtail.data.builtin import BUILTIN
from longtail.data.dataset import Dataset
from longtail.data.huggingface import is_huggingface
from longtail.data.listing import MANIFEST_SUFFIXES, TAR_SUFFIX, suffix
from longtail.data.patterns import shards_of
from longtail.data.tables.lists import LIST_SUFFIX
from longtail.diagnosing.image_check import DuplicateSet
from longtail.diagnosing.label_page import render_labels
from longtail.diagnosing.label_table import write_label_table
from longtail.diagnosing.labels import LabelCheck, check_labels
from longtail.errors import InputError
from longtail.files import write_text
from longtail.runs.embedding import embed, expect_weights
from longtail.settings import MOST_BITS
from longtail.training.watcher import Watcher

FLAG = "--labels"


@dataclass(frozen=True)
class LabelFolder:
    """Where suspect labels are written.

    Attributes:
        path: of the folder; it is made if it is not there.
    """

    path: Path

    @property
    def page(self) -> Path:
        """For people."""
        return self.path / "labels.html"

    @property
    def table(self) -> Path:
        """For people to edit, and for `longtail train` to read."""
        return self.path / "labels.csv"

    def expect_room(self, data: str) -> None:
        """Look at the place before the work is done.

        Raises:
            InputError: when the network is not installed, the path is no folder or that of the data, or one
                of the files is there, which a person may have edited.
        """
        expect_weights(FLAG)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{FLAG} {self.path}: expected a folder, got a file; name another place")
        if self.path.exists() and Path(data).exists() and self.path.samefile(data):
            raise InputError(
                f"{FLAG} {self.path}: holds the data, whose labels a labels.csv there would replace; name"
                " another folder"
            )
        for file in (self.table, self.page):
            if file.exists():
                raise InputError(
                    f"{FLAG} {self.path}: {file.name} is there, and may have been edited; name another"
                    " folder, or move it away"
                )

    def read_again(self, data: str, images: str | None) -> str:
        """The command that trains on the table once it is edited; empty where the images are no plain files.

        Args:
            data: what the table was made of.
            images: where its images are, if that was said.
        """
        path = Path(data)
        apart = data in BUILTIN or is_huggingface(data) or shards_of(data) or suffix(data) == TAR_SUFFIX
        if apart or not (path.exists() or images):
            return ""
        listed = suffix(data) in (*MANIFEST_SUFFIXES, LIST_SUFFIX)
        place = images or (str(path.parent) if listed else data)
        return shlex.join(["longtail", "train", str(self.table), "--images", place])

    def write(
        self, dataset: Dataset, check: LabelCheck, origin: Mapping[str, str], bits: int = MOST_BITS
    ) -> None:
        """Write the table and the page, which names the `origin`: what commands were and are to be used.

        Raises:
            InputError: when they cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{FLAG} {self.path}: cannot be made ({error.strerror}); name another place"
            ) from None
        write_label_table(self.table, dataset, check)
        write_text(self.page, render_labels(dataset, check, origin, bits))


def find_suspects(
    dataset: Dataset, duplicates: Sequence[DuplicateSet], watcher: Watcher, bits: int = MOST_BITS
) -> LabelCheck:
    """Judge all labels of a data set by the vectors of its images.

    Args:
        dataset: as found; nothing in it is changed.
        duplicates: sets of identical images.
        watcher: hears how far it is.
        bits: that the values of images of 16 bits use.

    Raises:
        InputError: when no image can be read, or the network is not installed.
    """
    expect_weights(FLAG)
    found = embed(dataset, watcher, bits)
    wanted = {name for same in duplicates for name in same.ids}
    place = {name: row for row, name in enumerate(dataset.ids) if name in wanted}
    identical = [[place[name] for name in same.ids] for same in duplicates]
    return check_labels(found.vectors, found.rows, dataset, identical, on_progress=watcher.progress)
