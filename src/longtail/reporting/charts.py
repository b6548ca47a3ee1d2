"""Pictures of all attributes together, of what is taken for what, and of figures over the epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from markupsafe import Markup

from longtail.evaluation.results import AttributeResults, ClassFacts
from longtail.evaluation.trust import CalibrationResults
from longtail.reporting import svg
from longtail.reporting.class_chart import Mined
from longtail.reporting.confusion import Confusion
from longtail.reporting.panels import (
    GROUPS,
    GUESS,
    MARGIN,
    WIDTH,
    label_width,
    legend,
    log_axis,
    open_axes,
    row_chart,
    share_axis,
    short_count,
)
from longtail.words import of_hundred, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_MARKED = 30
"""A line of at most this many epochs has a dot at each, so that a single one can be seen."""

_LEGEND_COLUMNS = 4


@dataclass(frozen=True)
class Series:
    """One line of a chart: its name and a value per epoch, None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Level:
    """A level line across a chart, with its name."""

    name: str
    value: float


@dataclass(frozen=True)
class Marks:
    """What a chart over epochs says beside its lines.

    Attributes:
        used: epoch whose network is used, or None.
        remark: a few words in the corner.
        levels: lines to compare with.
    """

    used: int | None = None
    remark: str = ""
    levels: Sequence[Level] = ()


NO_MARKS = Marks()


def overview_chart(
    ident: str, attributes: Sequence[AttributeResults], mined: Sequence[Mined] | None
) -> Markup:
    """A row per attribute: each class as a stroke at its training images and at its recall."""
    classes = [a.classes for a in attributes]

    def paint(figure: Figure, panels: list[Axes]) -> None:
        count_strokes(panels[0], classes)
        share_axis(panels[1], "recall, %")
        _class_strokes(panels[1], classes, [[c.recall for c in row] for row in classes])
        _balanced_intervals(panels[1], attributes)
        guesses = [(1 / len(row), float(y)) for y, row in enumerate(classes)]
        svg.strokes(panels[1], guesses, 0.9, svg.MUTED, 1.0)
        if mined:
            share_axis(panels[2], "rectified, %")
            _class_strokes(panels[2], classes, [m.kept for m in mined])
        legend(figure, [(group, colour, 1) for group, colour in GROUPS.items()])

    title = "Training images and recall of the classes of every attribute"
    names = [shortened(a.name, 20) for a in attributes]
    return row_chart(ident, title, names, 3 if mined else 2, 20.0 * len(names), paint)


def confusion_chart(ident: str, attribute_name: str, confusion: Confusion) -> Markup:
    """Where the test images of each class went, as shares: right ones in one hue, wrong ones in another."""
    n = len(confusion.names)
    names = [shortened(name, 16) for name in confusion.names]
    left, top = max(76.0, label_width(names)), max(40.0, label_width(names))
    cell = min(34.0, (WIDTH - left - MARGIN) / n)
    size = WIDTH, top + cell * n + 8
    font = svg.FONT_SIZE if cell >= 14 else 9

    def paint(figure: Figure) -> None:
        width, height = size
        axes = figure.add_axes((left / width, 6 / height, cell * n / width, cell * n / height))
        axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5))
        axes.set_xticks([])
        axes.set_yticks([])
        edge = -0.5 - 4 / cell
        for k, name in enumerate(names):
            axes.text(k, edge, name, rotation=90, ha="center", va="bottom", fontsize=font)
            axes.text(edge, k, name, ha="right", va="center_baseline", fontsize=font)
        _heat(axes, confusion, figures=cell >= 26)
        for text, depth in (("predicted →", 14), ("true ↓", top - 4)):
            figure.text(4 / width, 1 - depth / height, text, color=svg.MUTED)

    return svg.draw(ident, f"Confusion matrix of {attribute_name}: rows true, columns predicted", size, paint)


def line_chart(
    ident: str,
    title: str,
    epochs: Sequence[int],
    lines: Sequence[Series],
    marks: Marks = NO_MARKS,
    shares: bool = False,
    logarithmic: bool = False,
) -> Markup:
    """Values over epochs; lines differ in dash as well as in colour, and each has at least one value.

    `shares` of 0 to 1 are shown as percentages on a fixed axis; a `logarithmic` one is linear below 1.
    """
    from matplotlib.ticker import MaxNLocator

    legend_rows = math.ceil((len(lines) + len(marks.levels)) / _LEGEND_COLUMNS)
    size = WIDTH, 204.0 + 16 * legend_rows

    def paint(figure: Figure) -> None:
        plot = (44 / size[0], 36 / size[1], 1 - 56 / size[0], 1 - (54 + 16 * legend_rows) / size[1])
        axes = open_axes(figure, plot)
        axes.grid(axis="y", linewidth=0.6)
        axes.set_xlabel("epoch", color=svg.MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _draw_lines(axes, epochs, lines)
        _draw_marks(axes, epochs, marks)
        if shares:
            axes.set_ylim(-0.02, 1.02)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        elif logarithmic:
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(0, 2 * max(1, *(v for line in lines for v in line.values if v is not None)))
            axes.yaxis.set_major_formatter(lambda value, _: short_count(value))
        figure.legend(
            loc="upper left", ncols=_LEGEND_COLUMNS, frameon=False, handlelength=2.6, columnspacing=1.2
        )

    return svg.draw(ident, title, size, paint)


def reliability_chart(ident: str, attribute_name: str, found: CalibrationResults) -> Markup:
    """How often decisions of a score are right, before and after the temperature, beside the diagonal."""
    size = 300.0, 244.0

    def paint(figure: Figure) -> None:
        plot = (44 / size[0], 36 / size[1], 1 - 56 / size[0], 1 - 70 / size[1])
        axes = open_axes(figure, plot)
        axes.plot([0, 1], [0, 1], color=svg.MUTED, linewidth=0.8)
        for name, bins, colour, dash in (
            ("before", found.before.bins, svg.SERIES[1], "--"),
            ("after", found.after.bins, svg.SERIES[0], "-"),
        ):
            points = [(b.confidence, b.accuracy) for b in bins]
            axes.plot(*zip(*points), label=name, color=colour, linestyle=dash, marker="o", markersize=3.5)
        ticks = [0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"]
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_xticks(*ticks)
        axes.set_yticks(*ticks)
        axes.set_xlabel("score of the class decided for", color=svg.MUTED)
        figure.legend(loc="upper left", ncols=2, frameon=False, handlelength=2.6, columnspacing=1.2)

    return svg.draw(ident, f"{attribute_name}: how often decisions of a score are right", size, paint)


def count_strokes(axes: Axes, classes: Sequence[Sequence[ClassFacts]]) -> None:
    """A row of classes per attribute: each as a stroke at its training images, on a logarithmic scale."""
    counts = [[c.train_count or None for c in row] for row in classes]
    log_axis(axes, [n for row in counts for n in row if n], "training images")
    _class_strokes(axes, classes, counts)


def _class_strokes(
    axes: Axes, classes: Sequence[Sequence[ClassFacts]], values: Sequence[Sequence[float | None]]
) -> None:
    """A stroke per class; rarer groups have taller and thicker ones, so that colour is not needed."""
    # every other row is shaded, to lead the eye from a name to the far panel
    shaded = [(0.0, y - 0.5, 1.0, y + 0.5) for y in range(0, len(classes), 2)]
    svg.boxes(axes, shaded, svg.GRID, 0.3, across=True)
    for (group, colour), height, width in zip(GROUPS.items(), (0.4, 0.6, 0.8), (1.0, 1.6, 2.4), strict=True):
        points = [
            (value, float(y))
            for y, row in enumerate(classes)
            for c, value in zip(row, values[y], strict=True)
            if value is not None and c.frequency_group == group
        ]
        svg.strokes(axes, points, height, colour, width)


def _balanced_intervals(axes: Axes, attributes: Sequence[AttributeResults]) -> None:
    balanced = [a.metrics.class_balanced_accuracy for a in attributes]
    known = [(b.low, y - 0.3, b.high, y + 0.3) for y, b in enumerate(balanced) if b]
    svg.boxes(axes, known, svg.INK, 0.25)


def _heat(axes: Axes, confusion: Confusion, figures: bool) -> None:
    """Cells in twelve strengths of a hue, none so strong that text on it suffers; one path for each."""
    cells: dict[tuple[str, int], list[svg.Box]] = {}
    for i, row in enumerate(confusion.shares()):
        for k, share in enumerate(row):
            if not share:
                continue
            cell = (k - 0.48, i - 0.48, k + 0.48, i + 0.48)
            cells.setdefault((_hue(confusion, i, k), math.ceil(share * 12)), []).append(cell)
            if figures:
                axes.text(k, i, of_hundred(share), ha="center", va="center", fontsize=10)
    for (hue, strength), rectangles in cells.items():
        svg.boxes(axes, rectangles, hue, 0.06 + 0.69 * strength / 12)


def _hue(confusion: Confusion, true: int, predicted: int) -> str:
    """Right, wrong, or neither: among merged classes nobody can tell."""
    if true != predicted:
        return svg.WRONG
    merged = confusion.reduced and true == len(confusion.names) - 1
    return svg.MUTED if merged else svg.RIGHT


def _draw_lines(axes: Axes, epochs: Sequence[int], lines: Sequence[Series]) -> None:
    # five colours and four dashes: a pair of both comes again only after twenty lines
    for line, colour, dash in zip(lines, cycle(svg.SERIES), cycle(("-", "--", ":", "-.")), strict=False):
        known = [(epoch, v) for epoch, v in zip(epochs, line.values, strict=True) if v is not None]
        marker = "o" if len(known) <= MOST_MARKED else ""
        x, y = zip(*known, strict=True)
        axes.plot(x, y, label=line.name, color=colour, linestyle=dash, marker=marker, markersize=3.5)


def _draw_marks(axes: Axes, epochs: Sequence[int], marks: Marks) -> None:
    for level in marks.levels:
        axes.axhline(level.value, label=level.name, color=svg.MUTED, linewidth=1.2, linestyle=GUESS)
    if marks.used is not None and marks.used in epochs:
        axes.axvline(marks.used, color=svg.INK, linewidth=0.8, linestyle="--")
    if marks.remark:
        text = axes.text(0.99, 0.97, marks.remark, transform=axes.transAxes)
        text.set(color=svg.WRONG, weight="bold", ha="right", va="top")
