"""A matplotlib figure as a small piece of SVG that lives inside an HTML page.

The page's style sheet owns fonts and colours, so that one picture serves light, dark and print:
text stays text, and every colour used here is a stand-in for a CSS variable.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from longtail.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#010101", "#020202", "#030303"
MANY, MEDIUM, FEW = "#050505", "#060606", "#070707"
RIGHT, WRONG = "#080808", "#090909"
SERIES = ("#0a0a0a", "#0b0b0b", "#0c0c0c", "#0d0d0d", "#0e0e0e")

_VARIABLES = {
    **{INK: "ink", MUTED: "muted", GRID: "grid", MANY: "many", MEDIUM: "medium", FEW: "few"},
    **{RIGHT: "right", WRONG: "wrong"},
    **{colour: f"s{i}" for i, colour in enumerate(SERIES, 1)},
}

FONT_SIZE = 11
"""Size of text in pictures, in units of the picture; one unit is one CSS pixel at natural size."""

Box = tuple[float, float, float, float]


def draw(ident: str, title: str, size: tuple[float, float], paint: Callable[[Figure], None]) -> Markup:
    """Paint a figure of `size` = (width, height) CSS pixels and return it as an `<svg>` element.

    Args:
        ident: prefix of every id inside; distinct on one page.
        title: what the picture shows, for those who cannot see it.
        size: natural width and height in CSS pixels.
        paint: puts axes and marks on the empty figure.
    """
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # class names are not mathematics, whatever signs they hold
    style = {"svg.fonttype": "none", "text.parse_math": False, "font.size": FONT_SIZE}
    style |= {"axes.edgecolor": GRID, "text.color": INK, "axes.labelcolor": INK, "xtick.color": GRID}
    style |= {"ytick.color": GRID, "xtick.labelcolor": MUTED, "ytick.labelcolor": INK, "grid.color": GRID}
    output = io.StringIO()
    with matplotlib.style.context(["default", style]), warnings.catch_warnings():
        # the browser chooses the font, so glyphs that matplotlib's own font lacks do not matter
        warnings.filterwarnings("ignore", message="Glyph|Matplotlib currently does not support")
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
        FigureCanvasSVG(figure)
        paint(figure)
        no_facts = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(output, format="svg", transparent=True, metadata=no_facts)
    return Markup(_inline(output.getvalue(), ident, title, size))


def boxes(
    axes: Axes, rectangles: Sequence[Box], colour: str, opacity: float = 1.0, across: bool = False
) -> None:
    """Fill rectangles (left, bottom, right, top) in data coordinates, all in one SVG path.

    With `across`, left and right are shares of the width of the axes instead.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if rectangles:
        paths = [Path([(x, y), (x, v), (u, v), (u, y), (x, y)], closed=True) for x, y, u, v in rectangles]
        path = Path.make_compound_path(*paths)
        patch = PathPatch(path, facecolor=colour, alpha=opacity, linewidth=0)
        if across:
            patch.set_transform(axes.get_yaxis_transform())
        axes.add_artist(patch)


def strokes(
    axes: Axes, points: Sequence[tuple[float, float]], height: float, colour: str, width: float
) -> None:
    """Upright strokes of `height` centred on points, in data coordinates, all in one SVG path."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if points:
        ends = [(x, y + side * height / 2) for x, y in points for side in (-1, 1)]
        path = Path(ends, [Path.MOVETO, Path.LINETO] * len(points))
        axes.add_artist(PathPatch(path, edgecolor=colour, fill=False, linewidth=width))


def _inline(document: str, ident: str, title: str, size: tuple[float, float]) -> str:
    """The document without what a page does not need: names of groups, namespaces, digits too many.

    matplotlib's ids are random; here they become numbers in the order of the document.
    """
    root = ElementTree.fromstring(document)
    names = {e.get("id", ""): "" for e in root.iter() if _tag(e) in ("clipPath", "path") and e.get("id")}
    names = {old: f"{ident}-{i}" for i, old in enumerate(names)}
    body = "".join(part for child in root for part in _parts(child, names))
    width, height = (f"{side:g}" for side in size)
    return (
        f'<svg class="plot" role="img" aria-labelledby="{ident}-title" viewBox="0 0 {width} {height}" '
        f'style="max-width:{round(size[0] * 1.2)}px"><title id="{ident}-title">{escape(shown(title))}</title>'
        f"{body}</svg>"
    )


def _parts(element: ElementTree.Element, names: dict[str, str]) -> Iterator[str]:
    """The element and what is inside it, as pieces of text; groups that mean nothing are opened."""
    tag, attributes = _tag(element), dict(_attributes(element, names))
    if tag == "style" or attributes.get("style") == "fill:none":
        return
    inside = escape(element.text or "", quote=False) if tag in ("text", "title") else ""
    inside += "".join(part for child in element for part in _parts(child, names))
    if tag == "g" and not attributes:
        yield inside
    elif inside or tag not in ("g", "defs"):
        written = "".join(f' {key}="{value}"' for key, value in attributes.items())
        yield f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>"


def _attributes(element: ElementTree.Element, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in element.attrib.items():
        key = key.rpartition("}")[2]
        if key == "id":
            if value in names:
                yield key, names[value]
        elif key == "href":
            yield key, "#" + names[value[1:]]
        elif key == "clip-path":
            yield key, f"url(#{names[value[5:-1]]})"
        elif key == "style":
            yield key, _short_style(value)
        elif not value.startswith("rotate(-0 "):
            yield key, _short_numbers(value, 1)


def _short_style(style: str) -> str:
    style = re.sub(r"font-family: [^;]*;? ?", "", style)
    style = re.sub(rf"font-size: {FONT_SIZE}px;? ?|stroke-dashoffset: 0;? ?", "", style)
    style = re.sub("#0[0-9a-f]{5}", lambda colour: f"var(--{_VARIABLES[colour[0]]})", style)
    return _short_numbers(style, 2).replace(": ", ":").replace("; ", ";")


def _short_numbers(text: str, digits: int) -> str:
    text = re.sub(r"-?\d+\.\d+", lambda number: f"{round(float(number[0]), digits) or 0:g}", text)
    return re.sub(r"\s*([A-Za-z])\s+(?=[-\d])", r"\1", " ".join(text.split()))


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
