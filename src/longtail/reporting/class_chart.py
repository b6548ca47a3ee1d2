"""Every class of one attribute: training images, recall, and how often it was rectified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.results import AttributeResults, Bounds, ClassResults
from longtail.reporting import svg
from longtail.reporting.confusion import READABLE
from longtail.reporting.panels import (
    BOTTOM,
    GROUPS,
    TOP,
    WIDTH,
    bars,
    columns,
    legend,
    log_axis,
    name_rows,
    remark,
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


def class_chart(ident: str, attribute: AttributeResults, groups: Bounds, mined: Mined | None) -> str:
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
        return svg.draw(ident, title, _RANK_SIZE, lambda figure: _paint_ranks(figure, rows))
    size = WIDTH, TOP + _row_height(len(order)) * len(order) + rows.bottom
    return svg.draw(ident, title, size, lambda figure: _paint_rows(figure, rows, size))


@dataclass(frozen=True)
class _Rows:
    """What both forms of the chart show, most frequent class first."""

    classes: Sequence[ClassResults]
    mined: Mined | None
    balanced: Estimate | None
    limits: tuple[int, int]

    @property
    def bottom(self) -> float:
        """Height below the rows: tick labels, and a legend where there is something to explain."""
        return BOTTOM + (16 if self.mined else 0)

    @property
    def present_groups(self) -> list[tuple[str, str, float]]:
        found = {c.frequency_group for c in self.classes}
        return [(group, colour, 1) for group, colour in GROUPS.items() if group in found]


def _row_height(rows: int) -> float:
    return 20.0 if rows <= 12 else 17.0 if rows <= READABLE else 14.0


def _paint_rows(figure: Figure, rows: _Rows, size: tuple[float, float]) -> None:
    names = [shortened(c.name, 18) for c in rows.classes]
    panels = columns(figure, size, names, 3 if rows.mined else 2, rows.bottom)
    name_rows(panels[0], names)
    _counts(panels[0], rows)
    _recalls(panels[1], rows)
    if rows.mined:
        _rectified(panels[2], rows.mined)
        legend(figure, [("rectified", MINED, 1), ("skipped", MINED, PALE)], size, bottom=True)
    legend(figure, rows.present_groups, size)
    for panel in panels:
        _divide_groups(panel, rows.classes)


def _counts(axes: Axes, rows: _Rows) -> None:
    counts = [c.train_count for c in rows.classes]
    log_axis(axes, counts, "training images")
    for limit in rows.limits:
        axes.axvline(limit, color=svg.MUTED, linewidth=0.8, linestyle=":")
    bars(axes, rows.classes, [n or None for n in counts], start=axes.get_xlim()[0])
    for y in (y for y, n in enumerate(counts) if not n):
        remark(axes, y, "none")


def _recalls(axes: Axes, rows: _Rows) -> None:
    share_axis(axes, "recall, %")
    recalls = [c.recall for c in rows.classes]
    svg.boxes(
        axes, [(0, y - 0.36, 1, y + 0.36) for y, r in enumerate(recalls) if r is not None], svg.GRID, 0.4
    )
    bars(axes, rows.classes, recalls, start=0)
    if rows.balanced:
        axes.axvline(rows.balanced.value, color=svg.INK, linewidth=1, linestyle="--")
    for y in (y for y, r in enumerate(recalls) if r is None):
        remark(axes, y, "not tested")


def _rectified(axes: Axes, mined: Mined) -> None:
    share_axis(axes, "batches, %")
    shares = list(enumerate(zip(mined.kept, mined.skipped, strict=True)))
    svg.boxes(axes, [(0, y - 0.36, kept, y + 0.36) for y, (kept, _) in shares], MINED)
    svg.boxes(
        axes, [(kept, y - 0.36, kept + skipped, y + 0.36) for y, (kept, skipped) in shares], MINED, PALE
    )


def _divide_groups(axes: Axes, classes: Sequence[ClassResults]) -> None:
    for y in range(1, len(classes)):
        if classes[y].frequency_group != classes[y - 1].frequency_group:
            axes.axhline(y - 0.5, color=svg.MUTED, linewidth=0.8)


def _paint_ranks(figure: Figure, rows: _Rows) -> None:
    """A column per class, without names, for more classes than names fit."""
    upper, lower = (figure.add_axes((52 / WIDTH, y, 1 - 64 / WIDTH, 0.36)) for y in (0.53, 0.12))
    for axes in (upper, lower):
        axes.set_xlim(0, len(rows.classes))
        axes.tick_params(labelcolor=svg.MUTED)
        axes.spines[["top", "right"]].set_visible(False)
    _count_columns(upper, rows)
    _recall_columns(lower, rows)
    legend(figure, rows.present_groups, _RANK_SIZE)


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
