"""Text values to class indices, and the sentences that say them back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation, getcontext
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS, class_counts
from longtail.schema import Attribute, LabelSchema
from longtail.words import count, joined, listed

SPLIT_NAMES = {
    "train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2,
}  # fmt: skip
"""What a split may be called, in lower case, and its index in `SPLITS`."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_LOOKS_MISSING = frozenset({"na", "n/a", "nan", "none", "null"})
_YES_OR_NO = {"true": "1", "yes": "1", "false": "0", "no": "0"}
_MOST_DIGITS = getcontext().prec
_CERTAIN_SEPARATORS = ("|", ";", "\n")  # in no class name that people write
_LIST = re.compile(r"\s*(\[.*\]|\{.*\}|\(.*,.*\))\s*", re.DOTALL)
_SEPARATORS = (", ", ",", "/", "+", "&", " ")  # in many, so that more must speak for several labels


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
    counts = class_counts(labels, len(attribute.classes))
    classes = count(len(counts), "class", "classes")
    return f"{attribute.name} ({classes}, {counts.max():,} … {counts.min():,} images)"


def odd_values(column: str, classes: Sequence[str], labels: NDArray[np.int64]) -> list[str]:
    """Notes on class names that may be a slip: 'NA' and the like, one name written in two ways, lists."""
    notes: list[str] = []
    for index, name in enumerate(classes):
        if name.strip().casefold() in _LOOKS_MISSING:
            rows = count(int((labels == index).sum()), "row")
            notes.append(
                f"{column}: {name!r} ({rows}) stays a class; empty the cells to leave them unlabelled"
            )
    notes += [
        f"{column}: {' and '.join(names)} differ only in {how}; they stay {len(names)} classes"
        for names, how in written_differently(classes)
    ]
    if how := several_labels(classes):
        notes.append(
            f"{column}: its cells look like several labels, {how}; every combination stays a class of its own"
            " (to learn each label, give it a column of 1 and 0)"
        )
    return notes


def changes(before: LabelSchema, now: LabelSchema) -> str:
    """What attributes and classes came and went, in words.

    Example:
        >>> pets = LabelSchema.single("pet", ["cat", "dog"])
        >>> changes(pets, LabelSchema.single("pet", ["cat", "emu"]))
        "new: pet 'emu'; gone: pet 'dog'"
    """
    both = {*before.names} & {*now.names}
    old, new = (
        [
            *schema.names,
            *(f"{a.name} {name!r}" for a in schema.attributes if a.name in both for name in a.classes),
        ]
        for schema in (before, now)
    )
    came, went = ([name for name in x if name not in y] for x, y in ((new, old), (old, new)))
    parts = [f"{what}: {listed(names)}" for what, names in (("new", came), ("gone", went)) if names]
    return "; ".join(parts) or "in another order"


def written_differently(texts: Iterable[str]) -> list[tuple[list[str], str]]:
    """Texts that mean the same to a reader, as they are to be shown, and what they differ in.

    Example:
        >>> written_differently(["1", "1.0", "Cat", "cat "])
        [(["'1'", "'1.0'"], 'the form of a number'), (["'Cat'", "'cat '"], 'case or spaces')]
    """
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for text in texts:
        alike[_meaning(text)].append(text)
    return [_shown(names) for names in alike.values() if len(names) > 1]


def _shown(names: list[str]) -> tuple[list[str], str]:
    if len({" ".join(name.split()).casefold() for name in names}) == 1:
        return [repr(name) for name in names], "case or spaces"
    if all(map(_as_number, names)):
        return [repr(name) for name in names], "the form of a number"
    if _meaning(names[0]) in _YES_OR_NO.values():
        return [repr(name) for name in names], "the word for yes or no"
    if len({_visible(name).casefold() for name in names}) > 1:
        return [repr(name) for name in names], "case, spaces, hyphens or underscores"
    return [ascii(name) for name in names], "the Unicode form of their characters"


def _meaning(text: str) -> str:
    """What two texts share that a reader takes for the same."""
    words = re.sub(r"(?<=\w)[-_](?=\w)", " ", _visible(text)).casefold()
    return _as_number(text) or _YES_OR_NO.get(words, words)


def _visible(text: str) -> str:
    """The characters that a reader sees, each in one form."""
    if text.isascii():
        return " ".join(text.split())
    shown = (character for character in normalize("NFKC", text) if category(character) != "Cf")
    return " ".join("".join(shown).split())


def _as_number(text: str) -> str:
    """One form of each number; '' for other texts."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return ""
    if not number.is_finite() or "_" in text:
        return ""
    # beyond that a number is rounded, or too large, as the hash 12e34567890 is
    exact = max(len(number.as_tuple().digits), abs(number.adjusted())) <= _MOST_DIGITS
    return str(number.normalize() + 0) if exact else ""


def several_labels(texts: Sequence[str]) -> str:
    """How cells hold several labels, in words; '' where they seem to hold one each.

    Class names may hold the other separators, too. These count only where labels come up again: alone or
    in another order in other cells, or so often that different parts are half as many as different cells.

    Example:
        >>> several_labels(["a|b", "c"])
        "separated by '|'"
    """
    if any(_LIST.fullmatch(text) for text in texts):
        return "in brackets"
    for separator in _CERTAIN_SEPARATORS:
        if any(len(_parts(text, separator)) > 1 for text in texts):
            return f"separated by {separator!r}"
    return next((f"separated by {mark!r}" for mark in _SEPARATORS if _come_up_again(texts, mark)), "")


def _come_up_again(texts: Sequence[str], separator: str) -> bool:
    cells = [_parts(text, separator) for text in texts]
    several = [cell for cell in cells if len(cell) > 1]
    alone = {cell[0] for cell in cells if len(cell) == 1}
    parts = {part for cell in cells for part in cell}
    if len({frozenset(cell) for cell in several}) < len(several) or any(map(alone.issuperset, several)):
        return True
    shared = any(not alone.isdisjoint(cell) for cell in several)
    return bool(several) and len(parts) < (len(texts) if shared else len(texts) / 2)


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def describe_split(origin: str, split: NDArray[np.int8], outside: str = "in no split") -> list[str]:
    """Notes: sizes of the splits that the data come with.

    Args:
        origin: where they come from, as in 'as published'.
        split: as in `Dataset`.
        outside: what is said of images in none.
    """
    sizes = ", ".join(f"{which} {int((split == s).sum()):,}" for s, which in enumerate(SPLITS))
    none = int((split < 0).sum())
    notes = [f"splits {origin}: {sizes} images"]
    return [*notes, f"{count(none, 'image')} {outside}"] if none else notes
