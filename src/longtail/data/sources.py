"""Open a data set by looking at what is there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from longtail.data.builtin import BUILTIN
from longtail.data.dataset import Dataset
from longtail.data.folder import open_folders
from longtail.data.huggingface import is_huggingface, open_huggingface
from longtail.data.listing import (
    MANIFEST_SUFFIXES,
    TAR_SUFFIX,
    Listing,
    list_source,
    list_tars,
    require_images,
    suffix,
)
from longtail.data.patterns import plain_name, shards_of
from longtail.data.published.official import find_official
from longtail.data.shards import IMAGE, Labelled, read_labelled
from longtail.data.tables.lists import LIST_COLUMNS, LIST_SUFFIX, read_lists
from longtail.data.tables.manifest import open_manifest
from longtail.data.tables.roles import NOTHING_CHOSEN, ColumnChoice
from longtail.data.tables.table import Table, read_table
from longtail.data.tars import read_members as read_tars
from longtail.data.tars import root_of
from longtail.errors import InputError
from longtail.files import place_of
from longtail.schema import LabelSchema
from longtail.words import count, did_you_mean, joined


def open_dataset(
    source: str,
    choice: ColumnChoice = NOTHING_CHOSEN,
    *,
    images: str | None = None,
    skip_missing: bool = False,
    known: LabelSchema | None = None,
) -> Dataset:
    """Open images and labels: a built-in name, a published data set, a folder, archives, or a manifest.

    A published data set is known by its files, see `longtail.data.published.official`. Any other folder or
    archive holds either class folders (CLASS/*, or SPLIT/CLASS/*) or a manifest
    (labels.csv, or the only .csv, .tsv or .parquet at its top); a manifest wins. A .txt file lists a path
    and a class in every line, see `longtail.data.tables.lists`. Tar archives may hold a label beside each
    image, see `longtail.data.shards`. What was found and decided is said in the
    `notes` of the data set.

    Args:
        source: name or path.
        choice: columns of a manifest; see `longtail.data.tables.roles.find_roles` for those not given.
        images: folder or archive with a manifest's images; the manifest's own place if not given.
        skip_missing: leave out rows whose image is not there, and say how many.
        known: what a trained model recognises. Of a manifest, columns of these names are its attributes,
            and a single class is no reason to refuse; classes are still those of the data.

    Raises:
        InputError: when the source cannot be used as it is; the message says why and what to do.

    Example:
        >>> data = open_dataset("digits")
        >>> len(data), data.schema.num_classes, data.images.read(0).shape
        (1797, (10,), (8, 8, 1))
    """
    if source in BUILTIN:
        _refuse_manifest(source, choice, images, "it is built in")
        return _passing_over(source, BUILTIN[source].load())
    if is_huggingface(source):
        _refuse_manifest(source, NOTHING_CHOSEN, images, "it holds its own images")
        return open_huggingface(source, choice)
    shards = shards_of(source)
    path = root_of(shards) if shards else existing(source)
    layout = None if shards else find_official(path)
    if layout is not None:
        _refuse_manifest(source, choice, images, f"it is {layout.name}")
        return layout.load(path)
    beside = None
    if path.is_file() and suffix(path.name) in MANIFEST_SUFFIXES:
        with path.open("rb") as file:
            table = read_table(str(path), file)
    elif path.is_file() and suffix(path.name) == LIST_SUFFIX:
        choice.refuse(source, "it is a list without columns")
        table, choice = read_lists(path), LIST_COLUMNS
    else:
        beside = _listed(source, path, shards)
        if isinstance(beside, Labelled):
            return _open_labelled(source, beside, choice, images, known)
        manifest = _manifest_of(beside, path)
        if manifest is None:
            _refuse_manifest(source, choice, images, "no manifest is there (labels.csv)")
            require_images(beside, path)
            name = plain_name(source) if shards else _name(path)
            return open_folders(beside, name, 2 if known is None else 1)
        with beside.open(manifest) as file:
            table = read_table(str(beside.root / manifest), file)
        _expect_labels(table)
    place = existing(images, "--images ") if images is not None else path if beside else path.parent
    found = beside if beside and images is None else list_source(place)
    require_images(found, place)
    return open_manifest(table, found, choice, skip_missing, _name(path), known)


def _listed(source: str, path: Path, shards: list[Path]) -> Listing | Labelled:
    """What a folder or an archive holds; of tar archives with labels beside the images, both."""
    if not shards and suffix(path.name) == TAR_SUFFIX and path.is_file():
        shards = [path]
    if not shards:
        found = list_source(path)
        if found.images or found.manifests or not found.tars:
            return found
        shards = [found.root / name for name in found.tars]
    members = read_tars(shards)
    return read_labelled(source, members) or list_tars(members)


def _open_labelled(
    source: str, found: Labelled, choice: ColumnChoice, images: str | None, known: LabelSchema | None
) -> Dataset:
    reason = "tar archives hold their own images"
    _refuse_manifest(source, ColumnChoice(image=choice.image), images, reason)
    chosen = choice.attributes or (() if known else found.chosen)
    asked = replace(choice, image=IMAGE, attributes=chosen)
    data = open_manifest(found.table, found.images, asked, False, plain_name(source), known)
    return replace(data, notes=(f"{count(len(data), 'image')} with a label in {source}", *data.notes[1:]))


def _passing_over(source: str, data: Dataset) -> Dataset:
    """The built-in data; a note where a file or folder of their name is there, too."""
    if not os.path.lexists(source):
        return data
    note = f"{source} is built in; ./{source}, which lies here, is not read: give ./{source} for it"
    return replace(data, notes=(*data.notes, note))


def existing(source: str, flag: str = "") -> Path:
    """The path that a user wrote.

    Raises:
        InputError: when nothing is there, with what is called alike.
    """
    path = place_of(source)
    if source and path.exists():
        return path
    parent = path.parent
    siblings = [entry.name for entry in parent.iterdir()] if source and parent.is_dir() else []
    names = siblings if flag else [*siblings, *BUILTIN]
    other = "" if flag else f", or one of {', '.join(BUILTIN)}"
    raise InputError(
        f"{flag}{source or repr(source)}: is not there; expected a folder, a .zip or .tar archive, a"
        f" manifest{other}.{did_you_mean(path.name, names)}"
    )


def _manifest_of(found: Listing, path: Path) -> str | None:
    """The manifest at the top: labels.csv, .tsv or .parquet, or the only one there is."""
    top = [name for name in found.manifests if "/" not in name]
    named = [name for name in top if name.rpartition(".")[0].lower() == "labels"]
    chosen = named or top
    if len(chosen) > 1:
        raise InputError(
            f"{path}: holds several manifests ({joined(chosen)}); give one by its path, or join them into"
            " labels.csv with a column split"
        )
    return chosen[0] if chosen else None


def _expect_labels(table: Table) -> None:
    """Refuse a table of predictions that lies beside the images: what it says was never looked at."""
    for name, column in table.columns.items():
        if column.filled and all(f"{name}:{value}" in table.columns for value in column.filled):
            raise InputError(
                f"{table.path}: has the columns of predictions ({name}, {name}:CLASS), not of labels; put it "
                "elsewhere, or give it by its path to take what it says for labels"
            )


def _refuse_manifest(source: str, choice: ColumnChoice, images: str | None, reason: str) -> None:
    """Refuse what is said about a manifest where there is none."""
    choice.refuse(source, reason)
    if images is not None:
        raise InputError(f"{source}: --images goes with a manifest, but {reason}; leave it out")


def _name(path: Path) -> str:
    """What the data are called: the folder's or archive's name, or the folder of labels.csv."""
    path = path.resolve()
    if path.is_dir():
        return path.name
    return path.parent.name if path.stem.lower() == "labels" else path.stem
