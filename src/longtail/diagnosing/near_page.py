"""The groups of near duplicates as one HTML page with small pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from longtail.data.dataset import Dataset
from longtail.diagnosing.image_check import DuplicateSet
from longtail.diagnosing.pictures import picture
from longtail.reporting.html import render
from longtail.settings import MOST_BITS
from longtail.words import NOTHING, count

MOST_GROUPS = 50
"""Groups shown; with `MOST_IMAGES` about a megabyte."""

MOST_IMAGES = 6
"""Images shown of a group."""


@dataclass(frozen=True)
class Shown:
    """An image on the page: its picture if there is one, its id, and its labels."""

    picture: str | None
    id: str
    labels: str


@dataclass(frozen=True)
class Part:
    """A group on the page: what is said of it, its first images, and a sentence on those left out."""

    facts: str
    shown: tuple[Shown, ...]
    rest: str


def render_near(
    dataset: Dataset, near: Sequence[DuplicateSet], origin: Mapping[str, str], bits: int = MOST_BITS
) -> str:
    """The page: at most `MOST_GROUPS` groups, those that are wrong wherever they lie first.

    Args:
        dataset: whose images they are.
        near: groups of near duplicates.
        origin: what stands at the foot.
        bits: that the values of images of 16 bits use.
    """
    ordered = sorted(near, key=lambda group: (not group.conflicts, len(group.splits) < 2, -len(group.ids)))
    rows = {name: row for row, name in enumerate(dataset.ids)}
    shown, left = ordered[:MOST_GROUPS], max(len(near) - MOST_GROUPS, 0)
    values = {
        "title": f"Near duplicates in {dataset.name}",
        "headline": (
            "Images that are nearly the same, whatever their size and brightness: with different labels "
            "first, then those in several splits, then large groups. Some are different things that look "
            "alike. --group-near-duplicates keeps each group on one side of a split."
        ),
        "facts": {
            "images": f"{len(dataset):,}",
            "groups": f"{len(near):,}, of {count(sum(len(group.ids) for group in near), 'image')}",
            "shown": f"{count(len(shown), 'group')}, at most {MOST_IMAGES} images of each",
        },
        "parts": [_part(dataset, group, rows, bits) for group in shown],
        "rest": f"{count(left, 'group')} more not shown." if left else "",
        "origin": origin,
    }
    return render("near.html", values, "longtail.diagnosing")


def _part(dataset: Dataset, group: DuplicateSet, rows: Mapping[str, int], bits: int) -> Part:
    left = len(group.ids) - MOST_IMAGES
    return Part(
        ", ".join(_facts(group)),
        tuple(_shown(dataset, rows[name], bits) for name in group.ids[:MOST_IMAGES]),
        f"{count(left, 'image')} more" if left > 0 else "",
    )


def _facts(group: DuplicateSet) -> Iterator[str]:
    yield count(len(group.ids), "image")
    if group.conflicts:
        yield f"different {', '.join(conflict.attribute for conflict in group.conflicts)}"
    if len(group.splits) > 1:
        yield f"in {', '.join(group.splits)}"
    if group.groups is not None and group.groups > 1:
        yield count(group.groups, "group")


def _shown(dataset: Dataset, row: int, bits: int) -> Shown:
    pairs = zip(dataset.schema.attributes, dataset.labels[row].tolist(), strict=True)
    names = [NOTHING if k < 0 else attribute.classes[k] for attribute, k in pairs]
    return Shown(picture(dataset.images, row, bits), dataset.ids[row], ", ".join(names))
