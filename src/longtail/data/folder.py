"""Images in one folder per class: ROOT/CLASS/*, or ROOT/{train,val,test}/CLASS/*."""

from __future__ import annotations

import numpy as np

from longtail.data.classes import (
    SPLIT_NAMES,
    describe_attributes,
    describe_split,
    odd_values,
    order_classes,
)
from longtail.data.dataset import Dataset
from longtail.data.listing import Listing
from longtail.data.names import Names
from longtail.errors import InputError
from longtail.schema import LabelSchema
from longtail.words import count, joined

ATTRIBUTE = "label"
"""Name of the one attribute that folders give."""


def open_folders(found: Listing, name: str, least_classes: int = 2) -> Dataset:
    """The data set whose classes are the folders its images lie in, however deep below them.

    With splits, a class folder may be missing from some of them; the class is kept.

    Raises:
        InputError: when no image lies in a class folder, there are fewer than `least_classes`, or
            split folders lie beside others.
    """
    depth = 1 if _has_splits(found) else 0
    kept = [place for place, image in enumerate(found.images) if image.count("/") > depth]
    folders = [found.images[place].split("/", depth + 1)[: depth + 1] for place in kept]
    classes = order_classes(folder[depth] for folder in folders)
    hollow = _hollow(found, depth, classes)
    _check_classes(found, classes, depth > 0, least_classes, hollow)
    place = {text: index for index, text in enumerate(classes)}
    labels = np.array([place[folder[depth]] for folder in folders], np.int64)[:, None]
    schema = LabelSchema.single(ATTRIBUTE, classes)
    split = np.array([SPLIT_NAMES[folder[0].lower()] for folder in folders], np.int8) if depth else None
    notes = (
        f"{count(len(kept), 'image')} in class folders of {found.root}",
        *describe_attributes(schema, labels),
        *odd_values(ATTRIBUTE, classes, labels[:, 0]),
        *([] if split is None else describe_split("by folder", split)),
        *_left_out(len(found.images) - len(kept), hollow),
        *found.all_notes(),
    )
    names = Names(found.images[place] for place in kept)
    images = found.store(np.array(kept, np.int64))
    return Dataset(name, schema, labels, names, images, split=split, notes=notes)


def _has_splits(found: Listing) -> bool:
    """Whether the top folders are splits; refused where some are, since either reading would be wrong."""
    deep = {image.partition("/")[0] for image in found.images if image.count("/") > 1}
    flat = {image.partition("/")[0] for image in found.images if image.count("/") == 1}
    tops = deep | flat
    splits = {top for top in tops if top.lower() in SPLIT_NAMES}
    if not splits:
        return False
    if splits == tops and deep:
        return True
    if splits == tops and len(splits) > 1:
        top = sorted(splits)[0]
        raise InputError(
            f"{found.root}: images lie directly in {top}/, without a class folder;"
            f" expected {top}/CLASS/IMAGE, or a manifest labels.csv"
        )
    if splits & flat or not deep:  # a class may well be called 'train'
        return False
    raise InputError(
        f"{found.root}: folders {joined(sorted(splits))} look like splits, but"
        f" {joined(sorted(tops - splits))} lie beside them; move those away, call them like splits"
        f" ({joined(SPLIT_NAMES)}), or move the splits into a folder of their own"
    )


def _hollow(found: Listing, depth: int, classes: tuple[str, ...]) -> list[str]:
    """Folders in the place of splits and classes without an image, where no other gives the class."""
    return sorted(
        folder
        for folder in found.hollow
        if folder.count("/") < depth or (folder.count("/") == depth and folder.split("/")[-1] not in classes)
    )


def _check_classes(
    found: Listing, classes: tuple[str, ...], split_layout: bool, least: int, hollow: list[str]
) -> None:
    below = "SPLIT/CLASS/IMAGE" if split_layout else "CLASS/IMAGE"
    if not classes:
        raise InputError(
            f"{found.root}: no image lies in a class folder; expected {below}, or a manifest labels.csv"
        )
    if len(classes) < least:
        empty = f" (no image in {joined(hollow)})" if hollow else ""
        raise InputError(
            f"{found.root}: only one class, {classes[0]!r}{empty}; expected {below} with at least two class"
            " folders, or a manifest labels.csv"
        )


def _left_out(loose: int, hollow: list[str]) -> list[str]:
    empty = f"{count(len(hollow), 'folder')} without an image, so no class: {joined(hollow)}"
    outside = f"{count(loose, 'image')} left out, in no class folder"
    return [note for note, kind in ((empty, hollow), (outside, loose)) if kind]
