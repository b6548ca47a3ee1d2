"""Tar archives as WebDataset packs them: KEY.jpg beside KEY.cls, KEY.txt or KEY.json, in some shards."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from longtail.data.classes import SPLIT_NAMES
from longtail.data.dataset import SPLITS
from longtail.data.listing import Listing, Packed, is_image, suffix
from longtail.data.tables.table import Column, Table
from longtail.data.tars import TarMembers, root_of
from longtail.errors import InputError
from longtail.words import count, joined

IMAGE, LABEL, SPLIT = "image", "label", "split"
"""Columns of the table that shards are read as; those of KEY.json are called as its fields."""

_ENDINGS = ("cls", "txt", "json")
"""What a label's file may end with; text beside a class is a caption, and no label."""

_MOST_BYTES = 2**20
"""A label's file that is larger is refused."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images of shards, and what is said of them. Their names begin with the shard, as shards may each count
    from 0.

    Attributes:
        images: those with a label.
        table: a row for each, in that order.
        chosen: columns that are recognised where nothing else is asked for; none where that is to be guessed.
    """

    images: Listing
    table: Table
    chosen: tuple[str, ...]


def read_labelled(source: str, members: TarMembers) -> Labelled | None:
    """The images that have a label of the same name, without its ending; None where none has.

    Raises:
        InputError: when two images share a label, one cannot be read, or only some shards say a split.
    """
    classes, texts, fields = (_Beside(members, ending) for ending in _ENDINGS)
    text = classes if classes.places else texts
    kept = _with_label(source, members, text.places.keys() | fields.places.keys())
    if not kept:
        return None
    root = root_of(members.paths)
    shards = [path.relative_to(root).as_posix() for path in members.paths]
    names = {key: f"{shards[members.shard[i]]}/{members.names[i]}" for key, i in kept.items()}
    keys = sorted(names, key=names.__getitem__)
    places = np.array([kept[key] for key in keys], np.int64)
    used = len(keys) + sum(key in files.places for files in (text, fields) for key in keys)
    left = f"{count(len(members.names) - used, 'file')} in the shards left out: no image with a label"
    listing = Listing(
        root=root,
        images=[names[key] for key in keys],
        manifests=[],
        others=Counter(),
        packed=Packed(members, places, places[:0]),
        notes=(left,) if used < len(members.names) else (),
    )
    columns = {IMAGE: Column.of(listing.images)}
    if text.places:
        columns[LABEL] = Column.of(_text(text, key) for key in keys)
    found, notes = _fields(fields, keys)
    split = _split(source, shards, members.shard[places])
    if split is not None and SPLIT not in found:
        columns[SPLIT] = split
    columns |= {f"json.{name}" if name in columns else name: column for name, column in found.items()}
    chosen = (LABEL,) if classes.places else ()
    if chosen and found:
        notes.append(f"fields of .json: {joined(found)}; --attributes recognises them in place of .cls")
    return Labelled(listing, Table(source, columns, None, tuple(notes)), chosen)


def _key(shard: int, name: str) -> str:
    return f"{shard}/{name.rpartition('.')[0]}"


class _Beside:
    """The small files of one ending, by shard and name without it."""

    def __init__(self, members: TarMembers, ending: str) -> None:
        files = enumerate(zip(members.shard.tolist(), members.names))
        numbers = {_key(shard, name): i for i, (shard, name) in files if suffix(name) == ending}
        self._store = members.store(np.fromiter(numbers.values(), np.int64, len(numbers)))
        self.places = {key: place for place, key in enumerate(numbers)}

    def name(self, key: str) -> str:
        """What messages call a file."""
        return self._store.name(self.places[key])

    def read(self, key: str) -> bytes:
        """Its content.

        Raises:
            InputError: when it cannot be read, or is too large for a label.
        """
        place = self.places[key]
        if self._store.size(place) > _MOST_BYTES:
            raise InputError(f"{self.name(key)}: holds {self._store.size(place)} bytes; expected a label")
        try:
            return self._store.read(place)
        except OSError as error:
            raise InputError(f"{self.name(key)}: cannot be read ({error.strerror or error})") from error


def _with_label(source: str, members: TarMembers, labelled: Set[str]) -> dict[str, int]:
    """Numbers of the images, by the same."""
    kept: dict[str, int] = {}
    for i, (shard, name) in enumerate(zip(members.shard.tolist(), members.names)):
        key = _key(shard, name) if is_image(name) else ""
        if key not in labelled:
            continue
        if kept.setdefault(key, i) != i:
            other = members.names[kept[key]]
            raise InputError(
                f"{source}: {other} and {name} of {members.paths[shard].name} share a label; keep one"
                " image of each name"
            )
    return kept


def _text(files: _Beside, key: str) -> str:
    if key not in files.places:
        return ""
    try:
        return files.read(key).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InputError(f"{files.name(key)}: is not UTF-8; expected the name or number of a class") from None


def _fields(files: _Beside, keys: Sequence[str]) -> tuple[dict[str, Column], list[str]]:
    """The fields of KEY.json as columns, and a note on those that are no text or number."""
    texts: dict[str, dict[int, str]] = {}
    nested: set[str] = set()
    for row, key in enumerate(keys):
        for field, value in (_object(files, key) if key in files.places else {}).items():
            if isinstance(value, (dict, list)):
                nested.add(field)
            elif value is not None:
                written = value if isinstance(value, str) else msgspec.json.encode(value).decode()
                texts.setdefault(field, {})[row] = written
    plain = {field: cells for field, cells in texts.items() if field not in nested}
    columns = {
        field: Column.of(cells.get(row, "") for row in range(len(keys))) for field, cells in plain.items()
    }
    notes = [f"fields of .json that hold no text or number, left out: {joined(sorted(nested))}"]
    return columns, notes if nested else []


def _object(files: _Beside, key: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(files.read(key), type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{files.name(key)}: expected a JSON object of fields ({error})") from None


def _split(source: str, shards: Sequence[str], shard: NDArray[np.int32]) -> Column | None:
    """The splits of images by the names of their shards, where these tell several apart."""
    said = [_split_of(name) for name in shards]
    if len({*said} - {None}) < 2:
        return None
    if None in said:
        raise InputError(
            f"{source}: {joined(name for name, split in zip(shards, said) if split)} look like splits, but"
            f" {shards[said.index(None)]} lies beside them; name the shards to read by a pattern, such as"
            " {train,val}-{000..009}.tar"
        )
    return Column.of(str(said[i]) for i in shard.tolist())


def _split_of(shard: str) -> str | None:
    """The split whose name is a word of a shard's path, as in train-000001.tar; else None."""
    words = re.findall("[a-z]+", shard.lower())
    found = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return SPLITS[found.pop()] if len(found) == 1 else None
