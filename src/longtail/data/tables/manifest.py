"""Images and labels named by a table: CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from longtail.data.classes import (
    describe_attributes,
    describe_split,
    odd_values,
    order_classes,
    written_differently,
)
from longtail.data.dataset import Dataset, ImageStore, Tags
from longtail.data.listing import Listing, is_image, suffix
from longtail.data.names import Names
from longtail.data.tables.resolve import ABSENT, AMBIGUOUS, Resolver, leaves_root
from longtail.data.tables.roles import ColumnChoice, Roles, find_image_column, find_roles
from longtail.data.tables.split_column import split_words
from longtail.data.tables.table import Column, Table
from longtail.errors import InputError
from longtail.schema import UNLABELLED, Attribute, LabelSchema
from longtail.words import count, did_you_mean


def open_manifest(
    table: Table,
    found: Listing,
    choice: ColumnChoice,
    skip_missing: bool,
    name: str,
    known: LabelSchema | None = None,
) -> Dataset:
    """The data set that a table describes, its images found below a root.

    Classes come from every row, so that their indices do not depend on which images are there.

    Raises:
        InputError: see `find_roles`; when a row names no image, one outside of the root, one that is
            not there (unless `skip_missing`), or the same as another row; when a split is not known;
            when every attribute has one class only, and is not one of those that are `known`.
    """
    resolver = Resolver(found)
    classes = {} if known is None else {attribute.name: attribute.classes for attribute in known.attributes}
    roles = find_roles(table, choice, resolver, tuple(classes))
    positions = _find_images(table, roles.image, found, resolver)
    rows = _present(table, roles.image, positions, resolver, found, skip_missing)
    positions = positions[rows]
    _check_distinct(table, roles.image, rows, positions)
    schema, labels, odd = _labels(table, roles, classes)
    labels = labels[rows]
    split, split_notes = _split(table, roles, rows)
    groups, group_notes = _groups(table, roles, rows)
    ids = table.columns[roles.image]
    return Dataset(
        name=name,
        schema=schema,
        labels=labels,
        ids=Names(ids.values[code] for code in ids.codes[rows].tolist()),
        images=found.store(positions),
        groups=groups,
        split=split,
        identities=_codes(table, roles.identity, rows),
        domains=_tags(table, roles.domain, rows),
        matches=_codes(table, roles.match, rows),
        notes=(
            f"{count(len(rows), 'image')} named by column {roles.image} of {table.path}",
            *describe_attributes(schema, labels),
            *odd,
            *roles.notes,
            *split_notes,
            *group_notes,
            *_guides(table, roles),
            *_left_out(table, found, len(rows)),
            *table.notes,
            *found.all_notes(),
        ),
    )


def open_unlabelled(
    table: Table, found: Listing, image_column: str | None, skip_missing: bool
) -> tuple[ImageStore, list[str]]:
    """The images that a table names, in the order of its rows, and notes on what is left out.

    Raises:
        InputError: see `find_image_column`; when a row names no image, one outside of the root, or one that
            is not there (unless `skip_missing`).
    """
    resolver = Resolver(found)
    name = find_image_column(table, image_column, resolver)
    positions = _find_images(table, name, found, resolver)
    rows = _present(table, name, positions, resolver, found, skip_missing)
    notes = [f"{count(len(rows), 'image')} named by column {name} of {table.path}"]
    return found.store(positions[rows]), notes + _missing(table, len(rows))


def _find_images(table: Table, name: str, found: Listing, resolver: Resolver) -> NDArray[np.int64]:
    """(N,) position of every row's image among the listed ones, or ABSENT."""
    column = table.columns[name]
    places = resolver.whole(column.values)
    for code in np.flatnonzero(places == ABSENT).tolist():
        text = column.values[code]
        places[code] = resolver.find(text)
        if places[code] >= 0 and "/" not in text and "\\" not in text:
            continue  # a mere name leads nowhere else
        if not text:
            raise InputError(
                f"{_where(table, column, code)}, column {name}: is empty; expected an image's name"
            )
        if leaves_root(resolver.below_root(text)):
            raise InputError(
                f"{_where(table, column, code)}, column {name}: {text!r} leads out of {found.root};"
                " expected a path below it (--images names another root)"
            )
        if places[code] == AMBIGUOUS:
            first, second = (found.images[i] for i in resolver.candidates(text)[:2])
            raise InputError(
                f"{_where(table, column, code)}, column {name}: {text!r} fits both {first} and {second};"
                f" write the path below {found.root}"
            )
    return places[column.codes]


def _where(table: Table, column: Column, code: int) -> str:
    return table.where(int(np.argmax(column.codes == code)))


def _present(
    table: Table,
    name: str,
    positions: NDArray[np.int64],
    resolver: Resolver,
    found: Listing,
    skip_missing: bool,
) -> NDArray[np.int64]:
    """Rows whose image is there."""
    absent = np.flatnonzero(positions == ABSENT)
    if len(absent) == 0 or (skip_missing and len(absent) < len(positions)):
        return np.flatnonzero(positions != ABSENT)
    column = table.columns[name]
    text = column.values[column.codes[absent[0]]]
    expected, near = _expected(text, positions, found), resolver.nearest(text)
    more = f" (and {len(absent) - 1:,} more)" if len(absent) > 1 else ""
    nearest = f" The nearest image is {near}." if near else ""
    raise InputError(
        f"{table.where(int(absent[0]))}, column {name}: expected image {expected}, which is not there{more};"
        " name the images' place with --images, or leave such rows out with"
        f" --skip-missing.{nearest}"
    )


def _expected(text: str, positions: NDArray[np.int64], found: Listing) -> str:
    """Where the image would lie if it lay beside the first one that was found."""
    present = positions[positions >= 0]
    model = found.images[present[0]] if len(present) else ""
    folder = "" if "/" in text else model[: model.rfind("/") + 1]
    ending = "" if is_image(text) else "." + (suffix(model) or "jpg")
    return f"{found.root}/{folder}{text}{ending}"


def _check_distinct(table: Table, name: str, rows: NDArray[np.int64], positions: NDArray[np.int64]) -> None:
    order = np.argsort(positions, kind="stable")
    same = np.flatnonzero(np.diff(positions[order]) == 0)
    if len(same) == 0:
        return
    first, second = sorted(rows[order[same[0] : same[0] + 2]].tolist())
    column = table.columns[name]
    texts = sorted({column.values[column.codes[row]] for row in (first, second)})
    raise InputError(
        f"{table.where(second)}, column {name}: names the same image as {table.where(first)}"
        f" ({' and '.join(texts)}); keep one row per image"
    )


def _labels(
    table: Table, roles: Roles, known: Mapping[str, tuple[str, ...]]
) -> tuple[LabelSchema, NDArray[np.int64], list[str]]:
    """The schema, (N, J) labels of all rows, and notes on odd class names."""
    attributes: list[Attribute] = []
    labels = np.empty((len(table), len(roles.attributes)), np.int64)
    notes: list[str] = []
    for j, name in enumerate(roles.attributes):
        column = table.columns[name]
        classes = order_classes(column.filled or known.get(name, ()))
        place = {"": UNLABELLED} | {text: index for index, text in enumerate(classes)}
        labels[:, j] = np.array([place[text] for text in column.values], np.int64)[column.codes]
        attributes.append(Attribute(name, classes))
        notes += odd_values(name, classes, labels[:, j])
    if all(len(attribute.classes) < 2 and attribute.name not in known for attribute in attributes):
        raise InputError(
            f"{table.path}: only one class in {', '.join(roles.attributes)}; expected a column with at least"
            " two classes (choose with --attributes)"
        )
    return LabelSchema(tuple(attributes)), labels, notes


def _split(table: Table, roles: Roles, rows: NDArray[np.int64]) -> tuple[NDArray[np.int8] | None, list[str]]:
    if roles.split is None:
        return None, []
    column = table.columns[roles.split]
    words = split_words(roles.split, column.filled)
    known = np.full(len(column.values), -1, np.int8)
    for code, text in enumerate(column.values):
        word = text.strip().lower()
        if word and word not in words:
            raise InputError(
                f"{_where(table, column, code)}, column {roles.split}: {text!r} is no split; expected one of"
                f" {', '.join(words)}.{did_you_mean(word, words)} (Another column: --split-column.)"
            )
        known[code] = words.get(word, -1)
    split = known[column.codes[rows]]
    origin, outside = f"in column {roles.split}", "in no split (empty)"
    return split, describe_split(origin, split, outside)


def _groups(
    table: Table, roles: Roles, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Group indices; an image whose group is empty is a group of its own."""
    groups = _codes(table, roles.group, rows)
    if groups is None:
        return None, []
    alone = np.flatnonzero(groups < 0)
    groups[alone] = len(table) + np.arange(len(alone))
    empty = f"{count(len(alone), 'image')} with an empty group: each is a group of its own"
    notes = [empty] if len(alone) else []
    number = len(np.unique(groups))
    single = ", one image each" if number == len(groups) else ""
    return groups, [f"{count(number, 'group')} in column {roles.group}{single}", *notes]


def _tags(table: Table, name: str | None, rows: NDArray[np.int64]) -> Tags | None:
    """The texts of a column, an empty cell as none."""
    if name is None:
        return None
    column = table.columns[name]
    place = {text: code for code, text in enumerate(column.filled)} | {"": -1}
    codes = np.array([place[text] for text in column.values], np.int64)[column.codes[rows]]
    return Tags(tuple(column.filled), codes)


def _codes(table: Table, name: str | None, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    tags = _tags(table, name, rows)
    return None if tags is None else tags.codes


def _guides(table: Table, roles: Roles) -> list[str]:
    named = {"identities": roles.identity, "domains": roles.domain, "matches across domains": roles.match}
    given = [name for name in (roles.group, *named.values()) if name is not None]
    return [
        *(
            f"{what} in column {name}: {len(table.columns[name].filled):,} different"
            for what, name in named.items()
            if name is not None
        ),
        *(
            f"{name}: {' and '.join(texts)} differ only in {how}; they stay {len(texts)} different ones"
            for name in given
            for texts, how in written_differently(table.columns[name].filled)
        ),
    ]


def _missing(table: Table, rows: int) -> list[str]:
    if rows == len(table):
        return []
    missing = count(len(table) - rows, "row")
    return [f"{missing} of {table.path} left out, image not there (--skip-missing)"]


def _left_out(table: Table, found: Listing, rows: int) -> list[str]:
    notes = _missing(table, rows)
    if rows < len(found.images):
        notes.append(f"{count(len(found.images) - rows, 'image')} left out, in no row of {table.path}")
    return notes
