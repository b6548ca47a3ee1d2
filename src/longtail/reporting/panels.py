"""Panels side by side that share their rows, one row a class or an attribute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup
from rich.cells import cell_len

from longtail.evaluation.results import ClassFacts
from longtail.reporting import svg
from longtail.reporting.confusion import READABLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 460.0
"""Natural width of every picture: on a telephone its text shrinks by a fifth, no more."""

GROUPS = {"many": svg.MANY, "medium": svg.MEDIUM, "few": svg.FEW}
GUESS = (0, (1, 3))
"""Dashes of the line that shows what guessing reaches."""

LETTER = 6.2
"""Width of a letter at the common font size, generously."""

TOP, BOTTOM, GAP = 40.0, 22.0, 14.0
MARGIN = 16.0


def row_chart(
    ident: str,
    title: str,
    names: Sequence[str],
    panels: int,
    height: float,
    paint: Callable[[Figure, list[Axes]], None],
    bottom: float = BOTTOM,
) -> Markup:
    """A picture of panels side by side that share their rows, right of the names of the rows.

    `height` is that of all rows, `bottom` that of the space below them, in CSS pixels.
    """
    size = WIDTH, TOP + height + bottom

    def paint_panels(figure: Figure) -> None:
        left = label_width(names)
        width = (WIDTH - left - MARGIN - GAP * (panels - 1)) / panels
        sides = bottom / size[1], width / WIDTH, height / size[1]
        drawn = [figure.add_axes(((left + i * (width + GAP)) / WIDTH, *sides)) for i in range(panels)]
        for axes in drawn:
            _dress(axes, len(names))
        _name_rows(drawn[0], names)
        paint(figure, drawn)

    return svg.draw(ident, title, size, paint_panels)


def _dress(axes: Axes, rows: int) -> None:
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=2, pad=2, labelsize=10, top=rows > READABLE, labelbottom=True)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Texts left of the panel, not tick labels: a tick costs matplotlib ten times as much."""
    place, size = axes.get_yaxis_transform(), svg.FONT_SIZE if len(names) <= READABLE else 10
    gap = 5 / (axes.get_position().width * WIDTH)
    for y, name in enumerate(names):
        axes.text(-gap, y, name, transform=place, ha="right", va="center_baseline", fontsize=size)


def open_axes(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """Axes at (left, bottom, width, height) in shares of the figure, with no line above or on the right."""
    axes = figure.add_axes(place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelcolor=svg.MUTED)
    return axes


def label_width(names: Iterable[str]) -> float:
    """Width in CSS pixels that the names need beside the rows."""
    return max(44.0, LETTER * max(map(cell_len, names)) + 12)


def log_axis(axes: Axes, counts: Sequence[int], title: str) -> None:
    """From half an image, so that a class with a single image still has a bar."""
    axes.set_xscale("log")
    axes.set_xlim(0.5, max([10, *counts]) * 1.25)
    decades = range(math.floor(math.log10(max([10, *counts]) * 1.25)) + 1)
    axes.set_xticks([10.0**d for d in decades], [short_count(10**d) for d in decades])
    axes.minorticks_off()
    name_panel(axes, title)


def share_axis(axes: Axes, title: str) -> None:
    """A horizontal axis for shares of 0 to 1, labelled in percent."""
    axes.set_xlim(-0.01, 1.01)
    ticks = axes.set_xticks([0, 0.5, 1], ["0", "50", "100"])
    # so that the 100 of one panel keeps clear of the next one's 0
    for tick, side in zip(ticks, ("left", "center", "right"), strict=True):
        tick.label1.set_horizontalalignment(side)
        tick.label2.set_horizontalalignment(side)
    name_panel(axes, title)


def name_panel(axes: Axes, title: str) -> None:
    """What a panel shows, above it."""
    axes.set_title(title, fontsize=svg.FONT_SIZE, loc="left", color=svg.INK, pad=5)


def short_count(number: float) -> str:
    """1000 -> '1k', 20000 -> '20k', 1000000 -> '1M'."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def count_bars(axes: Axes, classes: Sequence[ClassFacts]) -> None:
    """A bar per class as long as its training images, on a logarithmic scale."""
    log_axis(axes, [c.train_count for c in classes], "training images")
    class_bars(axes, classes, [c.train_count or None for c in classes], axes.get_xlim()[0], "none")


def class_bars(
    axes: Axes, classes: Sequence[ClassFacts], ends: Sequence[float | None], start: float, missing: str
) -> None:
    """A bar per class from `start` to its end, coloured by frequency group; `missing` where it has no end."""
    for group, colour in GROUPS.items():
        row_bars(
            axes,
            [
                (y, start, end)
                for y, (c, end) in enumerate(zip(classes, ends, strict=True))
                if end is not None and c.frequency_group == group
            ],
            colour,
        )
    remark(axes, ends, missing)


def row_bars(axes: Axes, bars: Iterable[tuple[int, float, float]], colour: str, opacity: float = 1.0) -> None:
    """Bars given as (row, left, right)."""
    svg.boxes(axes, [(left, y - 0.36, right, y + 0.36) for y, left, right in bars], colour, opacity)


def remark(axes: Axes, ends: Sequence[float | None], text: str) -> None:
    """A few small words in every row whose bar has no end."""
    place = axes.get_yaxis_transform()
    for row in (y for y, end in enumerate(ends) if end is None):
        axes.text(0.02, row, text, transform=place, va="center", fontsize=9, color=svg.MUTED)


def group_legend(classes: Iterable[ClassFacts]) -> list[tuple[str, str, float]]:
    """Entries of a legend for the frequency groups that the classes belong to."""
    found = {c.frequency_group for c in classes}
    return [(group, colour, 1) for group, colour in GROUPS.items() if group in found]


def legend(figure: Figure, entries: Sequence[tuple[str, str, float]], bottom: bool = False) -> None:
    """Names beside squares of their colour and opacity, in one row from the right."""
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(facecolor=c, alpha=opacity, label=name, linewidth=0) for name, c, opacity in entries],
        loc="lower right" if bottom else "upper right",
        bbox_to_anchor=(1 - MARGIN / 2 / WIDTH, 0.0 if bottom else 1.0),
        ncols=len(entries),
        frameon=False,
        handlelength=0.9,
        handleheight=0.9,
        handletextpad=0.4,
        columnspacing=1.0,
        borderpad=0,
        borderaxespad=0.2,
        fontsize=10,
    )
