"""The suspect labels of a data set as one HTML page with small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longtail.data.dataset import Dataset
from longtail.diagnosing.labels import AttributeCheck, LabelCheck, Suspect
from longtail.diagnosing.pictures import picture
from longtail.reporting.html import render
from longtail.settings import MOST_BITS
from longtail.words import count, joined, listed, of_hundred

MOST_PICTURES = 200
"""Suspects shown on a page, over all attributes: about a megabyte."""


@dataclass(frozen=True)
class Shown:
    """A suspect on the page: its number, its picture if there is one, and what is said of it."""

    rank: int
    picture: str | None
    image: str
    given: str
    suggested: str
    reason: str


@dataclass(frozen=True)
class Part:
    """One attribute on the page.

    Attributes:
        name, facts: of the attribute; how many labels were judged and listed.
        not_judged: a sentence on classes that were not judged, empty where there are none.
        rows: of the table of classes: name, images, listed, listed in percent.
        shown: suspects with their pictures.
        rest: a sentence on those that are left out.
    """

    name: str
    facts: str
    not_judged: str
    rows: tuple[tuple[str, int, int, str], ...]
    shown: tuple[Shown, ...]
    rest: str


def render_labels(
    dataset: Dataset,
    check: LabelCheck,
    origin: Mapping[str, str],
    bits: int = MOST_BITS,
    most: int = MOST_PICTURES,
) -> str:
    """The page: at most `most` suspects, the first ones of each attribute, and `origin` at its foot."""
    shares = shares_of([len(found.suspects) for found in check.attributes], most)
    parts = [_part(dataset, found, n, bits) for found, n in zip(check.attributes, shares, strict=True)]
    values = {
        "title": f"Suspect labels of {dataset.name}",
        "headline": headline(check),
        "facts": {
            "images": f"{len(dataset):,}" + (f", {check.unread:,} unreadable" if check.unread else ""),
            "suspects": f"{len(check.suspects):,}",
            "shown": f"{sum(map(len, (part.shown for part in parts))):,}, all are in labels.csv",
        },
        "parts": parts,
        "origin": origin,
    }
    return render("labels.html", values, "longtail.diagnosing")


def headline(check: LabelCheck) -> str:
    """What the list is, and what it is not."""
    return (
        "Images whose label may be wrong, the most suspect first: a model that did not see the image prefers"
        f" another label. At most {of_hundred(check.share)} % of the labels are listed, those of a rare class"
        " on strong evidence only, so that it is not thrown away for being rare. Many of these labels are"
        " right. Nothing was changed: a person decides."
    )


def not_judged(found: AttributeCheck) -> str:
    """A sentence on the classes whose labels could not be judged."""
    names = found.not_judged
    if not names:
        return ""
    what = f"{count(len(names), 'class', 'classes')} could not be judged"
    return f"{what}, with one image or all images in one group: {listed(names)}."


def shares_of(sizes: Sequence[int], most: int) -> list[int]:
    """How many of each list are shown: evenly, and what short lists leave goes to the longer ones.

    Example:
        >>> shares_of([300, 10, 100], 200)
        [95, 10, 95]
    """
    shown, left = [0] * len(sizes), most
    for place, i in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        shown[i] = min(sizes[i], left // (len(sizes) - place))
        left -= shown[i]
    return shown


def _part(dataset: Dataset, found: AttributeCheck, most: int, bits: int) -> Part:
    rows = [(c.name, c.images, c.listed, f"{100 * c.listed / c.images:.1f}") for c in found.classes]
    left = len(found.suspects) - most
    return Part(
        name=found.name,
        facts=f"{found.labelled:,} labels, {found.judged:,} judged, {len(found.suspects):,} suspect",
        not_judged=not_judged(found),
        rows=tuple(rows),
        shown=tuple(_shown(dataset, suspect, bits) for suspect in found.suspects[:most]),
        rest=f"{left:,} more are in labels.csv." if left else "",
    )


def _shown(dataset: Dataset, suspect: Suspect, bits: int) -> Shown:
    twins = joined(suspect.twins, 2)
    reason = f"identical to {twins}" if twins else f"suspicion {suspect.suspicion:.2f}"
    return Shown(
        suspect.rank,
        picture(dataset.images, suspect.row, bits),
        suspect.image,
        suspect.given,
        suspect.suggested,
        reason,
    )
