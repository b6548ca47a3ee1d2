"""Panels side by side that share their rows, one row a class or an attribute."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

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
LETTER = 6.2
"""Width of a letter at the common font size, generously."""

TOP, BOTTOM, GAP = 40.0, 22.0, 14.0
MARGIN = 16.0


def columns(
    figure: Figure, size: tuple[float, float], names: Sequence[str], panels: int, bottom: float
) -> list[Axes]:
    """Panels side by side that share their rows, right of the names."""
    width, height = size
    left = label_width(names)
    panel = (width - left - MARGIN - GAP * (panels - 1)) / panels
    rows = len(names)
    columns: list[Axes] = []
    for i in range(panels):
        x = left + i * (panel + GAP)
        axes = figure.add_axes((x / width, bottom / height, panel / width, (height - TOP - bottom) / height))
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_yticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=2, pad=2, labelsize=10, top=rows > READABLE, labelbottom=True)
        columns.append(axes)
    return columns


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """The names of the rows, left of the first panel.

    They are texts, not tick labels: a tick costs matplotlib ten times as much.
    """
    size = svg.FONT_SIZE if len(names) <= READABLE else 10
    gap = 5 / (axes.get_position().width * WIDTH)
    for y, name in enumerate(names):
        axes.text(
            -gap,
            y,
            name,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center_baseline",
            fontsize=size,
        )


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
    axes.set_title(title, fontsize=svg.FONT_SIZE, loc="left", color=svg.INK, pad=5)


def share_axis(axes: Axes, title: str) -> None:
    """A horizontal axis for shares of 0 to 1, labelled in percent."""
    axes.set_xlim(-0.01, 1.01)
    for label, side in zip(
        axes.set_xticks([0, 0.5, 1], ["0", "50", "100"]), ("left", "center", "right"), strict=True
    ):
        label.label1.set_horizontalalignment(
            side
        )  # so that the 100 of one panel keeps clear of the next one's 0
        label.label2.set_horizontalalignment(side)
    axes.set_title(title, fontsize=svg.FONT_SIZE, loc="left", color=svg.INK, pad=5)


def short_count(number: float) -> str:
    """1000 -> '1k', 20000 -> '20k', 1000000 -> '1M'."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def bars(axes: Axes, classes: Sequence[ClassFacts], ends: Sequence[float | None], start: float) -> None:
    """A bar per row from `start` to its end, none where the end is None; coloured by frequency group."""
    for group, colour in GROUPS.items():
        rows = [(y, e) for y, e in enumerate(ends) if e is not None and classes[y].frequency_group == group]
        svg.boxes(axes, [(start, y - 0.36, end, y + 0.36) for y, end in rows], colour)


def remark(axes: Axes, row: int, text: str) -> None:
    """A few small words in place of a bar."""
    axes.text(0.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=svg.MUTED)


def legend(
    figure: Figure, entries: Sequence[tuple[str, str, float]], size: tuple[float, float], bottom: bool = False
) -> None:
    """Names beside squares of their colour, in one row from the right."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, alpha=opacity, label=name, linewidth=0) for name, colour, opacity in entries
    ]
    edge = 1 - MARGIN / 2 / size[0]
    anchor = (edge, 0.0) if bottom else (edge, 1.0)
    figure.legend(
        handles=handles,
        loc="lower right" if bottom else "upper right",
        bbox_to_anchor=anchor,
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
