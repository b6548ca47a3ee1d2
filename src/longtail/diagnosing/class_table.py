"""The classes of a data set in the terminal: how many images, and what random batches hold of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from longtail.data.dataset import SPLITS
from longtail.diagnosing.batch_shares import SIMULATED_BATCHES
from longtail.diagnosing.examine import AttributeDiagnosis, Diagnosis
from longtail.reporting.layout import columns, section, whole_percent
from longtail.words import shortened

ALL_ROWS = 60
"""About how many classes are shown, over all attributes: two screens."""

MOST_ROWS = 15
"""Classes shown of one attribute."""

LARGEST_TOO = 4
"""Of every four rows, one is for a large class; of fewer than four, all are for the rarest."""

NAMES_WIDTH, NAMES_BESIDE_SPLITS = 30, 22
"""Terminal columns that the figures leave for names, alone and beside a column for every split."""


def class_table(diagnosis: Diagnosis) -> RenderableType:
    """The largest and the rarest classes of every attribute, as many as two screens hold."""
    several = len(diagnosis.attributes) > 1
    splits = _split_columns(diagnosis)
    groups = not splits and _groups_tell_something(diagnosis)
    images = [*(splits or ["images"]), *(["groups"] if groups else [])]
    shares = ["pair", "alone", "major", "absent"]
    table = columns(["attribute", "class"] if several else ["class"], [*images, *shares])
    name_width, class_width = _name_widths(diagnosis, NAMES_BESIDE_SPLITS if splits else NAMES_WIDTH)
    for attribute in diagnosis.attributes:
        rows = list(_class_rows(attribute, len(diagnosis.attributes), splits, groups))
        for row, (name, figures) in enumerate(rows):
            head = [Text(shortened(attribute.name, name_width) if row == 0 else "")] if several else []
            table.add_row(*head, Text(shortened(name, class_width)), *figures)
        if len(rows) > 1:
            table.add_section()
    meaning = (
        f"pair, alone, major, absent: percent of {SIMULATED_BATCHES} simulated batches of "
        f"{diagnosis.attributes[0].batches[0].batch_size:,} (ρ = {diagnosis.rho:g}) in which the class is a "
        "minority with a pair, which is rectified; a minority with one image, which is not; no minority; "
        "not drawn."
    )
    largest_too = _shown_rows(len(diagnosis.attributes)) >= LARGEST_TOO
    return section("Classes, the largest first" if largest_too else "The rarest classes", table, meaning)


def _name_widths(diagnosis: Diagnosis, width: int) -> tuple[int, int]:
    """Columns for the names of attributes and of classes, which share `width`."""
    if len(diagnosis.attributes) == 1:
        return 0, width
    longest = max(cell_len(found.name) for attribute in diagnosis.attributes for found in attribute.classes)
    of_classes = min(width // 2, max(longest, len("class")))
    return width - of_classes, of_classes


def _class_rows(
    attribute: AttributeDiagnosis, attributes: int, splits: Sequence[str], groups: bool
) -> Iterator[tuple[str, list[str]]]:
    """The largest classes, how many are left out, and the rarest: name and figures of each row."""
    order = sorted(range(len(attribute.classes)), key=lambda k: -attribute.classes[k].train_images)
    head, tail = _shown_classes(len(order), attributes)
    for k in order[:head]:
        yield attribute.classes[k].name, _figures(attribute, k, splits, groups)
    if head and head + tail < len(order):
        yield f"… {len(order) - head - tail} more", []
    for k in order[len(order) - tail :]:
        yield attribute.classes[k].name, _figures(attribute, k, splits, groups)


def _shown_classes(classes: int, attributes: int) -> tuple[int, int]:
    """How many of the largest and of the rarest classes are shown: mostly the rarest."""
    rows = _shown_rows(attributes)
    if classes <= rows:
        return 0, classes
    largest = rows // LARGEST_TOO
    return largest, rows - largest


def _shown_rows(attributes: int) -> int:
    """How many classes of each attribute are shown."""
    return min(MOST_ROWS, max(1, ALL_ROWS // attributes))


def _figures(attribute: AttributeDiagnosis, k: int, splits: Sequence[str], groups: bool) -> list[str]:
    found, batches = attribute.classes[k], attribute.batches[0]
    images = [_images_in(split, found.train_images, found.split_images) for split in splits]
    shares = (batches.kept[k], batches.skipped[k], batches.majority[k], batches.absent[k])
    return [
        *(images or [f"{found.images:,}"]),
        *([f"{found.groups:,}"] if groups else []),
        *map(whole_percent, shares),
    ]


def _split_columns(diagnosis: Diagnosis) -> tuple[str, ...]:
    """The given splits, and "train" for images without one; nothing where no image has one."""
    given = diagnosis.given_splits
    unassigned = sum(diagnosis.split_sizes or ()) < diagnosis.images
    return ("train", *given) if given and unassigned and "train" not in given else given


def _images_in(split: str, train_images: int, split_images: tuple[int, ...] | None) -> str:
    """Images in a given split; those of no split are trained on."""
    if split == "train" or split_images is None:
        return f"{train_images:,}"
    return f"{split_images[SPLITS.index(split)]:,}"


def _groups_tell_something(diagnosis: Diagnosis) -> bool:
    """Where every image is its own group, their number repeats that of the images."""
    return diagnosis.groups is not None and diagnosis.groups < diagnosis.images
