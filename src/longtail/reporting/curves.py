"""Figures over the epochs of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from markupsafe import Markup

from longtail.reporting import svg
from longtail.reporting.panels import WIDTH, open_axes, short_count

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


def line_chart(
    ident: str,
    title: str,
    epochs: Sequence[int],
    lines: Sequence[Series],
    shares: bool = False,
    logarithmic: bool = False,
) -> Markup:
    """Values over epochs; lines differ in dash as well as in colour.

    Args:
        ident: prefix of ids, distinct on one page.
        title: what is shown.
        epochs: the numbers on the horizontal axis.
        lines: what is drawn, each with at least one value.
        shares: whether the values are shares of 0 to 1, shown as percentages on a fixed axis.
        logarithmic: whether the vertical axis is logarithmic above 1, linear below.
    """
    from matplotlib.ticker import MaxNLocator

    legend_rows = math.ceil(len(lines) / _LEGEND_COLUMNS)
    size = WIDTH, 204.0 + 16 * legend_rows

    def paint(figure: Figure) -> None:
        plot = (44 / size[0], 36 / size[1], 1 - 56 / size[0], 1 - (54 + 16 * legend_rows) / size[1])
        axes = open_axes(figure, plot)
        axes.grid(axis="y", linewidth=0.6)
        axes.set_xlabel("epoch", color=svg.MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _draw_lines(axes, epochs, lines)
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


def _draw_lines(axes: Axes, epochs: Sequence[int], lines: Sequence[Series]) -> None:
    # five colours and four dashes: a pair of both comes again only after twenty lines
    for line, colour, dash in zip(lines, cycle(svg.SERIES), cycle(("-", "--", ":", "-.")), strict=False):
        known = [(epoch, v) for epoch, v in zip(epochs, line.values, strict=True) if v is not None]
        marker = "o" if len(known) <= MOST_MARKED else ""
        x, y = zip(*known, strict=True)
        axes.plot(x, y, label=line.name, color=colour, linestyle=dash, marker=marker, markersize=3.5)
