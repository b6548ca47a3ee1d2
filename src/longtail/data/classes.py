"""Text values to class indices, and the sentences that say them back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS
from longtail.schema import Attribute, LabelSchema
from longtail.words import count, joined

SPLIT_NAMES = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
"""What a split may be called, in lower case, and its index in `SPLITS`."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_LOOKS_MISSING = frozenset({"na", "n/a", "nan", "none", "null"})


def order_classes(values: Iterable[str]) -> tuple[str, ...]:
    """Distinct class names in their order: numeric when all are integers, else by code point.

    Example:
        >>> order_classes(["10", "9"]), order_classes(["10", "9", "b"])
        (('9', '10'), ('10', '9', 'b'))
    """
    distinct = set(values)
    if all(_INTEGER.fullmatch(value) for value in distinct):
        return tuple(sorted(distinct, key=lambda value: (int(value), value)))
    return tuple(sorted(distinct))


def describe_attributes(schema: LabelSchema, labels: NDArray[np.int64]) -> list[str]:
    """Notes: the attributes with their class counts, and what is not labelled."""
    parts = [_describe(attribute, labels[:, j]) for j, attribute in enumerate(schema.attributes)]
    notes = [f"{count(len(parts), 'attribute')}: {joined(parts)}"]
    for attribute, missing in zip(schema.attributes, (labels < 0).sum(0).tolist(), strict=True):
        if missing:
            notes.append(f"{attribute.name}: {count(missing, 'image')} not labelled (empty)")
    return notes


def _describe(attribute: Attribute, labels: NDArray[np.int64]) -> str:
    counts = np.bincount(labels[labels >= 0], minlength=len(attribute.classes))
    return f"{attribute.name} ({len(counts)} classes, {counts.max()} … {counts.min()} images)"


def odd_values(column: str, classes: Sequence[str], labels: NDArray[np.int64]) -> list[str]:
    """Notes on class names that may be a slip: 'NA' and the like, or equal up to case and spaces."""
    notes: list[str] = []
    for index, name in enumerate(classes):
        if name.strip().casefold() in _LOOKS_MISSING:
            rows = count(int((labels == index).sum()), "row")
            notes.append(
                f"{column}: {name!r} ({rows}) stays a class; empty the cells to leave them unlabelled"
            )
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[" ".join(name.split()).casefold()].append(repr(name))
    notes += [
        f"{column}: {' and '.join(names)} differ only in case or spaces; they stay {len(names)} classes"
        for names in alike.values()
        if len(names) > 1
    ]
    return notes


def uneven_classes(schema: LabelSchema, labels: NDArray[np.int64], split: NDArray[np.int8]) -> list[str]:
    """Notes on classes that some split of the data's own lacks."""
    notes: list[str] = []
    for j, attribute in enumerate(schema.attributes):
        for s in sorted(set(split[split >= 0].tolist())):
            used = set(labels[split == s, j].tolist())
            absent = [name for k, name in enumerate(attribute.classes) if k not in used]
            if absent:
                what = count(len(absent), "class", "classes")
                notes.append(f"{attribute.name}: {what} without an image in {SPLITS[s]}: {joined(absent)}")
    return notes


def describe_split(
    origin: str,
    schema: LabelSchema,
    labels: NDArray[np.int64],
    split: NDArray[np.int8],
    outside: str = "in no split",
) -> list[str]:
    """Notes: sizes of the splits that the data come with, and the classes that one of them lacks.

    Args:
        origin: where they come from, as in 'as published'.
        schema, labels, split: as in `Dataset`.
        outside: what is said of images in none.
    """
    sizes = ", ".join(f"{which} {int((split == s).sum())}" for s, which in enumerate(SPLITS))
    none = int((split < 0).sum())
    notes = [f"splits {origin}: {sizes} images", *uneven_classes(schema, labels, split)]
    return [*notes, f"{count(none, 'image')} {outside}"] if none else notes
