"""Which column of a manifest is what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from longtail.data.classes import several_labels
from longtail.data.listing import is_image
from longtail.data.tables.resolve import Resolver
from longtail.data.tables.split_column import find_split, is_about_splits, says_split
from longtail.data.tables.table import Column, Table
from longtail.errors import InputError
from longtail.words import count, joined

IMAGE_COLUMNS = (
    "image", "image_path", "path", "file", "filename", "file_name", "filepath", "file_path", "image_name",
    "image_file", "img", "image_id", "img_id", "id", "name",
)  # fmt: skip
"""Usual names of the column that names the image, most telling first."""

_SAMPLE = 200
_SEEN = 2000  # texts of a column that may be captions, among which several labels are looked for

GUIDES = ("split", "group", "identity", "domain", "match")
"""Roles of columns that guide splits and training."""

SUGGESTED, SUSPICION = "suggested_", "suspicion_"
"""What the columns that `longtail diagnose --labels` writes begin with, before the name of an attribute."""

FOUND = (SUGGESTED, SUSPICION)


@dataclass(frozen=True)
class ColumnChoice:
    """What the user said about the columns. What is left out is found by looking at them.

    Attributes:
        image: column that names the image.
        attributes: columns to recognise, in this order.
        split: column of train, val or test.
        group: column of what must not be on two sides of a split.
        identity: column of who or what an image shows.
        domain: column of where an image comes from.
        match: column of what two images in two domains have in common.
    """

    image: str | None = None
    attributes: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    identity: str | None = None
    domain: str | None = None
    match: str | None = None

    def refuse(self, source: str, reason: str) -> None:
        """Refuse a choice where there are no columns.

        Raises:
            InputError: when anything was chosen.
        """
        chosen = next((role for role, value in vars(self).items() if value), None)
        if chosen is not None:
            flag = "--attributes" if chosen == "attributes" else f"--{chosen}-column"
            raise InputError(f"{source}: {flag} chooses a column of a manifest, but {reason}; leave it out")


NOTHING_CHOSEN = ColumnChoice()


@dataclass(frozen=True)
class Roles:
    """The columns of a manifest by what they are, and notes on what was decided."""

    image: str
    attributes: tuple[str, ...]
    split: str | None
    group: str | None
    identity: str | None
    domain: str | None
    match: str | None
    notes: tuple[str, ...]


def find_roles(table: Table, choice: ColumnChoice, resolver: Resolver, known: tuple[str, ...] = ()) -> Roles:
    """Decide what each column is.

    The image column is the one whose texts name images; group, identity, domain and match are those of
    these names; split is the one of that name, or whose texts are names of splits; the attributes are all
    the others that are neither constant nor different in more than half of their rows. If no attributes
    are chosen, columns with the names of `known` attributes are taken, whatever they hold.

    Raises:
        InputError: when a chosen column is not there, no column names images, the first row is no header,
            or no column is left to recognise.
    """
    chosen = _chosen(table, choice.attributes) or tuple(name for name in known if name in table.columns)
    taken = {*chosen, choice.image and table.named(choice.image, "--image-column")}
    guides = {role: _guide(table, role, getattr(choice, role), taken) for role in GUIDES}
    if guides["split"] is None:
        guides["split"] = find_split(table, {*taken, *guides.values()})
    image = _image_column(table, choice, resolver, {*chosen, *guides.values()})
    _expect_header(table, image, resolver)
    attributes, notes = (chosen, ()) if chosen else _guess(table, {image, *guides.values()})
    return Roles(image=image, attributes=attributes, **guides, notes=notes)


def find_image_column(table: Table, chosen: str | None, resolver: Resolver) -> str:
    """The column that names the images of a table whose other columns do not matter; see `find_roles`.

    Raises:
        InputError: when a chosen column is not there, no column names images, or the first row is no header.
    """
    image = _image_column(table, ColumnChoice(image=chosen), resolver, ())
    _expect_header(table, image, resolver)
    return image


def _guide(table: Table, role: str, chosen: str | None, taken: set[str | None]) -> str | None:
    """The column of a role that is not recognised: the chosen one, or the one of its name."""
    if chosen is not None:
        return table.named(chosen, f"--{role}-column")
    return next((name for name in table.columns if name.lower() == role and name not in taken), None)


def _expect_header(table: Table, image: str, resolver: Resolver) -> None:
    """Refuse a first line that is a row: the name of its image column would be an image."""
    unusual = _telling(image) == len(IMAGE_COLUMNS)
    images = [name for name in table.columns if is_image(name) or (name == image and unusual)]
    found = next((name for name in images if is_image(name) or resolver.share([name])), None)
    if found is not None:
        raise InputError(
            f"{table.path}, line 1: {found!r} is an image, so the file seems to have no header; put one above"
            " its first row, for instance image,label"
        )


def _image_column(table: Table, choice: ColumnChoice, resolver: Resolver, taken: Iterable[str | None]) -> str:
    if choice.image is not None:
        return table.named(choice.image, "--image-column")
    columns = [name for name in table.columns if name not in taken]
    # Labels 0 and 1 would fit images 0.jpg and 1.jpg: a column of few texts does not name images.
    telling_apart = [name for name in columns if len(table.columns[name].values) > len(table) / 10]
    shares = {name: resolver.share(_sample(table.columns[name])) for name in telling_apart}
    best = max(shares.values(), default=0.0)
    if best == 0:
        _expect_header(table, "", resolver)
        seen = joined((f"{name} {table.columns[name].values[0]!r}" for name in columns), 40)
        raise InputError(
            f"{table.path}: no column names images (looked at {seen}); name it with"
            " --image-column, where the images lie with --images, or move the file away to take"
            f" the classes from folders{_nearest(table, columns, resolver)}"
        )
    # Numeric ids also fit numeric labels: among the columns that fit, a telling name decides, then
    # which one tells most rows apart.
    fitting = [name for name in telling_apart if shares[name] >= best / 2]
    return min(fitting, key=lambda name: (_telling(name), -len(table.columns[name].values)))


def _nearest(table: Table, columns: list[str], resolver: Resolver) -> str:
    """A first cell that looks like the name of an image, and the image it may mean."""
    for name in columns:
        text = table.columns[name].values[0]
        if (is_image(text.strip()) or "/" in text) and (image := resolver.nearest(text)):
            return f"; nearest to {text!r} in column {name} is {image}"
    return ""


def _telling(name: str) -> int:
    return IMAGE_COLUMNS.index(name.lower()) if name.lower() in IMAGE_COLUMNS else len(IMAGE_COLUMNS)


def _sample(column: Column) -> list[str]:
    values = column.filled
    return values[:: max(len(values) // _SAMPLE, 1)]


def _chosen(table: Table, asked: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(table.named(name, "--attributes") for name in asked)
    for i, name in enumerate(names):
        if not table.columns[name].filled:
            raise InputError(
                f"{table.path}: column {name} of --attributes is empty in every row; leave it out"
            )
        if name in names[:i]:
            raise InputError(f"{table.path}: --attributes names column {name} twice; name it once")
    return names


def _guess(table: Table, taken: set[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    attributes: list[str] = []
    found = [name for name in table.columns if _was_found(table, name) and name not in taken]
    what = count(len(found), "column")
    notes = [f"{what} that longtail diagnose --labels wrote: no attribute"] if found else []
    for name in table.columns:
        if name in taken or name in found:
            continue
        reason = _why_not(table, name)
        if reason:
            notes.append(f"column {name} is no attribute: {reason}; --attributes {name} makes it one")
        else:
            attributes.append(name)
    if not attributes:
        seen = joined(f"{name} ({_why_not(table, name)})" for name in table.columns if name not in taken)
        raise InputError(
            f"{table.path}: no column to recognise; looked at {seen or 'none'};"
            " expected a column with at least two classes (choose one with --attributes)"
        )
    return tuple(attributes), tuple(notes)


def _was_found(table: Table, name: str) -> bool:
    """Whether a column holds what `longtail diagnose --labels` found about another one."""
    return any(name.startswith(word) and name.removeprefix(word) in table.columns for word in FOUND)


def _why_not(table: Table, name: str) -> str:
    column = table.columns[name]
    distinct, empty = len(column.filled), 0
    if "" in column.values:
        empty = int((column.codes == column.values.index("")).sum())
    if distinct == 0:
        return "it is empty"
    if distinct == 1:
        others = f"each of the {count(len(table) - empty, 'row')} that say anything" if empty else "every row"
        return f"it is {column.filled[0]!r} in {others}"
    if says_split(table, name):
        return "it says train, val or test"
    if is_about_splits(name, column.filled):
        return "it seems to say a split; --split-column makes it one, once its cells are train, val or test"
    if distinct > (len(table) - empty) / 2:
        how = several_labels(column.filled[:_SEEN])
        hint = f", which look like several labels, {how}" if how else ""
        return f"{count(distinct, 'different text')} in {count(len(table) - empty, 'row')}{hint}"
    return ""
