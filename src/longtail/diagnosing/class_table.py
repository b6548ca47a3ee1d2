"""Tables of a diagnosis in the terminal; the one of classes: images, and what random batches hold of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longtail.diagnosing.batch_shares import SIMULATED_BATCHES
from longtail.diagnosing.examine import AttributeDiagnosis, Diagnosis
from longtail.words import shortened

ALL_ROWS = 60
"""About how many classes are shown, over all attributes: two screens."""

MOST_ROWS = 15
"""Classes shown of one attribute."""

LARGEST_TOO = 4
"""Of every four rows, one is for a large class; of fewer than four, all are for the rarest."""

NAMES_WIDTH, NAMES_BESIDE_SPLITS = 30, 22
"""Terminal columns that the figures leave for names, alone and beside a column for every split."""


def columns(left: Sequence[str], right: Sequence[str]) -> Table:
    """A table without edges: columns of text on the left, of figures on the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def section(title: str, body: RenderableType, remark: str = "") -> RenderableType:
    """A title, what stands below it, and what its words mean."""
    parts: list[RenderableType] = [Text(title, style="bold"), body]
    if remark:
        parts.append(Text(remark, style="dim"))
    return Padding(Group(*parts), (1, 0, 0, 0))


def whole_percent(share: float) -> str:
    """A share as a whole percentage, which is 0 only where it never was."""
    return "< 1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def class_table(diagnosis: Diagnosis) -> RenderableType:
    """The largest and the rarest classes of every attribute, as many as two screens hold."""
    several = len(diagnosis.attributes) > 1
    splits = _split_columns(diagnosis)
    groups = not splits and _groups_tell_something(diagnosis)
    images = [*(splits or ["images"]), *(["groups"] if groups else [])]
    shares = ["pair", "alone", "major", "absent"]
    table = columns(["attribute", "class"] if several else ["class"], [*images, *shares])
    name_width, class_width = _name_widths(diagnosis, NAMES_BESIDE_SPLITS if splits else NAMES_WIDTH)
    most = min(MOST_ROWS, max(1, ALL_ROWS // len(diagnosis.attributes)))
    for attribute in diagnosis.attributes:
        rows = list(_class_rows(attribute, most, splits, groups))
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
    title = "Classes, the largest first" if most >= LARGEST_TOO else "The rarest classes"
    return section(title, table, meaning)


def _name_widths(diagnosis: Diagnosis, width: int) -> tuple[int, int]:
    """Columns for the names of attributes and of classes, which share `width`."""
    if len(diagnosis.attributes) == 1:
        return 0, width
    longest = max(cell_len(found.name) for attribute in diagnosis.attributes for found in attribute.classes)
    of_classes = min(width // 2, max(longest, len("class")))
    return width - of_classes, of_classes


def _class_rows(
    attribute: AttributeDiagnosis, most: int, splits: Sequence[str], groups: bool
) -> Iterator[tuple[str, list[str]]]:
    """The largest classes, how many are left out, and the rarest: name and figures of each row."""
    order = sorted(range(len(attribute.classes)), key=lambda k: -attribute.classes[k].train_images)
    left_out = max(0, len(order) - most)
    largest = most // LARGEST_TOO if left_out else 0
    for place, k in enumerate(order):
        if place == largest and largest:
            yield f"… {left_out} more", []
        if not largest <= place < largest + left_out:
            yield attribute.classes[k].name, _figures(attribute, k, splits, groups)


def _figures(attribute: AttributeDiagnosis, k: int, splits: Sequence[str], groups: bool) -> list[str]:
    found, batches = attribute.classes[k], attribute.batches[0]
    images = [found.in_split(split) for split in splits]
    shares = (batches.kept[k], batches.skipped[k], batches.majority[k], batches.absent[k])
    return [
        *(f"{number:,}" for number in images or [found.images]),
        *([f"{found.groups:,}"] if groups else []),
        *map(whole_percent, shares),
    ]


def _split_columns(diagnosis: Diagnosis) -> tuple[str, ...]:
    """The given splits, and "train" for images without one; nothing where no image has one."""
    given = diagnosis.given_splits
    unassigned = sum(diagnosis.split_sizes or ()) < diagnosis.images
    return ("train", *given) if given and unassigned and "train" not in given else given


def _groups_tell_something(diagnosis: Diagnosis) -> bool:
    """Where every image is its own group, their number repeats that of the images."""
    return diagnosis.groups is not None and diagnosis.groups < diagnosis.images
