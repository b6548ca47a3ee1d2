"""Accuracy against training time, one named dot a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from longtail.reporting import svg
from longtail.reporting.panels import LETTER, WIDTH, open_axes, short_count
from longtail.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 13.0
"""Height of a line of text."""


@dataclass(frozen=True)
class Point:
    """A method's mean training time in seconds and its mean class-balanced accuracy."""

    name: str
    seconds: float
    accuracy: float


def time_chart(ident: str, points: Sequence[Point]) -> Markup:
    """Class-balanced accuracy against training time on a logarithmic axis, one named dot a method."""
    size = WIDTH, 320.0

    def paint(figure: Figure) -> None:
        axes = open_axes(figure, (52 / size[0], 40 / size[1], 1 - 62 / size[0], 1 - 52 / size[1]))
        _time_axes(axes, points)
        places = axes.transData.transform([(p.seconds, 100 * p.accuracy) for p in points])
        width, height = size
        spots = [(float(x), height - float(y)) for x, y in places]
        axes.scatter(
            [p.seconds for p in points], [100 * p.accuracy for p in points], s=28, color=svg.RIGHT, zorder=3
        )
        for (x, y), point, (u, v) in zip(spots, points, label_places(spots, points, size), strict=True):
            figure.text(u / width, 1 - v / height, shortened(point.name, 24), va="center", ha="left")
            if abs(v - y) > LINE:
                end = u - 2 if u > x else u + _text_width(point) + 2
                _leader(figure, ((x / width, 1 - y / height), (end / width, 1 - v / height)))

    return svg.draw(ident, "Class-balanced accuracy against training time of every method", size, paint)


def label_places(
    spots: Sequence[tuple[float, float]], points: Sequence[Point], size: tuple[float, float]
) -> list[tuple[float, float]]:
    """Left end and middle of each label, in CSS pixels from the top left, clear of dots and other labels.

    Each takes the first free place: right of its dot, left of it, then line by line above and below.
    Where all are taken it stays beside its dot.
    """
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    places: list[tuple[float, float]] = []
    for (x, y), point in zip(spots, points, strict=True):
        width = _text_width(point)
        offsets = [0.0] + [side * step * LINE / 2 for step in range(2, 17) for side in (-1, 1)]
        tries = [(u, y + offset) for offset in offsets for u in (x + 8, x - 8 - width)]
        boxes = [(u, v - LINE / 2, u + width, v + LINE / 2) for u, v in tries]
        free = [box for box in boxes if _inside(box, size) and not any(_overlap(box, t) for t in taken)]
        box = next(iter(free), boxes[0])
        taken.append(box)
        places.append((box[0], (box[1] + box[3]) / 2))
    return places


def _time_axes(axes: Axes, points: Sequence[Point]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    seconds, shares = [p.seconds for p in points], [100 * p.accuracy for p in points]
    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 1.5, max(seconds) * 1.5)
    room = max(1.0, 0.12 * (max(shares) - min(shares)))
    axes.set_ylim(min(shares) - room, max(shares) + room)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", linewidth=0.6)
    axes.set_xlabel("training time, s", color=svg.MUTED)
    axes.set_ylabel("class-balanced accuracy, %", color=svg.MUTED)


def _leader(figure: Figure, ends: tuple[tuple[float, float], tuple[float, float]]) -> None:
    from matplotlib.lines import Line2D

    x, y = zip(*ends, strict=True)
    figure.add_artist(Line2D(x, y, color=svg.MUTED, linewidth=0.6))


def _text_width(point: Point) -> float:
    return LETTER * len(shortened(point.name, 24))


def _inside(box: svg.Box, size: tuple[float, float]) -> bool:
    """Whether a label lies between the vertical axis and the edges, above the horizontal axis."""
    return box[0] > 54 and box[2] < size[0] and box[1] > 2 and box[3] < size[1] - 42


def _overlap(one: svg.Box, other: svg.Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
