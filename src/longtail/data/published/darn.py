"""X-Domain, the DARN set: clothes in shops and on the street, nine attributes.

The authors distribute addresses of images and numbers of attribute values, in no form that is
written down in public. This is the form read here; bring yours into it:

    ROOT/shop.txt, ROOT/street.txt   one line per image: its path below ROOT, nine numbers in the order
                                     of `ATTRIBUTES`, and optionally the number of the garment, which
                                     images of the same garment share in both files
    ROOT/values.txt (optional)       names of values: attribute, number, name; separated by tabs
    ROOT/split.txt (optional)        an image's path and train, val or test

Fields are separated by tabs, or else by white space. Values count from 1; 0, -1 or an empty field is
unknown. Many addresses are dead: rows whose image is not there are left out, and counted.

Source: Huang, Feris, Chen and Yan, Cross-domain Image Retrieval with a Dual Attribute-aware Ranking
Network, ICCV 2015, table 1 (attributes and numbers of values).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtail.data.annotations import (
    Rows,
    check_distinct,
    holds,
    images_below,
    read_rows,
    split_of,
)
from longtail.data.classes import describe_attributes, describe_split
from longtail.data.dataset import Dataset, Tags
from longtail.data.names import Names
from longtail.data.published.layouts import Layout
from longtail.data.stores import FileStore
from longtail.errors import InputError
from longtail.schema import Attribute, LabelSchema
from longtail.words import count

SOURCE = "https://arxiv.org/abs/1505.07922"

DOMAINS = ("shop", "street")
"""The two domains, in the order of their codes."""

ATTRIBUTES = {
    "opening": 12,
    "category": 20,
    "colour": 56,
    "cloth length": 6,
    "print": 27,
    "silhouette": 10,
    "neckline": 25,
    "sleeve length": 7,
    "sleeve shape": 16,
}
"""The nine attributes and how many values each has, in the order of a line's numbers."""

_UNKNOWN = {"": -1, "-1": -1, "0": -1}


@dataclass(frozen=True, eq=False)
class _Part:
    """One domain, as listed: its rows, N paths, (N, 9) labels, and N garments, '' where there is none."""

    rows: Rows
    paths: list[str]
    labels: NDArray[np.int64]
    garments: list[str]


def load_xdomain(root: Path) -> Dataset:
    """Both domains as one data set; `matches` joins a garment's shop and street images.

    Groups are garments, so that all images of one stay on one side of a split; an image without a
    garment is a group of its own. A garment seen in one domain only has no match.

    Raises:
        InputError: when a list is not there, a line is not as expected, an image is listed twice,
            or no image is there.
    """
    parts = [_part(root / f"{domain}.txt") for domain in DOMAINS]
    check_distinct(*((part.rows, part.paths) for part in parts))
    paths = [path for part in parts for path in part.paths]
    rows = _present(root, paths)
    schema = _schema(root / "values.txt")
    labels = np.concatenate([part.labels for part in parts])[rows]
    domains = np.repeat(np.arange(len(DOMAINS)), [len(part.rows) for part in parts])[rows]
    garments = np.array([garment for part in parts for garment in part.garments])[rows]
    matches, groups = _matches(garments, domains)
    names = Names(paths[row] for row in rows.tolist())
    split_file = root / "split.txt"
    split = split_of(read_rows(split_file, SOURCE), names) if split_file.exists() else None
    return Dataset(
        name="X-Domain",
        schema=schema,
        labels=labels,
        ids=names,
        images=FileStore(root, names),
        groups=groups,
        split=split,
        domains=Tags(DOMAINS, domains),
        matches=matches,
        notes=(
            *_describe_domains(domains, matches, len(paths)),
            *describe_attributes(schema, labels),
            *([] if split is None else describe_split("as published", split)),
        ),
    )


def _part(path: Path) -> _Part:
    rows = read_rows(path, SOURCE)
    fields = [_fields(text) for text in rows.texts]
    width = 1 + len(ATTRIBUTES)
    for row, found in enumerate(fields):
        if len(found) not in (width, width + 1) or not found[0]:
            raise rows.refuse(row, "a path, nine numbers, and optionally that of the garment")
    labels = np.stack([_labels(rows, fields, j) for j in range(len(ATTRIBUTES))], 1)
    numbers = [found[width] if len(found) > width else "" for found in fields]
    garments = ["" if number in _UNKNOWN else number for number in numbers]
    return _Part(rows, [found[0].removeprefix("./") for found in fields], labels, garments)


def _fields(text: str) -> list[str]:
    return [field.strip() for field in text.split("\t")] if "\t" in text else text.split()


def _labels(rows: Rows, fields: Sequence[Sequence[str]], j: int) -> NDArray[np.int64]:
    name, size = list(ATTRIBUTES.items())[j]
    place = _UNKNOWN | {str(value): value - 1 for value in range(1, size + 1)}
    expected = f"as {name} (number {j + 1} after the path) 1 to {size}, or 0 or -1 for unknown"
    return rows.codes([found[j + 1] for found in fields], place, expected)


def _present(root: Path, paths: Sequence[str]) -> NDArray[np.int64]:
    """Rows whose image is there."""
    there = images_below(root)
    rows = [row for row, path in enumerate(paths) if path in there]
    if not rows:
        raise InputError(
            f"{root}: of {count(len(paths), 'listed image')} none is there, expected {paths[0]} and so on;"
            f" fetch them from their addresses, see {SOURCE}"
        )
    return np.array(rows, np.int64)


def _matches(
    garments: NDArray[np.str_], domains: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """(N,) matches and (N,) groups; both None where no image says its garment."""
    names, codes = np.unique(garments, return_inverse=True)
    known = garments != ""
    if not known.any():
        return None, None
    sides = np.zeros((len(names), len(DOMAINS)), np.bool_)
    sides[codes, domains] = True
    both = np.logical_and.reduce(sides, axis=1)
    matches = np.where(known & both[codes], codes, -1)
    groups = np.where(known, codes, len(names) + np.arange(len(codes)))
    return matches.astype(np.int64), groups.astype(np.int64)


def _schema(path: Path) -> LabelSchema:
    """The nine attributes; a value that values.txt does not name is called by its number."""
    classes = {name: [str(value) for value in range(1, size + 1)] for name, size in ATTRIBUTES.items()}
    rows = read_rows(path, SOURCE) if path.exists() else Rows(path, [])
    for row, text in enumerate(rows.texts):
        attribute, value, name = _named(rows, row, text)
        classes[attribute][value - 1] = name
        if classes[attribute].count(name) > 1:
            raise rows.refuse(row, f"a name that no other value of {attribute} has")
    return LabelSchema(tuple(Attribute(name, tuple(values)) for name, values in classes.items()))


def _named(rows: Rows, row: int, text: str) -> tuple[str, int, str]:
    fields = _fields(text)
    if len(fields) != 3 or not fields[2]:
        raise rows.refuse(row, "attribute, number and name, separated by tabs")
    attribute, value, name = fields
    if attribute not in ATTRIBUTES:
        raise rows.refuse(row, f"{', '.join(ATTRIBUTES)} as the attribute")
    if value not in map(str, range(1, ATTRIBUTES[attribute] + 1)):
        raise rows.refuse(row, f"a number from 1 to {ATTRIBUTES[attribute]} for {attribute}")
    return attribute, int(value), name


def _describe_domains(
    domains: NDArray[np.int64], matches: NDArray[np.int64] | None, listed: int
) -> list[str]:
    shop, street = np.bincount(domains, minlength=len(DOMAINS)).tolist()
    pairs = 0 if matches is None else len(np.unique(matches[matches >= 0]))
    notes = [f"{shop} shop and {street} street images, {count(pairs, 'garment')} in both"]
    missing = listed - len(domains)
    return [*notes, f"{count(missing, 'row')} left out, image not there"] if missing else notes


XDOMAIN = Layout(
    name="X-Domain",
    size="about 453,983 shop and 90,000 street images, as far as their addresses still answer",
    labels="nine attributes of clothes, 179 values",
    licence="research; the images belong to the shops and customers that show them",
    source=SOURCE,
    expected=(
        "shop.txt: path, nine numbers (0 = unknown), and optionally that of the garment",
        "street.txt: the same",
        "values.txt (optional): attribute, number, name; separated by tabs",
        "split.txt (optional): path and train, val or test",
        "the images, at the paths that the lists name",
    ),
    recognises=lambda path: holds(path, *(f"{domain}.txt" for domain in DOMAINS)),
    load=load_xdomain,
)
"""The data set of CRL's clothing experiments, in the form that this module describes."""
