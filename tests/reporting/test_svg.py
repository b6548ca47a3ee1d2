"""Pictures as inline SVG: themed by the page, safe, small and the same every time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from scipy.sparse import coo_array

from longtail.evaluation.metrics import Metrics
from longtail.evaluation.results import AttributeResults, Bounds, ClassResults, Results, cells
from longtail.reporting import svg
from longtail.reporting.charts import Series, confusion_chart, line_chart, overview_chart
from longtail.reporting.class_chart import MOST_NAMED, Mined, class_chart
from longtail.reporting.confusion import readable

NASTY = ["<script>alert(1)</script>", 'a"b&c', "$x^2$ #010101 0.123456", "日本の靴", "a\tb\x1b[31m", "\udce9"]
GROUPS = Bounds(100, 20)


def texts(picture: str) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(picture).iter("text")]


@pytest.fixture(scope="module")
def pictures(results_of: Callable[..., Results]) -> dict[str, str]:
    return draw_all(results_of([("<b>", NASTY), ("two", ["no", "yes"])]))


def draw_all(results: Results) -> dict[str, str]:
    nasty = results.attributes[0]
    mined = [Mined([0.5] * len(a.classes), [0.1] * len(a.classes)) for a in results.attributes]
    return {
        "classes": class_chart("x", nasty, GROUPS, mined[0]),
        "confusion": confusion_chart("y", nasty.name, readable(nasty)),
        "overview": overview_chart("z", results.attributes, mined),
        "lines": line_chart("l", "<i>", [1, 2, 3], [Series("<u>", [1.0, None, 0.5])], shares=False),
    }


def test_pictures_are_well_formed_and_say_what_they_show(pictures: dict[str, str]) -> None:
    for picture in pictures.values():
        root = ElementTree.fromstring(picture)
        title = root.find("title")
        assert title is not None
        assert title.text
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == title.get("id")


def test_class_names_stay_text_whatever_signs_they_hold(pictures: dict[str, str]) -> None:
    labels = texts(pictures["classes"])
    for name in ('a"b&c', "$x^2$ #010101 0.1…", "<script>alert(1)<…", "日本の靴", "a b [31m", r"\udce9"):
        assert name in labels
    assert not any("<script" in picture for picture in pictures.values())


def test_every_reference_has_its_target_and_ids_carry_the_prefix(pictures: dict[str, str]) -> None:
    for picture in pictures.values():
        ids = re.findall(r' id="([^"]*)"', picture)
        used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', picture)
        assert len(set(ids)) == len(ids)
        assert {a or b for a, b in used} <= set(ids)
        assert len({i.partition("-")[0] for i in ids}) == 1


def test_nothing_is_fetched_and_no_colour_is_fixed(pictures: dict[str, str]) -> None:
    for picture in pictures.values():
        assert "http" not in picture
        styles = re.findall(r'style="([^"]*)"', picture)
        assert not any("#0" in style and "url(#" not in style for style in styles)
        assert any("var(--" in style for style in styles)


def test_the_same_figures_give_the_same_picture(
    pictures: dict[str, str], results_of: Callable[..., Results]
) -> None:
    assert draw_all(results_of([("<b>", NASTY), ("two", ["no", "yes"])])) == pictures


def test_settings_of_the_user_are_neither_used_nor_changed() -> None:
    def draw() -> str:
        return line_chart("l", "loss", [1, 2], [Series("ce", [1.0, 0.5])], shares=False)

    plain = draw()
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert draw() == plain
        assert dict(matplotlib.rcParams) == before


def test_drawing_leaves_no_figure_open_in_pyplot() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    class_chart("c", made_attribute([3, 2], [0.5, 0.1]), GROUPS, None)
    assert pyplot.get_fignums() == before == []


def bar_ends(picture: str, colour: str) -> list[tuple[float, float]]:
    """Left and right edges of the rectangles of a colour, in drawing order."""
    root = ElementTree.fromstring(picture)
    paths = [p.get("d", "") for p in root.iter("path") if p.get("style") == f"fill:var(--{colour})"]
    corners = [re.findall(r"[ML](-?[\d.]+)", box) for path in paths for box in path.split("z") if box]
    return [(min(map(float, x)), max(map(float, x))) for x in corners]


def made_attribute(
    counts: list[int], recalls: list[float | None], confusion: list[list[int]] | None = None
) -> AttributeResults:
    rows = confusion or [[0] * len(counts) for _ in counts]
    classes = tuple(
        ClassResults(f"c{i}", n, sum(row), "many", recall, None, None, None)
        for i, (n, recall, row) in enumerate(zip(counts, recalls, rows, strict=True))
    )
    return AttributeResults(
        "a", sum(counts), 0, None, Metrics.each(lambda _: None), classes, cells(coo_array(rows))
    )


def test_bars_are_as_long_as_the_figures_say_on_their_scales() -> None:
    picture = class_chart("c", made_attribute([100, 10000, 1000], [0.25, 1.0, 0.5]), GROUPS, None)
    edges = bar_ends(picture, "many")[:6]  # the square of the legend follows
    lengths = [right - left for left, right in edges]
    assert lengths[0] - lengths[1] == pytest.approx(lengths[1] - lengths[2], abs=0.2)
    assert lengths[3] == pytest.approx(2 * lengths[4], abs=0.2)
    assert lengths[4] == pytest.approx(2 * lengths[5], abs=0.2)
    assert [t for t in texts(picture) if t.startswith("c")] == ["c1", "c2", "c0"]


def test_classes_without_images_say_so_instead_of_a_bar() -> None:
    picture = class_chart("c", made_attribute([100, 0], [0.5, None]), GROUPS, None)
    assert {"none", "not tested"} <= set(texts(picture))
    assert len(bar_ends(picture, "many")) == 2 + 1  # one count, one recall, the legend


def test_more_classes_than_names_fit_are_drawn_by_rank() -> None:
    size = MOST_NAMED + 1
    picture = class_chart("c", made_attribute([5] * size, [0.5] * size), GROUPS, None)
    assert "c0" not in texts(picture)
    assert len(bar_ends(picture, "many")) == 2 * size + 1


def test_cells_of_the_confusion_matrix_show_percentages_of_their_row() -> None:
    matrix = readable(made_attribute([9, 8], [0.75, 1.0], [[3, 1], [0, 4]]))
    assert [t for t in texts(confusion_chart("c", "x", matrix)) if t.isdigit()] == ["75", "25", "100"]


def test_epochs_without_a_value_are_skipped_by_the_line() -> None:
    picture = line_chart("l", "t", [1, 2, 3], [Series("s", [0.1, None, 0.2])], shares=True)
    (path,) = (
        p.get("d", "") for p in ElementTree.fromstring(picture).iter("path")
        if "stroke:var(--s1)" in p.get("style", "") and p.get("clip-path")
    )  # fmt: skip
    assert path.count("L") == 1


def test_rectangles_of_no_length_list_draw_nothing() -> None:
    def paint(figure: Any) -> None:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        svg.boxes(axes, [], svg.FEW)
        svg.strokes(axes, [], 1, svg.FEW, 1)

    assert "<path" not in svg.draw("e", "empty", (10, 10), paint)
