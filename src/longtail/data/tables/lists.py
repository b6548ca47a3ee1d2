"""Lists of images as ImageNet-LT and Places-LT publish them: a path and a class in every line, no header."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import numpy as np

from longtail.data.annotations import read_rows
from longtail.data.dataset import SPLITS
from longtail.data.tables.roles import ColumnChoice
from longtail.data.tables.table import Column, Table
from longtail.words import joined

LIST_SUFFIX = "txt"
"""Ending of lists, in lower case."""

LIST_COLUMNS = ColumnChoice(image="image", attributes=("label",))
"""What the columns of lists are; the split is found by its name."""

_EXPECTED = "the path of an image and its class"


def read_lists(path: Path) -> Table:
    """A list and those beside it that are called alike but for train, val or test, as one manifest.

    Raises:
        InputError: when a list cannot be read, or a line holds one word only.
    """
    lists = _siblings(path) or {"": path}
    rows = {split: read_rows(file, str(path.parent)) for split, file in lists.items()}
    pairs = [found.pairs(_EXPECTED) for found in rows.values()]
    columns = {
        "image": Column.of(chain.from_iterable(images for images, _ in pairs)),
        "label": Column.of(chain.from_iterable(labels for _, labels in pairs)),
    }
    if "" not in rows:
        columns["split"] = Column.of(split for split, found in rows.items() for _ in range(len(found)))
    notes = [f"lists read: {joined(file.name for file in lists.values())}"] if len(lists) > 1 else []
    # with several files, rows are counted through all of them
    lines = np.arange(1, len(columns["image"].codes) + 1) if len(lists) == 1 else None
    return Table(joined(map(str, lists.values())), columns, lines, tuple(notes))


def _siblings(path: Path) -> dict[str, Path]:
    """The lists of the splits, where the file's own name tells one."""
    own = re.fullmatch(rf"(|.*?[^a-z])({'|'.join(SPLITS)})([^a-z].*)", path.name, re.IGNORECASE)
    if own is None:
        return {}
    found = {split: path.with_name(own[1] + split + own[3]) for split in SPLITS}
    return {split: file for split, file in (found | {own[2].lower(): path}).items() if file.is_file()}
