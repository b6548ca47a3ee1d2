"""CelebA: 202,599 aligned faces, 40 attributes, the identity of each, and the authors' partition.

Z. Liu, P. Luo, X. Wang, X. Tang: Deep Learning Face Attributes in the Wild. ICCV 2015.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtail.data.annotations import Rows, below_header, check_distinct, read_counted_rows, read_rows
from longtail.data.classes import describe_attributes, describe_split
from longtail.data.dataset import Dataset
from longtail.data.listing import Listing, list_source, suffix
from longtail.data.names import Names
from longtail.data.published.layouts import Layout
from longtail.errors import InputError
from longtail.schema import Attribute, LabelSchema
from longtail.words import count, first_of

SOURCE = "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

# The .csv forms hold the same rows below one header line; Kaggle distributes them.
_ATTRIBUTES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
_IDENTITIES = ("identity_CelebA.txt", "identity_CelebA.csv")
_PARTITION = ("list_eval_partition.txt", "list_eval_partition.csv")
_IMAGES = ("img_align_celeba", "img_align_celeba.zip")
_FOLDERS = ("Anno", "Eval", "Img")
_OWN = {*_ATTRIBUTES, *_IDENTITIES, *_PARTITION, *_IMAGES, *_FOLDERS, "README.txt"}

_CODE = {"-1": 0, "1": 1}
_SPLIT = {"0": 0, "1": 1, "2": 2}  # train, val, test: the order of SPLITS


@dataclass(frozen=True, eq=False)
class _List:
    """A list file: the names of N images in its order, and (N, W) int64 values, one for each column."""

    path: Path
    names: list[str]
    columns: Sequence[str]
    values: NDArray[np.int64]


def _recognises(path: Path) -> bool:
    """Whether the attribute list lies there, or the images and nothing that is not CelebA's."""
    with suppress(OSError):
        if _find(path, _ATTRIBUTES[:1]):
            return True
        if not _find(path, _IMAGES):
            return False
        seen = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")}
        return bool(_find(path, _ATTRIBUTES)) or seen <= _OWN
    return False


def _find(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first of the files that is there, at the top or in the authors' sub-folders."""
    places = (root / folder / name for folder in ("", *_FOLDERS) for name in names)
    return next((place for place in places if place.exists()), None)


def _load(root: Path) -> Dataset:
    """The N images of the attribute list, in its order."""
    attributes = _read_attributes(_attribute_file(root))
    found = _list_images(root)
    schema = LabelSchema(tuple(Attribute(name, ("no", "yes")) for name in attributes.columns))
    identities = _read_beside(attributes, _find(root, _IDENTITIES), "identity", _whole, "a whole number")
    split = _read_beside(
        attributes, _find(root, _PARTITION), "partition", _SPLIT.__getitem__, "0 (train), 1 (val) or 2 (test)"
    )
    places = _match_images(attributes, found)
    return Dataset(
        name=CELEBA.name,
        schema=schema,
        labels=attributes.values,
        ids=Names(attributes.names),
        images=found.store(places),
        groups=identities if split is None else None,  # the authors' partition keeps identities whole
        split=None if split is None else split.astype(np.int8),
        identities=identities,
        notes=(
            f"{count(len(places), 'image')} named by {attributes.path}",
            *describe_attributes(schema, attributes.values),
            *_describe_identities(identities, split),
            *_describe_split(split),
            *_left_out(found, len(places)),
        ),
    )


def _attribute_file(root: Path) -> Path:
    path = _find(root, _ATTRIBUTES)
    if path is None:
        raise InputError(
            f"{root}: CelebA's images are there, but no attributes; expected {_ATTRIBUTES[0]} there or in"
            f" Anno/ (get it from {SOURCE})"
        )
    return path


def _list_images(root: Path) -> Listing:
    place = _find(root, _IMAGES)
    found = None if place is None else list_source(place)
    if found is None or not found.images:
        raise InputError(
            f"{root}: CelebA's attributes are there, but no images; expected {_IMAGES[0]}/ or {_IMAGES[1]}"
            f" there or in Img/ (get them from {SOURCE})"
        )
    return found


def _read_attributes(path: Path) -> _List:
    csv = suffix(path.name) == "csv"
    rows = below_header(read_rows(path, SOURCE)) if csv else read_counted_rows(path, SOURCE)
    columns = _fields(rows.header)[csv:]  # only in a .csv does the image's column have a name
    if not columns or len(set(columns)) < len(columns):
        raise InputError(f"{path}: expected the distinct names of the attributes above the first image")
    return _read(rows, columns, _CODE.__getitem__, "-1 or 1")


def _read_beside(
    attributes: _List, path: Path | None, column: str, code: Callable[[str], int], expected: str
) -> NDArray[np.int64] | None:
    """(N,) one value per image in the order of the attributes, or None without the file."""
    if path is None:
        return None
    rows = read_rows(path, SOURCE)
    read = _read(below_header(rows) if suffix(path.name) == "csv" else rows, [column], code, expected)
    place = {name: row for row, name in enumerate(read.names)}
    absent = [name for name in attributes.names if name not in place]
    if absent:
        raise InputError(
            f"{path}: has no line for {first_of(absent)}, which {attributes.path.name} names;"
            f" get the file from {SOURCE}"
        )
    return read.values[[place[name] for name in attributes.names], 0]


def _read(rows: Rows, columns: Sequence[str], code: Callable[[str], int], expected: str) -> _List:
    """The rows `NAME VALUE ... VALUE`; `code` gives a value's number, or raises KeyError."""
    names: list[str] = []
    values = array("q")
    for row, text in enumerate(rows.texts):
        name, *words = _fields(text) or [""]
        if len(words) != len(columns):
            raise rows.refuse(row, f"an image and {count(len(columns), 'value')}")
        try:
            values.extend(map(code, words))
        except KeyError:
            raise rows.refuse(row, f"{expected} as {columns[len(values) % len(columns)]}") from None
        names.append(name)
    check_distinct((rows, names))
    table = np.frombuffer(values, np.int64).reshape(len(names), len(columns))
    return _List(rows.path, names, columns, table)


def _fields(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise KeyError(text)
    return int(text)


def _match_images(attributes: _List, found: Listing) -> NDArray[np.int64]:
    """(N,) position of every image in `found`; their folder may be wrapped in another."""
    places = {image.rpartition("/")[2]: place for place, image in enumerate(found.images)}
    absent = [name for name in attributes.names if name not in places]
    if absent:
        raise InputError(
            f"{attributes.path}: names {first_of(absent)}, which is not in {found.root};"
            f" unpack {_IMAGES[1]} again (it is at {SOURCE})"
        )
    return np.array([places[name] for name in attributes.names], np.int64)


def _describe_identities(
    identities: NDArray[np.int64] | None, split: NDArray[np.int64] | None
) -> tuple[str, ...]:
    if identities is None:
        return (f"{_IDENTITIES[0]} is not there: who an image shows is not known",)
    number = count(len(np.unique(identities)), "identity", "identities")
    return (number if split is not None else f"{number}, each whole in one split",)


def _describe_split(split: NDArray[np.int64] | None) -> list[str]:
    if split is None:
        return [f"{_PARTITION[0]} is not there: the authors' train, val and test are not known"]
    return describe_split("of the authors", split.astype(np.int8))


def _left_out(found: Listing, used: int) -> list[str]:
    rest = len(found.images) - used
    return [f"{count(rest, 'image')} of {found.root} left out, not in {_ATTRIBUTES[0]}"] if rest else []


CELEBA = Layout(
    name="CelebA",
    size="202,599 faces of 10,177 people; train 162,770, val 19,867, test 19,962",
    labels="40 attributes, each no or yes; the rarest (Bald) in 2.2 % of the images",
    licence="non-commercial research only; the authors hold no rights in the images",
    source=SOURCE,
    expected=(
        "list_attr_celeba.txt (or in Anno/)",
        "img_align_celeba/ or img_align_celeba.zip (or in Img/)",
        "list_eval_partition.txt (or in Eval/)",
        "identity_CelebA.txt (or in Anno/)",
    ),
    recognises=_recognises,
    load=_load,
)
"""The aligned and cropped images; the lists as .csv are read as well."""
