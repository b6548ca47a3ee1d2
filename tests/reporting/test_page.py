"""The report page: complete, safe, self-contained, small, and a function of its input."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from longtail.errors import InputError
from longtail.evaluation.metrics import Metrics
from longtail.evaluation.results import AttributeResults, ClassResults, Results, TrainingInfo
from longtail.files import write_text
from longtail.reporting.page import render_report
from longtail.training.record import EpochRecord

SCRIPT = "<script>alert(1)</script>"
LONG = "Langärmeliges_Hemd_mit_Kragen_und_einem_sehr_langen_Namen_60"
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """What a browser would find: tags in balance, attributes, text outside of style and script."""

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
            self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def text(self) -> str:
        return "\n".join(self.words)


@pytest.fixture(scope="module")
def results(results_of: Callable[..., Results]) -> Results:
    return results_of([("type", [SCRIPT, LONG, "日本の靴", 'a"b', "$x$"]), ("<kind>", ["no", "yes"])])


@pytest.fixture(scope="module")
def small(results_of: Callable[..., Results]) -> Results:
    return results_of([("pet", ["cat", "dog"])])


@pytest.fixture(scope="module")
def epochs(epochs_of: Callable[..., list[EpochRecord]], results: Results) -> list[EpochRecord]:
    return epochs_of(results, 4)


@pytest.fixture(scope="module")
def source(results: Results, epochs: list[EpochRecord]) -> str:
    return render_report(results, epochs, title="<Run>", facts={"command": "longtail train <x>"})


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_tags_are_balanced_and_ids_unique(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_names_and_facts_are_shown_as_text(page: Page) -> None:
    for text in (SCRIPT, LONG, "日本の靴", 'a"b', "$x$", "<kind>", "<Run>", "longtail train <x>"):
        assert text in page.words
    assert page.count("script") == 1
    assert page.count("kind") == 0


def test_nothing_is_fetched_from_anywhere(page: Page, source: str) -> None:
    assert not re.search(r"https?:|//\w+\.\w|@import|\bsrc\s*=", source)
    assert page.count("img") == page.count("link") == page.count("iframe") == 0
    links = [value for _, a in page.tags for key, value in a.items() if key in ("href", "xlink:href")]
    ids = {a.get("id") for _, a in page.tags}
    assert links
    assert all(link and link[0] == "#" and link[1:] in ids for link in links)


def test_every_class_has_a_row_with_its_figures(results: Results, source: str) -> None:
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", source)
    cells = [re.findall(r"<td>(.*?)</td>", row) for _, row in rows]
    for attribute in results.attributes:
        for entry in attribute.classes:
            recall = "–" if entry.recall is None else f"{100 * entry.recall:.1f}"
            start = [str(entry.train_count), str(entry.test_count), entry.frequency_group, recall]
            assert any(row[:4] == start for row in cells)


def test_the_head_shows_what_was_run_and_how_good_it_is(page: Page) -> None:
    for text in (
        "resnet32, 464,154 parameters",
        "clothing, 128 × 128 pixels",
        "train 5,000, val 600, test 1,200",
    ):
        assert text in page.words
    assert "If every class" not in page.text
    assert "Averaged over 2 attributes" in page.text
    assert "class-balanced accuracy" in page.text


def test_pictures_have_titles_and_captions(page: Page) -> None:
    pictures = [a for tag, a in page.tags if tag == "svg"]
    assert len(pictures) == 1 + 2 * 2 + 2 + 2  # overview; two attributes; curves; what was mined
    assert page.count("figcaption") == page.count("figure") == len(pictures)
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in pictures)


def test_a_method_that_mines_nothing_has_no_word_of_it(
    small: Results, epochs_of: Callable[..., list[EpochRecord]]
) -> None:
    text = Page(render_report(small, epochs_of(small, 2, mined=False), title="ce")).text
    assert "mined" not in text
    assert "rectified" not in text
    assert "Loss, mean of each epoch" in text


def test_a_model_trained_elsewhere_has_a_report_without_curves(small: Results) -> None:
    page = Page(render_report(replace(small, training=None), [], title="foreign"))
    assert "Training" not in page.words
    assert "images per second" not in page.text


def test_undefined_figures_are_dashes(results: Results) -> None:
    nothing = Metrics.each(lambda _: None)
    attributes = tuple(
        AttributeResults(
            a.name,
            0,
            0,
            None,
            nothing,
            tuple(ClassResults(c.name, 0, 0, "few", None, None, None, None) for c in a.classes),
            (),
        )
        for a in results.attributes
    )
    training = TrainingInfo(20, 20, 212.3, 10.6, None, {"input wait": None})
    empty = replace(results, mean=nothing, training=training, attributes=attributes)
    page = Page(render_report(empty, [], title="empty"))
    assert "No class has test images" in page.text
    assert "–" in page.words


def test_the_same_input_gives_the_same_page_and_is_left_as_it_was(
    source: str, results: Results, epochs: list[EpochRecord]
) -> None:
    given = copy.deepcopy((results, epochs))
    again = render_report(*given, title="<Run>", facts={"command": "longtail train <x>"})
    assert again == source
    assert given == (results, epochs)


def test_seven_attributes_of_61_classes_stay_under_half_a_megabyte(
    results_of: Callable[..., Results], epochs_of: Callable[..., list[EpochRecord]]
) -> None:
    large = results_of([(f"a{j}", [f"class {k} of {j}" for k in range(61)]) for j in range(7)])
    page = render_report(large, epochs_of(large, 100), title="large")
    assert len(page.encode()) < 500_000
    assert "All 61 classes" in page


def test_forty_binary_attributes_share_one_picture_and_are_folded(
    results_of: Callable[..., Results], epochs_of: Callable[..., list[EpochRecord]]
) -> None:
    binary = results_of([(f"trait {j}", ["no", "yes"]) for j in range(40)])
    source = render_report(binary, epochs_of(binary, 3), title="binary")
    page = Page(source)
    assert len(source.encode()) < 250_000
    assert page.count("svg") == 1 + 2 + 2
    assert page.count("details") == 40
    assert all(f"trait {j}" in page.words for j in range(40))


def test_many_larger_attributes_show_their_classes_but_no_matrix(
    results_of: Callable[..., Results],
) -> None:
    larger = [(f"large {j}", [f"c{k}" for k in range(6)]) for j in range(2)]
    crowded = results_of([*larger, *((f"a{j}", ["no", "yes"]) for j in range(11))])
    page = Page(render_report(crowded, [], title="crowded"))
    assert page.count("svg") == 1 + len(larger)
    assert "Most frequent mix-ups" in page.words


def with_shares(epoch: EpochRecord, **shares: list[list[float]]) -> EpochRecord:
    return replace(epoch, mined={**epoch.mined, **shares})


def test_shares_filled_up_with_zeros_to_the_largest_attribute_are_understood(
    results: Results, epochs: list[EpochRecord], source: str
) -> None:
    filled = [
        with_shares(
            epoch,
            **{
                key: [epoch.mined[key][0], [*epoch.mined[key][1], 0.0, 0.0, 0.0]]
                for key in ("kept_share", "skipped_share")
            },
        )
        for epoch in epochs
    ]
    facts = {"command": "longtail train <x>"}
    assert render_report(results, filled, title="<Run>", facts=facts) == source


@pytest.mark.parametrize("row", [[0.1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.0, 0.0, 0.3]])
def test_metrics_of_another_run_are_refused(
    results: Results, epochs: list[EpochRecord], row: list[float]
) -> None:
    first, _ = epochs[-1].mined["kept_share"]
    foreign = [*epochs[:-1], with_shares(epochs[-1], kept_share=[first, row])]
    with pytest.raises(InputError, match=r"metrics\.jsonl: kept_share: expected \[5, 2\] classes"):
        render_report(results, foreign, title="x")


def test_the_page_is_written_whole_or_not_at_all(
    tmp_path: Path,
    small: Results,
    results_of: Callable[..., Results],
    epochs_of: Callable[..., list[EpochRecord]],
) -> None:
    path = tmp_path / "report.html"
    write_text(path, render_report(small, [], title="first"))
    foreign = epochs_of(results_of([("pet", ["cat", "dog", "fox"])]), 1)
    with pytest.raises(InputError, match="expected"):
        write_text(path, render_report(small, foreign, title="second"))
    assert "<h1>first</h1>" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_missing_is_named(tmp_path: Path, small: Results) -> None:
    with pytest.raises(InputError, match=r"nowhere/report\.html: cannot be written"):
        write_text(tmp_path / "nowhere" / "report.html", render_report(small, [], title="x"))


def test_a_mean_says_of_how_many_attributes_it_is(results: Results) -> None:
    first, other = results.attributes
    attributes = (
        replace(first, metrics=replace(first.metrics, few_recall=results.mean.accuracy)),
        replace(other, metrics=replace(other.metrics, few_recall=None)),
    )
    mean = replace(results.mean, few_recall=results.mean.accuracy)
    text = Page(render_report(replace(results, attributes=attributes, mean=mean), [], title="a")).text
    assert text.count(" over 1 of 2 attributes") == 1
