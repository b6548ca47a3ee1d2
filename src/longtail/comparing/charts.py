"""Pictures of a comparison: the data's long tail, features in the plane, gains, accuracy against time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from markupsafe import Markup

from longtail.comparing.document import AttributeFacts
from longtail.comparing.figures import Gain
from longtail.reporting import svg
from longtail.reporting.charts import GUESS, Level, count_strokes
from longtail.reporting.class_chart import MOST_NAMED
from longtail.reporting.panels import (
    LETTER,
    WIDTH,
    count_bars,
    group_legend,
    legend,
    log_axis,
    name_panel,
    open_axes,
    remark,
    row_bars,
    row_chart,
    short_count,
)
from longtail.reporting.wording import by_frequency
from longtail.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MARKED = len(svg.SERIES)
"""Minority classes that have a colour of their own in a picture of features."""

RANK_HEIGHT = 320.0
"""Height of all rows together where they are too many to have names."""

PANEL = 300.0
"""Side of a picture of features."""


LINE = 13.0
"""Height of a line of text."""


@dataclass(frozen=True)
class Point:
    """A method's mean training time in seconds and its mean class-balanced accuracy."""

    name: str
    seconds: float
    accuracy: float


@dataclass(frozen=True)
class Mark:
    """How the test images of one class are drawn: `series` is the number of its colour, from 1."""

    index: int
    name: str
    series: int


def distribution_chart(ident: str, attribute: AttributeFacts) -> Markup:
    """Training images of every class of one attribute on a logarithmic scale, most frequent first."""
    classes = [attribute.classes[k] for k in by_frequency(attribute.classes)]

    def paint(figure: Figure, panels: list[Axes]) -> None:
        count_bars(panels[0], classes)
        legend(figure, group_legend(classes))

    title = f"Training images of every class of {attribute.name}, most frequent class first"
    return _named_rows(ident, title, [c.name for c in classes], 1, paint)


def distributions_chart(ident: str, attributes: Sequence[AttributeFacts]) -> Markup:
    """A row per attribute: each class as a stroke at its training images, on a logarithmic scale."""
    classes = [a.classes for a in attributes]

    def paint(figure: Figure, panels: list[Axes]) -> None:
        count_strokes(panels[0], classes)
        legend(figure, group_legend(chain.from_iterable(classes)))

    title = "Training images of the classes of every attribute"
    names = [shortened(a.name, 20) for a in attributes]
    return row_chart(ident, title, names, 1, 20.0 * len(names), paint)


def minority_marks(attribute: AttributeFacts) -> list[Mark]:
    """Marks of the minority classes, rarest first, at most `MOST_MARKED`.

    Minority classes are the rarest ones that together hold at most half of the training images.
    """
    classes = attribute.classes
    half, held, marks = sum(c.train_count for c in classes) / 2, 0, list[Mark]()
    for k in reversed(by_frequency(classes)):
        held += classes[k].train_count
        if held > half or len(marks) == MOST_MARKED:
            break
        marks.append(Mark(k, classes[k].name, len(marks) + 1))
    return marks


def feature_chart(
    ident: str,
    method: str,
    points: Sequence[tuple[float, float]],
    labels: Sequence[int],
    marks: Sequence[Mark],
) -> Markup:
    """Test images in the plane: classes with a mark strong and above, all others small and pale.

    The axes have no unit; each picture is as large as its points need.
    """
    marked = {mark.index for mark in marks}

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.04)
        pale = [point for point, label in zip(points, labels, strict=True) if label not in marked]
        _dots(axes, pale, svg.MUTED, 3.0, 0.35)
        for mark in marks:
            own = [point for point, label in zip(points, labels, strict=True) if label == mark.index]
            _dots(axes, own, svg.SERIES[mark.series - 1], 6.0)
        axes.autoscale_view()

    return svg.draw(ident, f"Features of the test images under {method}", (PANEL, PANEL), paint)


def gain_chart(
    ident: str, title: str, gains: Sequence[Gain], limits: tuple[float, float], level: float | None = None
) -> Markup:
    """Rows by imbalance, most frequent first: the imbalance, and beside it the gain with its range.

    `limits` are those of the gains' axis, the same for all methods; `level` is an upright line in it.
    """
    rows = sorted(gains, key=lambda gain: gain.imbalance or math.inf)

    def paint(_: Figure, panels: list[Axes]) -> None:
        _imbalances(panels[0], rows)
        _gains(panels[1], rows, limits)
        if level is not None:
            panels[1].axvline(level, color=svg.INK, linewidth=1.2, linestyle=GUESS)

    return _named_rows(ident, title, [gain.name for gain in rows], 2, paint)


def gain_limits(gains: Sequence[Gain]) -> tuple[float, float]:
    """Limits of an axis that holds 0 and the ranges of all gains."""
    low = min((g.low for g in gains if g.low is not None), default=0.0)
    high = max((g.high for g in gains if g.high is not None), default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    room = max(0.05 * (high - low), 0.005)
    return low - room, high + room


def time_chart(ident: str, points: Sequence[Point], levels: Sequence[Level] = ()) -> Markup:
    """Class-balanced accuracy against training time on a logarithmic axis, one named dot for each method.

    `levels` are lines to compare with, all on the axis.
    """
    from matplotlib.lines import Line2D

    size = WIDTH, 320.0

    def paint(figure: Figure) -> None:
        axes = open_axes(figure, (52 / size[0], 40 / size[1], 1 - 62 / size[0], 1 - 52 / size[1]))
        _time_axes(axes, points, [100 * level.value for level in levels])
        for level in levels:
            _draw_level(axes, level)
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
                leader = Line2D((x / width, end / width), (1 - y / height, 1 - v / height))
                leader.set(color=svg.MUTED, linewidth=0.6)
                figure.add_artist(leader)

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


def _named_rows(
    ident: str, title: str, names: Sequence[str], panels: int, paint: Callable[[Figure, list[Axes]], None]
) -> Markup:
    """A chart of rows, which stand close and without their names where they are too many."""
    rows = len(names)
    if rows > MOST_NAMED:
        return row_chart(ident, title, [""] * rows, panels, RANK_HEIGHT, paint)
    height = rows * (20.0 if rows <= 12 else 14.0)
    return row_chart(ident, title, [shortened(name, 18) for name in names], panels, height, paint)


def _dots(
    axes: Axes, points: Sequence[tuple[float, float]], colour: str, width: float, opacity: float = 1.0
) -> None:
    """Lines of no length whose ends are the dots: all in one SVG path of a few bytes each."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if points:
        path = Path([p for p in points for _ in range(2)], [Path.MOVETO, Path.LINETO] * len(points))
        path.should_simplify = False  # which would drop lines of no length
        patch = PathPatch(path, edgecolor=colour, fill=False, linewidth=width, alpha=opacity)
        patch.set_capstyle("round")
        axes.add_patch(patch)


def _imbalances(axes: Axes, rows: Sequence[Gain]) -> None:
    known = [(y, gain.imbalance) for y, gain in enumerate(rows) if gain.imbalance is not None]
    log_axis(axes, [math.ceil(imbalance) for _, imbalance in known], "imbalance ratio")
    row_bars(axes, [(y, axes.get_xlim()[0], imbalance) for y, imbalance in known], svg.MUTED, 0.5)
    remark(axes, [gain.imbalance for gain in rows], "not trained")


def _gains(axes: Axes, rows: Sequence[Gain], limits: tuple[float, float]) -> None:
    """Bars from 0, blue where the method gains and orange where it loses; thin boxes for the range."""
    axes.set_xlim(*limits)
    axes.xaxis.set_major_formatter(lambda value, _: f"{round(100 * value, 6):+g}" if value else "0")
    axes.locator_params(axis="x", nbins=4)
    name_panel(axes, "gain, points")
    for colour, sign in ((svg.RIGHT, 1), (svg.WRONG, -1)):
        row_bars(axes, [(y, 0, g.mean) for y, g in enumerate(rows) if g.mean and sign * g.mean > 0], colour)
    ranges = [(y, g.low, g.high) for y, g in enumerate(rows) if g.low is not None and g.high is not None]
    svg.boxes(axes, [(low, y - 0.07, high, y + 0.07) for y, low, high in ranges], svg.INK)
    axes.axvline(0, color=svg.MUTED, linewidth=0.8)
    remark(axes, [gain.mean for gain in rows], "not tested")


def _draw_level(axes: Axes, level: Level) -> None:
    axes.axhline(100 * level.value, color=svg.MUTED, linewidth=1.2, linestyle=GUESS)
    text = axes.text(1.0, 100 * level.value, level.name, transform=axes.get_yaxis_transform())
    text.set(color=svg.MUTED, fontsize=10, ha="right", va="bottom")


def _time_axes(axes: Axes, points: Sequence[Point], levels: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    seconds, shares = [p.seconds for p in points], [*(100 * p.accuracy for p in points), *levels]
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


def _text_width(point: Point) -> float:
    return LETTER * len(shortened(point.name, 24))


def _inside(box: svg.Box, size: tuple[float, float]) -> bool:
    """Whether a label lies between the vertical axis and the edges, above the horizontal axis."""
    return box[0] > 54 and box[2] < size[0] and box[1] > 2 and box[3] < size[1] - 42


def _overlap(one: svg.Box, other: svg.Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
