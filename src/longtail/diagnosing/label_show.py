"""Suspect labels in the terminal, within 80 columns, and as a dict for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from longtail.diagnosing.class_table import columns, section
from longtail.diagnosing.label_page import not_judged
from longtail.diagnosing.labels import AttributeCheck, LabelCheck, Suspect
from longtail.words import count, of_hundred, shortened, shown

MOST_CLASSES = 10
"""Classes of one attribute with suspects that are shown."""

MOST_SUSPECTS = 10
"""Suspects that are shown, over all attributes."""


def to_dict(check: LabelCheck) -> dict[str, Any]:
    """Everything that was found, in a form that JSON can hold; images by their ids."""
    return {
        "share": check.share,
        "unreadable": check.unread,
        "attributes": [_attribute_dict(found) for found in check.attributes],
    }


def _attribute_dict(found: AttributeCheck) -> dict[str, Any]:
    suspects = [
        {
            "id": suspect.image,
            "given": suspect.given,
            "suggested": suspect.suggested,
            "suspicion": round(suspect.suspicion, 4),
            "identical_to": list(suspect.twins),
        }
        for suspect in found.suspects
    ]
    return {"name": found.name, "classes": [asdict(c) for c in found.classes], "suspects": suspects}


def render(check: LabelCheck, place: str, again: str = "") -> RenderableType:
    """How many labels of each class are suspect, the most suspect, where all are and how to go on."""
    several = len(check.attributes) > 1
    counts = _attributes(check) if several else _classes(check.attributes[0])
    remark = (
        "A model that did not see the image prefers another label. At most"
        f" {of_hundred(check.share)} % are listed, those of a rare class on strong evidence only; many are"
        f" right. Nothing was changed: look at them in {place}."
    )
    notes = [f"{found.name}: {text}" for found in check.attributes if (text := not_judged(found))]
    twins = len({suspect.row for suspect in check.suspects if suspect.twins})
    if twins:
        are = "image first in the list is" if twins == 1 else "images first in the list are"
        notes.append(f"{twins:,} {are} identical to one with another label.")
    if check.unread:
        notes.append(f"{count(check.unread, 'image')} could not be read, and were not judged.")
    parts = [section("Suspect labels", counts, "\n".join([remark, *notes]))]
    if _most_suspect(check):
        remark = f"Correct labels in labels.csv beside the page, then: {shown(again)}" if again else ""
        parts.append(section("Most suspect", _first(check, several), remark))
    return Group(*parts)


def _attributes(check: LabelCheck) -> RenderableType:
    table = columns(["attribute"], ["labels", "judged", "suspect"])
    for found in check.attributes:
        numbers = (found.labelled, found.judged, len(found.suspects))
        table.add_row(Text(shortened(found.name, 30)), *(f"{n:,}" for n in numbers))
    return table


def _classes(found: AttributeCheck) -> RenderableType:
    """The classes with most suspects for their size first; one line for all others."""
    table = columns(["class"], ["images", "judged", "suspect", "%"])
    ordered = sorted(found.classes, key=lambda c: -c.listed / c.images)
    for c in ordered[:MOST_CLASSES]:
        share = f"{100 * c.listed / c.images:.1f}"
        table.add_row(Text(shortened(c.name, 30)), f"{c.images:,}", f"{c.judged:,}", f"{c.listed:,}", share)
    rest = ordered[MOST_CLASSES:]
    if rest:
        images, judged, listed = (sum(getattr(c, n) for c in rest) for n in ("images", "judged", "listed"))
        name = f"{len(rest)} other " + ("class" if len(rest) == 1 else "classes")
        table.add_row(name, f"{images:,}", f"{judged:,}", f"{listed:,}", f"{100 * listed / images:.1f}")
    return table


def _first(check: LabelCheck, several: bool) -> RenderableType:
    table = columns(["image", *(["attribute"] if several else []), "label", "fits better"], ["suspicion"])
    width = 18 if several else 24
    for suspect in _most_suspect(check):
        texts = [suspect.image, *([suspect.attribute] if several else [])]
        texts += [suspect.given, suspect.suggested]
        table.add_row(*(Text(shortened(text, width)) for text in texts), f"{suspect.suspicion:.2f}")
    return table


def _most_suspect(check: LabelCheck) -> list[Suspect]:
    """Of all attributes; without those that have contradicting twins, which the diagnosis shows."""
    return sorted((s for s in check.suspects if not s.twins), key=lambda s: (-s.suspicion, s.rank))[
        :MOST_SUSPECTS
    ]
