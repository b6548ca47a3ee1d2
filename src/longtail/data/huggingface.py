"""Image data sets of the Hugging Face library `datasets`: its hub's, downloaded, or saved with save_to_disk.

The library is an extra (pip install 'longtail[huggingface]') and imported only here, when asked for.
"""

from __future__ import annotations

import importlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from longtail.data.annotations import holds
from longtail.data.classes import SPLIT_NAMES
from longtail.data.dataset import SPLITS, Dataset
from longtail.data.listing import Listing
from longtail.data.names import Names
from longtail.data.stores import read_file
from longtail.data.tables.manifest import open_manifest
from longtail.data.tables.roles import ColumnChoice
from longtail.data.tables.table import Column, Table
from longtail.errors import InputError, first_line
from longtail.files import place_of
from longtail.schema import UNLABELLED, Attribute, LabelSchema
from longtail.words import did_you_mean, joined

PREFIX = "hf:"
"""What a source on the hub starts with: hf:NAME, or hf:NAME:CONFIG."""

_SPLIT_COLUMN = "split"
_SHARD = re.compile(r".*\d{5}-of-\d{5}.*\.parquet", re.DOTALL)


class HuggingFaceStore:
    """Images in the tables of `datasets`, as the bytes that were encoded.

    The tables are memory-mapped: a worker process gets their paths, not their content.

    Args:
        parts: one table per split, each with the image column alone, not decoded.
        column: its name.
        names: N names of all rows, for messages.
    """

    def __init__(self, parts: Sequence[Any], column: str, names: Names) -> None:
        self.parts = parts
        self.column = column
        self.names = names
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Split and row of the image, for instance train-0000012."""
        return self.names[index]

    def read(self, index: int) -> bytes:
        """The encoded image.

        Raises:
            OSError: when the row has no image, or names a file that is missing or unreadable.
        """
        part = int(np.searchsorted(self._ends, index, side="right"))
        image = self.parts[part][index - int(self._ends[part])][self.column] or {}
        if image.get("bytes") is not None:
            return image["bytes"]
        if image.get("path") is None:
            raise OSError(f"{self.name(index)}: has no image")
        return read_file(Path(image["path"]))


def is_huggingface(source: str) -> bool:
    """Whether a source is on the hub, was saved by the library or downloaded from the hub; never raises."""
    return source.startswith(PREFIX) or _is_saved(place_of(source)) or _has_shards(source)


def _is_saved(root: Path) -> bool:
    return holds(root, "dataset_dict.json") or holds(root, "dataset_info.json", "state.json")


def _has_shards(source: str) -> bool:
    """Whether a folder, or data/ in it, holds files as the hub names them: train-00000-of-00002.parquet."""
    root = place_of(source)
    return any(
        _SHARD.fullmatch(file.name) for place in (root, root / "data") for file in place.glob("*.parquet")
    )


def open_huggingface(source: str, choice: ColumnChoice) -> Dataset:
    """A data set of the library `datasets`.

    The image column is the one of type Image. Attributes are the columns of type ClassLabel, with all
    their classes in their order; without any, the columns of text or numbers that a manifest would
    take, see `longtail.data.tables.manifest`. Splits called train, validation (or val, valid) and test are
    kept, others left out; a single split of any other name is divided anew.

    Args:
        source: hf:NAME, hf:NAME:CONFIG, a folder that save_to_disk wrote, or one downloaded from the hub.
        choice: what the user said about the columns.

    Raises:
        InputError: when the library is not installed, the data set cannot be had, or its columns or
            splits do not fit; see also `open_manifest`.
    """
    datasets = _library(source)
    parts, notes = _parts(source, _loaded(source, datasets))
    features: Mapping[str, Any] = parts[0][1].features
    image = _image_column(source, features, choice, datasets)
    names = [f"{split or 'row'}-{row:07d}" for split, part in parts for row in range(len(part))]
    classes = {name: tuple(f.names) for name, f in features.items() if isinstance(f, datasets.ClassLabel)}
    table = _table(source, parts, image, names, classes, choice, datasets)
    chosen = choice.attributes or tuple(name for name in classes if len(table.columns[name].filled) > 1)
    found = Listing(Path(source), names, [], Counter())
    split = choice.split or (_SPLIT_COLUMN if parts[0][0] else None)
    known = replace(choice, image=image, attributes=chosen, split=split)
    data = open_manifest(table, found, known, False, _name(source))
    # The manifest has every row, in order: its images are those of the store.
    plain = datasets.Image(decode=False)
    encoded = [part.select_columns([image]).cast_column(image, plain) for _, part in parts]
    store = HuggingFaceStore(encoded, image, Names(names))
    return replace(_in_order(data, classes), images=store, notes=(*data.notes, *notes))


def _library(source: str) -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise InputError(
            f"{source}: reading Hugging Face data sets needs their library;"
            " pip install 'longtail[huggingface]'"
        ) from None


def _loaded(source: str, datasets: Any) -> Any:
    try:
        if not source.startswith(PREFIX):
            root = place_of(source)
            return (datasets.load_from_disk if _is_saved(root) else datasets.load_dataset)(os.fspath(root))
        name, _, config = source.removeprefix(PREFIX).partition(":")
        return datasets.load_dataset(name, config or None)
    # The library raises errors of five others, which would all have to be named and imported here.
    except Exception as error:
        raise InputError(
            f"{source}: cannot be opened ({first_line(error)}); check its name (hf:NAME, hf:NAME:CONFIG)"
            " and the connection, or give a folder written with save_to_disk"
        ) from error


def _parts(source: str, loaded: Any) -> tuple[list[tuple[str, Any]], list[str]]:
    """The tables with their splits ('' = none), and notes on those left out."""
    if not isinstance(loaded, dict):
        return [("", loaded)], []
    splits = {name: SPLITS[SPLIT_NAMES[name.lower()]] for name in loaded if name.lower() in SPLIT_NAMES}
    if not splits and len(loaded) == 1:
        return [("", part) for part in loaded.values()], []
    if not splits or len(set(splits.values())) < len(splits):
        raise InputError(
            f"{source}: has splits {joined(map(str, loaded))}; expected train, and perhaps validation and"
            f" test, each once, called one of {joined(SPLIT_NAMES)}"
        )
    parts = [(split, loaded[name]) for name, split in splits.items()]
    if any(part.features != parts[0][1].features for _, part in parts):
        raise InputError(f"{source}: its splits differ in their columns; save them with the same ones")
    left = [name for name in loaded if name not in splits]
    return parts, [f"splits left out: {joined(left)}"] if left else []


def _image_column(source: str, features: Mapping[str, Any], choice: ColumnChoice, datasets: Any) -> str:
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if choice.image is not None and choice.image not in images:
        raise InputError(
            f"{source}: --image-column names {choice.image!r}, which is no column of images; those are"
            f" {joined(images) or 'none'}.{did_you_mean(choice.image, images)}"
        )
    if choice.image is None and len(images) != 1:
        raise InputError(
            f"{source}: expected one column of type Image, found {joined(images) or 'none'} among"
            f" {joined(features)}; choose one with --image-column"
        )
    return choice.image or images[0]


def _table(
    source: str,
    parts: Sequence[tuple[str, Any]],
    image: str,
    names: list[str],
    classes: Mapping[str, Sequence[str]],
    choice: ColumnChoice,
    datasets: Any,
) -> Table:
    """The columns of one value per row as a manifest, with the image's name and the split beside them."""
    features: Mapping[str, Any] = parts[0][1].features
    plain = [name for name, f in features.items() if name in classes or isinstance(f, datasets.Value)]
    columns = {image: Column(names, np.arange(len(names), dtype=np.int32))}
    for name in plain:
        values = [value for _, part in parts for value in part.select_columns([name])[:][name]]
        columns[name] = _column(values, classes.get(name))
    if choice.split is None and parts[0][0]:
        columns[_SPLIT_COLUMN] = Column.of(split for split, part in parts for _ in range(len(part)))
    return Table(source, columns, None)


def _column(values: Sequence[Any], classes: Sequence[str] | None) -> Column:
    """The texts of these values; no value, or class -1, is an empty cell."""
    if classes is None:
        return Column.of("" if value is None else str(value) for value in values)
    names = {None: "", UNLABELLED: "", **dict(enumerate(classes))}
    return Column.of(names[value] for value in values)


def _in_order(data: Dataset, classes: Mapping[str, tuple[str, ...]]) -> Dataset:
    """With all classes of the ClassLabel columns in the order of their numbers there."""
    attributes = [Attribute(a.name, classes.get(a.name, a.classes)) for a in data.schema.attributes]
    labels = np.empty_like(data.labels)
    for j, (old, new) in enumerate(zip(data.schema.attributes, attributes)):
        place = np.array([*map(new.classes.index, old.classes), UNLABELLED])  # the last one for label -1
        labels[:, j] = place[data.labels[:, j]]
    return replace(data, schema=LabelSchema(tuple(attributes)), labels=labels)


def _name(source: str) -> str:
    """The last part of the name on the hub, or of the folder's path."""
    if source.startswith(PREFIX):
        return source.removeprefix(PREFIX).partition(":")[0].rpartition("/")[2]
    return place_of(source).resolve().name
