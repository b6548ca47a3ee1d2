"""Images and verdicts on the page of a run: what is shown, and how it is said."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from msgspec import structs

from longtail.evaluation.results import Fault, Results
from longtail.reporting.charts import Level, Marks, Series, line_chart
from longtail.reporting.gallery import Example, Gallery, Mistakes, Picture, Strip
from longtail.reporting.page import render_report
from longtail.reporting.wording import guessing, limits, verdict
from longtail.training.record import EpochRecord

SCRIPT = "<script>alert(1)</script>"


def strip(title: str, *pictures: int, heat: bytes | None = None) -> Strip:
    return Strip(title, "9 training images", tuple(Example(n, f"taken for {n}", heat) for n in pictures))


def gallery(pictures: int = 3, mistakes: int = 1, strips: int = 1, **more) -> Gallery:
    """Each attribute shows so many rare classes and pairs, with all pictures."""
    rare = tuple(strip(f"rare {i}", *range(pictures), heat=b"heat") for i in range(strips))
    pairs = tuple(strip(f"pair {i}", 0) for i in range(strips))
    return Gallery(
        (48, 96),
        tuple(Picture(bytes([n]) * 2000, f"{n}.jpg") for n in range(pictures)),
        tuple(Mistakes(f"a{j}", rare, pairs, left=j) for j in range(mistakes)),
        mistakes,
        **more,
    )


@pytest.fixture(scope="module")
def results(results_of: Callable[..., Results]) -> Results:
    return results_of([("label", ["cat", "dog", "fox"])])


@pytest.fixture(scope="module")
def epochs(results: Results, epochs_of: Callable[..., list[EpochRecord]]) -> list[EpochRecord]:
    return epochs_of(results, 4)


def test_a_picture_is_in_the_page_once_and_shown_beside_where_the_network_looked(results: Results) -> None:
    page = render_report(results, [], title="t", gallery=gallery())
    assert page.count("data:image/jpeg;base64,") == 3
    assert len(re.findall(r'<use href="#picture0"', page)) == 3  # plain and below the heat, and in the pair
    assert page.count("data:image/png;base64,") == 3
    assert 'viewBox="0 0 196 48"' in page
    assert 'viewBox="0 0 96 48"' in page
    assert "where the network looked" in page
    assert "where the network looked" not in render_report(
        results, [], title="t", gallery=Gallery((9, 9), (Picture(b"x", "x"),), mined=(strip("s", 0),))
    )


def test_names_and_captions_are_shown_as_text(results: Results) -> None:
    nasty = Gallery(
        (9, 9),
        (Picture(b"x", SCRIPT),),
        (Mistakes(SCRIPT, (Strip(SCRIPT, "", (Example(0, SCRIPT),)),), ()),),
    )
    assert SCRIPT not in render_report(results, [], title="t", gallery=nasty)


def test_the_first_classes_are_open_and_the_others_folded(results: Results) -> None:
    page = render_report(results, [], title="t", gallery=gallery(strips=6))
    folded = page.partition("<details><summary>2 more</summary>")
    assert "rare 3" in folded[0]
    assert "rare 4" not in folded[0]
    assert "rare 5" in folded[2]
    assert "<summary>3 more</summary>" in page  # pairs


def test_of_several_attributes_the_first_is_open(results: Results) -> None:
    page = render_report(results, [], title="t", gallery=gallery(mistakes=3))
    assert re.findall(r"<details( open)?><summary>(a\d)</summary>", page) == [
        (" open", "a0"), ("", "a1"), ("", "a2"),
    ]  # fmt: skip


def test_the_page_says_how_much_is_shown_and_by_what_rule(results: Results) -> None:
    said = "Shown are 5 images: the most confident mistakes on the test images of 2 rare classes, and of "
    assert limits(gallery(5, strips=2), results).startswith(said)
    said = limits(gallery(mistakes=2), results)
    assert "of 2 rare classes in 2 of 2 attributes (1 more with mistakes)" in said


def test_what_was_mined_is_shown_below_the_curves_of_mining(
    results: Results, epochs: list[EpochRecord]
) -> None:
    shown = gallery(mined=(strip("Hard positives", 1), strip("Hard negatives", 2)))
    page = render_report(results, epochs, title="t", gallery=shown)
    assert page.index("What was mined") < page.index("Hard positives") < page.index("Hard negatives")
    assert "mined most often" not in render_report(results, epochs, title="t", gallery=gallery())


def test_a_report_without_images_has_no_word_of_them(results: Results, epochs: list[EpochRecord]) -> None:
    for none in (None, Gallery((9, 9), ())):
        page = render_report(results, epochs, title="t", gallery=none)
        assert "What it gets wrong" not in page
        assert 'class="store"' not in page


def with_faults(results: Results, *names: str) -> Results:
    faults = tuple(Fault(name, f"it was {name}") for name in names)  # pyright: ignore[reportArgumentType]
    return structs.replace(results, faults=faults)


def test_curves_say_that_a_training_is_not_finished_or_memorised(
    results: Results, epochs: list[EpochRecord]
) -> None:
    found = with_faults(results, "guessing", "still-falling", "memorised")
    assert verdict(found) == ["Not finished: it was still-falling.", "Memorised: it was memorised."]
    page = render_report(found, epochs, title="t")
    assert "<strong>Not finished: it was still-falling.</strong>" in page
    assert re.search(r"<text[^>]*>not finished, memorised</text>", page)
    assert verdict(results) == []
    assert "not finished" not in render_report(results, epochs, title="t")


def test_the_epoch_that_is_used_is_marked_and_guessing_is_a_line(
    results: Results, epochs: list[EpochRecord]
) -> None:
    training = results.training
    assert training is not None
    judged = structs.replace(results, training=structs.replace(training, judged_epoch=3))
    page = render_report(judged, epochs, title="t")
    assert page.count("Upright line: epoch 3, whose network is used.") == 2
    assert "dotted: guessing" in page
    assert "Upright line" not in render_report(judged, epochs[:1], title="t")
    lines = [Series("x", [0.5, 0.6])]
    plain, used, level = (
        line_chart("c", "t", [1, 2], lines, marks)
        for marks in (Marks(), Marks(used=2), Marks(levels=(Level("guessing", 0.1),)))
    )
    assert len({plain, used, level}) == 3
    assert ">guessing</text>" in level
    assert ">guessing</text>" not in plain


def test_guessing_is_one_over_the_classes_on_average(results_of: Callable[..., Results]) -> None:
    assert guessing(results_of([("a", "xy"), ("b", "wxyz")]).attributes) == pytest.approx(0.375)


def test_an_attribute_without_a_name_of_its_own_is_called_by_the_data(
    results: Results, results_of: Callable[..., Results]
) -> None:
    page = render_report(results, [], title="t")
    assert '<h2 id="a0">clothing</h2>' in page
    assert "Confusion matrix of clothing" in page
    two = render_report(results_of([("label", "ab"), ("kids", "ab")]), [], title="t")
    assert '<h2 id="a0">label</h2>' in two
