"""A diagnosis in the terminal, within 80 columns, and as a dict for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from longtail.data.dataset import SPLITS
from longtail.diagnosing.advise import Advice, advise
from longtail.diagnosing.class_table import class_table, columns, section, whole_percent
from longtail.diagnosing.examine import AttributeDiagnosis, Diagnosis
from longtail.diagnosing.image_check import DuplicateSet, ImageDiagnosis, ImageProblem, Spread
from longtail.diagnosing.near import MOST_COMPARED
from longtail.diagnosing.planned import Plan, Rarest
from longtail.words import NOTHING, count, of_hundred, shortened, shown

MOST_IDS = 4
"""Ids and labels shown of one set of identical images; the dict holds all."""

MOST_LISTED = 10
"""Images shown of one kind of problem; the dict holds all."""

MOST_ALIKE = 3
"""Pieces of advice shown of one rule; the dict holds all."""

SMALL = (20, 5)
"""Classes with fewer images than these are counted."""


def to_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything in a diagnosis, and the advice that follows from it, in a form that JSON can hold.

    Per attribute, the shares in `batches` are in the order of `classes`; `split_sizes` and
    `split_images` are in the order of `splits`.
    """
    whole = msgspec.to_builtins(diagnosis)
    for entry, attribute in zip(whole["attributes"], diagnosis.attributes, strict=True):
        entry |= _class_lists(diagnosis, attribute)
    if diagnosis.image_check is not None:
        whole["image_check"]["formats"] = dict(diagnosis.image_check.formats)
    advice = msgspec.to_builtins(advise(diagnosis))
    return {"schema_version": 1, "splits": SPLITS, **whole, "advice": advice}


def render(diagnosis: Diagnosis) -> RenderableType:
    """What a person should know of the data, for a terminal of 80 columns or more."""
    parts = [_head(diagnosis), _balance(diagnosis), class_table(diagnosis)]
    if diagnosis.image_check is not None:
        parts += [_images(diagnosis, diagnosis.image_check), *_problems(diagnosis.image_check)]
    if diagnosis.plan is not None:
        parts.append(_plan(diagnosis.plan))
    return Group(*parts, _advice(advise(diagnosis)))


def _class_lists(diagnosis: Diagnosis, attribute: AttributeDiagnosis) -> dict[str, Any]:
    """The classes that are short of something, by name."""
    return {
        "labelled": attribute.labelled,
        "empty": attribute.empty,
        "single": attribute.single,
        "one_group": attribute.one_group,
        **{f"below_{images}": attribute.below(images) for images in SMALL},
        "absent_from": {split: attribute.absent_from(split) for split in diagnosis.given_splits},
    }


def _head(diagnosis: Diagnosis) -> RenderableType:
    parts = [count(diagnosis.images, "image"), count(len(diagnosis.attributes), "attribute")]
    if diagnosis.groups is not None:
        parts.append(count(diagnosis.groups, "group"))
    if diagnosis.split_sizes is not None:
        parts += [f"{name} {size:,}" for name, size in zip(SPLITS, diagnosis.split_sizes) if size]
    title = Text.assemble((shown(diagnosis.name), "bold"), ": ", ", ".join(parts))
    return Group(title, *(Text(shown(note), style="dim") for note in diagnosis.notes))


def _balance(diagnosis: Diagnosis) -> RenderableType:
    few = [f"< {images}" for images in SMALL]
    table = columns(["attribute"], ["classes", "no value", "ratio", "Ω", *few, "single", "no pair"])
    for attribute in diagnosis.attributes:
        table.add_row(
            Text(shortened(attribute.name, 20)),
            f"{len(attribute.classes):,}",
            f"{attribute.unlabelled:,}",
            _ratio(attribute.imbalance_ratio),
            f"{attribute.omega:.1f}",
            *(f"{len(attribute.below(images)):,}" for images in SMALL),
            f"{len(attribute.single):,}",
            whole_percent(attribute.batches[0].without_pair),
        )
    meaning = (
        "ratio: largest to smallest class. Ω: percent of images that would have to change class for balance. "
        "< 20, < 5, single: classes with so few images. no pair: percent of batches in which no minority "
        "class has two images, so that nothing is rectified."
    )
    return section("Balance", table, meaning + _of_training(diagnosis))


def _images(diagnosis: Diagnosis, check: ImageDiagnosis) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("checked", f"{check.checked:,}")
    table.add_row("missing", f"{len(check.missing):,}")
    table.add_row("unreadable", f"{len(check.unreadable):,}")
    table.add_row("formats", ", ".join(f"{name} {images:,}" for name, images in check.formats) or NOTHING)
    table.add_row("width", _pixels(check.width))
    table.add_row("height", _pixels(check.height))
    table.add_row("duplicates", ", ".join(_duplicates(diagnosis, check)))
    table.add_row("near duplicates", ", ".join(_near(diagnosis)))
    return section("Images", table)


def _duplicates(diagnosis: Diagnosis, check: ImageDiagnosis) -> Iterator[str]:
    if not check.duplicates:
        yield "none"
        return
    sets, pairs = len(check.duplicates), sum(found.pairs for found in check.duplicates)
    yield f"{count(sets, 'set')} of identical images ({count(pairs, 'pair')})"
    yield f"{len(check.conflicting):,} with different labels"
    if diagnosis.groups is not None:
        yield f"{len(check.across_groups):,} across groups"
    if diagnosis.split_sizes is not None:
        yield f"{len(check.across_splits):,} across splits"


def _near(diagnosis: Diagnosis) -> Iterator[str]:
    near = diagnosis.near
    if not near:
        yield "none" if near is not None else f"not looked for among more than {MOST_COMPARED:,} images"
        return
    yield f"{count(len(near), 'group')} ({count(sum(len(found.ids) for found in near), 'image')})"
    yield f"{sum(bool(found.conflicts) for found in near):,} with different labels"
    if diagnosis.groups is not None:
        yield f"{sum((found.groups or 0) > 1 for found in near):,} across groups"
    if diagnosis.split_sizes is not None:
        yield f"{sum(len(found.splits) > 1 for found in near):,} across splits"


def _plan(plan: Plan) -> RenderableType:
    """What the first training would be, and how far its test figures can be trusted."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("split", ", ".join(f"{name} {size:,}" for name, size in zip(SPLITS, plan.split_sizes)))
    for rarest in plan.rarest[:MOST_ALIKE]:
        table.add_row("rarest class", Text(_rarest(rarest)))
    epochs = f"{count(plan.epochs, 'epoch')} of {count(plan.steps, 'step')}"
    table.add_row("length", epochs if plan.steps else "solved at once")
    table.add_row("chosen", Text(plan.flags))
    return section("First training: longtail train DATA", table, _left_out(len(plan.rarest) - MOST_ALIKE))


def _rarest(rarest: Rarest) -> str:
    """'colour red: train 16, val 2, test 5; with 3 right, its recall is 23 to 88 %'."""
    sizes = ", ".join(f"{name} {size:,}" for name, size in zip(SPLITS, rarest.images))
    name = f"{shortened(rarest.attribute, 20)} {shortened(rarest.name, 20)}: {sizes}"
    if rarest.recall is None:
        return f"{name}; its recall cannot be measured"
    low, high = of_hundred(rarest.recall.low), of_hundred(rarest.recall.high)
    right = round(rarest.recall.value * rarest.images[-1])
    return f"{name}; {right} of {rarest.images[-1]} right would mean a recall of {low} to {high} %"


def _problems(check: ImageDiagnosis) -> Iterator[RenderableType]:
    if check.missing:
        yield _listed_images("Missing", check.missing)
    if check.unreadable:
        yield _listed_images("Unreadable", check.unreadable)
    telling = [found for found in check.duplicates if found.conflicts or len(found.splits) > 1]
    if telling:
        yield _listed_duplicates(telling)


def _listed_images(title: str, problems: Sequence[ImageProblem]) -> RenderableType:
    table = columns(["id", "reason"], [])
    for problem in problems[:MOST_LISTED]:
        table.add_row(Text(shown(problem.id)), Text(shown(problem.reason)))
    return section(title, table, _left_out(len(problems) - MOST_LISTED))


def _listed_duplicates(sets: Sequence[DuplicateSet]) -> RenderableType:
    """Sets with different labels first: they are wrong wherever they lie."""
    ordered = sorted(sets, key=lambda found: not found.conflicts)
    split = any(found.splits for found in sets)
    table = columns(["ids", "different labels", *(["splits"] if split else [])], [])
    for found in ordered[:MOST_LISTED]:
        splits = [Text(", ".join(found.splits))] if split else []
        table.add_row(Text(_some(found.ids, " = ")), Text("\n".join(_conflicts(found))), *splits)
    title = "Identical images with different labels" + (", or in several splits" if split else "")
    return section(title, table, _left_out(len(sets) - MOST_LISTED))


def _conflicts(found: DuplicateSet) -> Iterator[str]:
    """'colour: red / blue', with the labels in the order of the ids; of many ids, each label once."""
    for conflict in found.conflicts:
        labels = [NOTHING if label is None else label for label in conflict.labels]
        if len(labels) > MOST_IDS:
            labels = list(dict.fromkeys(labels))
        yield f"{shown(conflict.attribute)}: {_some(labels, ' / ')}"


def _some(names: Sequence[str], between: str) -> str:
    """The first names, and how many are left out."""
    rest = [f"… {len(names) - MOST_IDS} more"] if len(names) > MOST_IDS else []
    return between.join([*map(shown, names[:MOST_IDS]), *rest])


def _advice(advice: Iterable[Advice]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for _, alike in groupby(advice, key=lambda piece: piece.rule):
        pieces = list(alike)
        for piece in pieces[:MOST_ALIKE]:
            table.add_row("•", Text(piece.text))
        if len(pieces) > MOST_ALIKE:
            table.add_row("", Text(f"… and {len(pieces) - MOST_ALIKE} more like this", style="dim"))
    return section("What follows", table if table.row_count else Text("Nothing stands out."))


def _left_out(images: int) -> str:
    return f"… and {images:,} more" if images > 0 else ""


def _of_training(diagnosis: Diagnosis) -> str:
    if diagnosis.training_images == diagnosis.images:
        return ""
    return f" Ratio, Ω and batches are those of the {diagnosis.training_images:,} training images."


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return NOTHING
    return f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def _pixels(spread: Spread | None) -> str:
    if spread is None:
        return NOTHING
    if spread.smallest == spread.largest:
        return f"{spread.smallest:,} px"
    return f"{spread.smallest:,} to {spread.largest:,} px, median {spread.median:,.0f}"
