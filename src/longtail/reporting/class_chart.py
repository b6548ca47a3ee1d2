"""Every class of one attribute: training images, recall, and how often it was rectified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.results import AttributeResults, Bounds, ClassResults
from longtail.reporting import svg
from longtail.reporting.confusion import READABLE
from longtail.reporting.panels import (
    BOTTOM,
    GROUPS,
    GUESS,
    WIDTH,
    class_bars,
    count_bars,
    group_legend,
    legend,
    open_axes,
    row_bars,
    row_chart,
    share_axis,
    short_count,
)
from longtail.reporting.wording import by_frequency
from longtail.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 65
"""With more classes than this, names no longer fit and classes are drawn by rank."""

MINED, PALE = svg.SERIES[0], 0.35
"""Colour of what was rectified, and the opacity that makes it mean skipped."""

_RANK_SIZE = (WIDTH, 320.0)


@dataclass(frozen=True)
class Mined:
    """How often the loss rectified each class of one attribute, as shares of batches.

    Attributes:
        kept: share of batches in which the class was a rectified minority.
        skipped: share in which it was a minority with a single image, hence skipped.
    """

    kept: Sequence[float]
    skipped: Sequence[float]


def class_chart(ident: str, attribute: AttributeResults, groups: Bounds, mined: Mined | None) -> Markup:
    """Training images and recall of every class, and how often it was rectified where that is known.

    Classes run from the most to the least frequent, so that picture and table can be read side by side.
    """
    order = by_frequency(attribute.classes)
    rows = _Rows(
        classes=[attribute.classes[k] for k in order],
        mined=mined and Mined([mined.kept[k] for k in order], [mined.skipped[k] for k in order]),
        balanced=attribute.metrics.class_balanced_accuracy,
        limits=(groups.many_above, groups.few_below),
    )
    title = f"Training images and recall of every class of {attribute.name}, most frequent class first"
    if len(order) > MOST_NAMED:
        return svg.draw(ident, title, _RANK_SIZE, partial(_paint_ranks, rows))
    names = [shortened(c.name, 18) for c in rows.classes]
    bottom = BOTTOM + (16 if mined else 0)  # for a second legend
    height = _row_height(len(order)) * len(order)
    return row_chart(ident, title, names, 3 if mined else 2, height, partial(_paint_rows, rows), bottom)


@dataclass(frozen=True)
class _Rows:
    """What both forms of the chart show, most frequent class first."""

    classes: Sequence[ClassResults]
    mined: Mined | None
    balanced: Estimate | None
    limits: tuple[int, int]

    @property
    def guess(self) -> float:
        """Recall of guessing among all classes."""
        return 1 / len(self.classes)


def _row_height(rows: int) -> float:
    return 20.0 if rows <= 12 else 17.0 if rows <= READABLE else 14.0


def _paint_rows(rows: _Rows, figure: Figure, panels: list[Axes]) -> None:
    count_bars(panels[0], rows.classes)
    for limit in rows.limits:
        panels[0].axvline(limit, color=svg.MUTED, linewidth=0.8, linestyle=":")
    _recalls(panels[1], rows)
    if rows.mined:
        _rectified(panels[2], rows.mined)
        legend(figure, [("rectified", MINED, 1), ("skipped", MINED, PALE)], bottom=True)
    legend(figure, group_legend(rows.classes))
    for panel in panels:
        _divide_groups(panel, rows.classes)


def _recalls(axes: Axes, rows: _Rows) -> None:
    share_axis(axes, "recall, %")
    recalls = [c.recall for c in rows.classes]
    row_bars(axes, [(y, 0, 1) for y, recall in enumerate(recalls) if recall is not None], svg.GRID, 0.4)
    class_bars(axes, rows.classes, recalls, 0, "not tested")
    axes.axvline(rows.guess, color=svg.INK, linewidth=1, linestyle=GUESS)
    if rows.balanced:
        axes.axvline(rows.balanced.value, color=svg.INK, linewidth=1, linestyle="--")


def _rectified(axes: Axes, mined: Mined) -> None:
    share_axis(axes, "batches, %")
    shares = list(enumerate(zip(mined.kept, mined.skipped, strict=True)))
    row_bars(axes, [(y, 0, kept) for y, (kept, _) in shares], MINED)
    row_bars(axes, [(y, kept, kept + skipped) for y, (kept, skipped) in shares], MINED, PALE)


def _divide_groups(axes: Axes, classes: Sequence[ClassResults]) -> None:
    for y in range(1, len(classes)):
        if classes[y].frequency_group != classes[y - 1].frequency_group:
            axes.axhline(y - 0.5, color=svg.MUTED, linewidth=0.8)


def _paint_ranks(rows: _Rows, figure: Figure) -> None:
    """A column per class, without names, for more classes than names fit."""
    upper, lower = (open_axes(figure, (52 / WIDTH, y, 1 - 64 / WIDTH, 0.36)) for y in (0.53, 0.12))
    for axes in (upper, lower):
        axes.set_xlim(0, len(rows.classes))
    _count_columns(upper, rows)
    _recall_columns(lower, rows)
    legend(figure, group_legend(rows.classes))


def _count_columns(axes: Axes, rows: _Rows) -> None:
    counts = [c.train_count for c in rows.classes]
    axes.set_yscale("log")
    axes.set(ylim=(0.5, max(2, *counts) * 1.3), ylabel="training images")
    axes.set_xticks([])
    axes.yaxis.set_major_formatter(lambda value, _: short_count(value))
    axes.minorticks_off()
    for limit in rows.limits:
        axes.axhline(limit, color=svg.MUTED, linewidth=0.8, linestyle=":")
    _group_columns(axes, rows, [n or None for n in counts], 0.5)


def _recall_columns(axes: Axes, rows: _Rows) -> None:
    axes.set(ylim=(0, 1), ylabel="recall, %", xlabel="classes, most frequent first")
    axes.set_yticks([0, 0.5, 1], ["0", "50", "100"])
    recalls = [c.recall for c in rows.classes]
    svg.boxes(axes, [(x, 0, x + 1, 1) for x, r in enumerate(recalls) if r is not None], svg.GRID, 0.4)
    _group_columns(axes, rows, recalls, 0)
    axes.axhline(rows.guess, color=svg.INK, linewidth=1, linestyle=GUESS)
    if rows.balanced:
        axes.axhline(rows.balanced.value, color=svg.INK, linewidth=1, linestyle="--")


def _group_columns(axes: Axes, rows: _Rows, ends: Sequence[float | None], start: float) -> None:
    for group, colour in GROUPS.items():
        shown = [
            (x, start, x + 1, end)
            for x, (c, end) in enumerate(zip(rows.classes, ends, strict=True))
            if end is not None and c.frequency_group == group
        ]
        svg.boxes(axes, shown, colour)
