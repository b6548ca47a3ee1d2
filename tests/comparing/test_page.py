"""The comparison's page: complete, safe, self-contained, and at work in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import structs

from longtail.comparing.charts import (
    Point,
    distribution_chart,
    feature_chart,
    gain_chart,
    gain_limits,
    label_places,
    minority_marks,
    time_chart,
)
from longtail.comparing.document import AttributeFacts, ComparisonDocument
from longtail.comparing.figures import Gain, standings
from longtail.comparing.page import render_comparison
from longtail.comparing.tables import difference_text, figure_text
from longtail.evaluation.metrics import METRICS
from longtail.evaluation.results import ClassFacts
from longtail.reporting import svg
from longtail.reporting.charts import Level

from .comparison_documents import comparison, fail, set_balanced, several_attributes, single_attribute, typed

SCRIPT = "<script>alert(1)</script>"
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags in balance, with their attributes, and the words outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data.strip())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module")
def document() -> ComparisonDocument:
    return typed(single_attribute())


@pytest.fixture(scope="module")
def source(document: ComparisonDocument) -> str:
    return render_comparison(document)


@pytest.fixture(scope="module")
def several() -> str:
    return render_comparison(typed(several_attributes()))


def texts(picture: str) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(picture).iter("text")]


def test_nothing_is_fetched_from_anywhere(source: str, several: str):
    for text in (source, several):
        page = Page(text)
        assert page.open == []
        assert page.count("img") == page.count("link") == page.count("iframe") == 0
        assert page.count("script") == 1
        assert not any("src" in attributes for _, attributes in page.tags)
        links = [value or "" for _, a in page.tags for key, value in a.items() if key.endswith("href")]
        ids = [a["id"] for _, a in page.tags if "id" in a]
        assert len(set(ids)) == len(ids)
        assert all(link.startswith("#") and link[1:] in ids for link in links)
        assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_every_figure_of_every_method_is_in_the_tables(document: ComparisonDocument, source: str):
    words = [" ".join(word.split()) for word in Page(source).words]
    for row in standings(document):
        for figures in (row.own, row.adjusted):
            for metric in METRICS[:-1]:
                assert figure_text(figures.of(metric)) in words
                assert row.method == "ce" or difference_text(figures.of(metric)) in words


def test_failed_runs_are_named_and_counted(source: str, several: str):
    assert "crl-class, seed 3: out of memory; lower --batch-size" in Page(source).words
    assert "4/5 runs, 1 failed" in Page(source).words
    assert "failed" not in " ".join(Page(several).words)


def test_the_page_says_how_each_method_was_tuned(source: str):
    words = Page(source).words
    assert words.count("not tuned") == 3
    assert "2 settings were tried on the validation images" in words
    assert words[words.index("--lr 0.01") + 1 :][:4].count("chosen") == 1
    assert "chosen" not in words[words.index("--lr 0.1") + 1 :][:4]


def test_pictures_stand_in_the_order_of_the_table(document: ComparisonDocument, source: str):
    names = [method.name for method in document.methods]
    assert document.features is not None
    turned = dict(reversed(document.features.points.items()))
    features = structs.replace(document.features, points=turned)
    assert render_comparison(structs.replace(document, features=features)) == source
    shown = re.findall(r"<title[^>]*>(?:Gain of|Features of the test images under) (.*?)</title>", source)
    assert shown == [name for name in names if name != "ce"] + names


def test_guessing_and_the_regression_are_lines_to_compare_with():
    point = Point("crl", 60.0, 0.5)
    plain, lined = (time_chart("t", [point], levels) for levels in ([], [Level("guessing", 0.1)]))
    assert "guessing" in texts(lined)
    assert "guessing" not in texts(plain)
    made = comparison([3], ["ce", "linear", "crl"], seeds=2)
    page = render_comparison(typed(made))
    assert "Dotted: guessing and linear." in page
    assert "Dotted: the mean gain of linear." in page
    made["baseline"] = "linear"
    assert "the mean gain of linear" not in render_comparison(typed(made))


def test_an_attribute_without_a_name_of_its_own_is_called_by_the_data():
    made = comparison([3], ["ce"], seeds=1)
    made["attributes"][0]["name"] = "label"
    assert "clothing: 3 classes" in render_comparison(typed(made))


def test_every_picture_has_a_title_and_a_caption(source: str, several: str):
    # time, three gains, four feature panels, one distribution; time, two gains, seven distributions
    for text, pictures in ((source, 1 + 3 + 4 + 1), (several, 1 + 2 + 7)):
        page = Page(text)
        assert page.count("figure") == page.count("figcaption") == pictures
        assert sum(a.get("role") == "img" and "aria-labelledby" in a for _, a in page.tags) == pictures


def test_what_cannot_be_shown_is_said(several: str):
    assert "This comparison holds no features of test images." in several
    document = comparison([3], ["ce"], seeds=1)
    fail(document["methods"][0]["cells"][0], "broken")
    text = render_comparison(typed(document))
    assert "No run has finished, so nothing can be said about the methods." in text
    assert "No run has finished, so there is no time to show." in text
    assert "No other method shares a finished seed with ce, so there is no gain to show." in text
    assert "No method was also decided with adjusted scores." in text


def headline(page: str) -> str:
    found = re.search(r"<h1>.*?<p>(.*?)</p>", page, re.S)
    assert found
    return found[1]


def test_the_headline_names_the_best_and_its_gain_corrected_for_its_rivals(source: str):
    assert "crl-instance has the highest" in headline(source)
    assert "corrected for 3 methods: " in headline(source)
    assert "seeds alone" not in headline(source)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((-0.2, 0.0, 0.2, 0.4, 0.6), ", which seeds alone could explain."),
        ((0.005, 0.05, 0.03, 0.045, 0.02), "). On other images it may be none."),
        (
            (0.03, 0.04, 0.05, 0.06, 0.07),
            "+5.0 points against ce (95 % interval: +3.0 to +7.0;"
            " for other images of the same kind +2.1 to +7.9).",
        ),
    ],
)
def test_the_headline_is_no_surer_than_the_interval(gains: tuple[float, ...], verdict: str):
    made = comparison([3], ["ce", "crl"], seeds=5)
    said = headline(render_comparison(set_balanced(made, [0.3] * 5, [0.3 + gain for gain in gains])))
    assert "crl has the highest" in said
    assert said.endswith(verdict), said


def test_the_headline_ranks_by_the_seeds_that_all_methods_finished():
    """Another seed is another split: the easier ones alone make no method better."""
    made = comparison([3], ["ce", "crl"], seeds=5)
    for cell in made["methods"][1]["cells"][:2]:
        fail(cell, "no room")
    shown = set_balanced(made, [0.6, 0.62, 0.74, 0.75, 0.76], [0, 0, 0.73, 0.74, 0.752])
    said = headline(render_comparison(shown))
    assert "ce has the highest class-balanced accuracy" in said
    assert "about 75 of 100" in said


def test_the_headline_says_so_where_the_best_is_worse_on_the_seeds_it_shares_with_the_baseline():
    made = comparison([3], ["ce", "crl", "focal"], seeds=5)
    for cell in made["methods"][2]["cells"][1:]:
        fail(cell, "no room")
    said = headline(render_comparison(set_balanced(made, [0.5] * 5, [0.501, *[0.45] * 4], [0.1] * 5)))
    assert "crl has the highest" in said
    assert said.endswith(": on the seeds that both finished it is worse."), said


def test_the_headline_claims_nothing_of_the_baseline_or_of_too_few_seeds():
    made = comparison([3], ["ce", "crl"], seeds=1)
    shown = set_balanced(made, [0.6], [0.5])
    assert "It is the baseline itself" in headline(render_comparison(shown))
    assert "Too few seeds" in headline(render_comparison(structs.replace(shown, baseline="crl")))


def test_names_are_shown_as_text():
    document = comparison([3], ["ce", SCRIPT], seeds=2)
    document["attributes"][0]["name"] = document["attributes"][0]["classes"][0]["name"] = "<b>"
    document["features"] = {"attribute": 0, "labels": [0], "points": {SCRIPT: [[0.0, 1.0]]}}
    page = Page(render_comparison(typed(document)))
    assert page.count("script") == 1
    assert page.count("b") == 0
    assert SCRIPT in page.words


def test_many_attributes_share_one_picture_of_their_classes():
    text = render_comparison(typed(comparison([2] * 13, ["ce"], seeds=1)))
    assert text.count("Training images of the classes of every attribute</title>") == 1
    assert "Training images of every class of" not in text


def test_the_same_comparison_gives_the_same_page(document: ComparisonDocument, source: str):
    assert render_comparison(document) == source


def attribute(*classes: tuple[str, int]) -> AttributeFacts:
    """An attribute of classes with a name and training images, all of them called many."""
    return AttributeFacts("", None, tuple(ClassFacts(name, n, 1, "many") for name, n in classes))


def test_marked_are_the_rarest_classes_that_hold_at_most_half_of_the_images():
    def marks(*counts: int) -> list[int]:
        return [mark.index for mark in minority_marks(attribute(*((str(n), n) for n in counts)))]

    assert marks(50, 10, 30, 10) == [3, 1, 2]
    assert marks(49, 10, 31, 10) == [3, 1]
    assert marks(10, 10) == [1]
    assert marks(10, 9, 8, 7, 6, 5, 4, 100) == [6, 5, 4, 3, 2]
    assert marks(0, 0) == [1, 0]


def dots(picture: str, colour: str) -> list[tuple[str, str]]:
    """Centres of the dots of one colour."""
    paths = [
        p.get("d", "")
        for p in ElementTree.fromstring(picture).iter("path")
        if f"stroke:var(--{colour})" in p.get("style", "") and "stroke-linecap:round" in p.get("style", "")
    ]
    return re.findall(r"M(-?[\d.]+) (-?[\d.]+)L", " ".join(paths))


def test_the_features_of_marked_classes_are_coloured_and_all_others_pale():
    marks = minority_marks(attribute(("a", 2), ("b", 9)))
    points = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    picture = feature_chart("f", "crl", points, [1, 0, 0], marks)
    assert len(dots(picture, "muted")) == 1
    (x, y), (u, v) = dots(picture, "s1")
    assert x == u
    assert float(y) > float(v)
    assert float(dots(picture, "muted")[0][0]) < float(x)


def test_no_image_is_lost_among_many():
    points = [(i / 500, (7 * i % 500) / 500) for i in range(500)]
    picture = feature_chart("f", "crl", points, [0] * 500, [])
    assert len(dots(picture, "muted")) == 500


def boxes_of(picture: str, colour: str) -> list[tuple[float, float]]:
    """Left and right edges of the filled rectangles of a colour."""
    paths = [
        p.get("d", "")
        for p in ElementTree.fromstring(picture).iter("path")
        if f"fill:var(--{colour})" in p.get("style", "")
    ]
    corners = [re.findall(r"[ML](-?[\d.]+)", box) for path in paths for box in path.split("z") if box]
    return [(min(map(float, x)), max(map(float, x))) for x in corners]


def test_gains_are_bars_from_zero_by_imbalance_with_their_range():
    gains = [
        Gain("rare", 100.0, 0.2, 0.1, 0.3),
        Gain("common", 1.0, -0.1, -0.1, -0.1),
        Gain("new", None, None, None, None),
    ]
    limits = gain_limits(gains)
    assert limits == pytest.approx((-0.12, 0.32))
    picture = gain_chart("g", "gain", gains, limits)
    shown = [text for text in texts(picture) if text in ("rare", "common", "new")]
    assert shown == ["common", "rare", "new"]
    assert {"not trained", "not tested"} <= set(texts(picture))
    (zero, right), (left, end) = boxes_of(picture, "right")[0], boxes_of(picture, "wrong")[0]
    assert end == pytest.approx(zero, abs=0.1)
    assert right - zero == pytest.approx(2 * (end - left), abs=0.3)
    _, (low, high) = boxes_of(picture, "ink")
    assert high - low == pytest.approx(right - zero, abs=0.3)
    assert (low + high) / 2 == pytest.approx(right, abs=0.3)


def test_limits_without_any_gain_still_hold_zero():
    low, high = gain_limits([Gain("x", None, None, None, None)])
    assert low < 0 < high


def test_the_long_tail_is_drawn_on_a_logarithmic_scale():
    picture = distribution_chart("d", attribute(*((f"c{n}", n) for n in (10, 1000, 100, 0))))
    assert [text for text in texts(picture) if text.startswith("c")] == ["c1000", "c100", "c10", "c0"]
    ends = [right for _, right in boxes_of(picture, "many")][:3]
    assert ends[0] - ends[1] == pytest.approx(ends[1] - ends[2], abs=0.2)
    assert "none" in texts(picture)


def test_many_classes_are_drawn_without_names():
    crowd = attribute(*((f"c{n}", n) for n in range(1, 101)))
    assert not any(text.startswith("c") for text in texts(distribution_chart("d", crowd)))
    gains = [Gain(f"c{n}", float(n), 0.1, 0.1, 0.1) for n in range(1, 101)]
    assert not any(text.startswith("c") for text in texts(gain_chart("g", "", gains, (-1, 1))))


def test_labels_of_near_points_do_not_overlap():
    points = [Point(f"method {i}", 60.0, 0.5) for i in range(9)]
    spots = [(200.0 + i, 150.0) for i in range(9)]
    places = label_places(spots, points, (460.0, 320.0))
    for i, (x, y) in enumerate(places):
        assert 50 < x < 460
        for u, v in places[:i]:
            assert abs(y - v) >= 12.9 or abs(x - u) >= 6.2 * len("method 0")
    assert set(texts(time_chart("t", points))) >= {p.name for p in points}


def test_a_label_stands_beside_its_dot_where_there_is_room():
    (place,) = label_places([(100.0, 100.0)], [Point("ce", 1.0, 0.5)], (460.0, 320.0))
    assert place == (108.0, 100.0)
    (place,) = label_places([(455.0, 100.0)], [Point("ce", 1.0, 0.5)], (460.0, 320.0))
    assert place[0] < 455.0 - 12
    assert place[1] == 100.0


def test_colours_follow_the_theme(source: str):
    for picture in re.findall(r"<svg class=\"plot\".*?</svg>", source, re.S):
        assert not any(colour in picture for colour in (*svg.SERIES, svg.INK, svg.MUTED))


CLICK = """<script>
const heads = [...document.querySelector("table.sortable").tHead.rows[0].cells];
heads[1].querySelector("[role=button]").click();
const rows = [...document.querySelector("table.sortable").tBodies[0].rows];
document.title = heads[1].ariaSort + ": " + rows.map(row => row.cells[0].firstChild.textContent).join(", ");
</script></body>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    return found


def browse(browser: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"]
    own = [f"--user-data-dir={folder / 'profile'}", "--window-size=1200,1600"]
    page = (folder / "page.html").as_uri()
    command = [browser, *quiet, *own, *flags, page]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def test_a_browser_shows_the_page_without_complaint(browser: str, source: str, tmp_path: Path):
    (tmp_path / "page.html").write_text(source, encoding="utf-8")
    done = browse(browser, tmp_path, f"--screenshot={tmp_path / 'page.png'}")
    assert "CONSOLE" not in done.stderr
    assert (tmp_path / "page.png").stat().st_size > 50_000


def test_a_click_on_a_heading_sorts_the_table(browser: str, tmp_path: Path):
    shuffled = single_attribute()
    shuffled["methods"] = [shuffled["methods"][i] for i in (2, 0, 3, 1)]
    text = render_comparison(typed(shuffled)).replace("</body>", CLICK)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    done = browse(browser, tmp_path, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    assert "<title>ascending: ce, over, crl-class, crl-instance</title>" in done.stdout


def test_a_printed_table_repeats_its_head(browser: str, source: str, tmp_path: Path):
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("no pdftotext on the PATH")
    rows = re.findall(r"<tbody>\n(.*?)</tbody>", source, re.S)[0]
    (tmp_path / "page.html").write_text(source.replace(rows, 30 * rows), encoding="utf-8")
    browse(browser, tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer")
    printed = subprocess.run([reader, tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True)
    assert (
        sum("macro F1" in page for page in printed.stdout.split("\f")) >= 3
    )  # two tables, one of many pages
