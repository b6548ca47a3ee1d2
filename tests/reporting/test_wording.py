"""Sentences and shortened names, as the terminal and the page show them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from longtail.reporting.wording import (
    cautions,
    group_meaning,
    headline,
    interval,
    listed,
    percent,
    shortened,
    shown,
)

NAMES = st.text(st.characters(), max_size=80)
"""Any code points, lone surrogates and control characters among them."""


@given(NAMES)
def test_every_name_can_be_written_and_moves_no_cursor(name: str) -> None:
    text = shown(name)
    text.encode("utf-8")
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


@given(NAMES, st.integers(2, 40))
def test_a_shortened_name_fits_and_says_that_it_was_cut(name: str, cells: int) -> None:
    text = shortened(name, cells)
    assert cell_len(text) <= cells
    assert text == shown(name) or text.endswith("…")


def test_lone_surrogates_stay_recognisable() -> None:
    assert shown("caf\udce9") == r"caf\udce9"


def test_percentages_have_one_decimal_and_undefined_ones_a_dash() -> None:
    assert (percent(0.12345), percent(0.0), percent(None), interval(None)) == ("12.3", "0.0", "–", "–")
    assert interval({"value": 0.5, "low": 0.4, "high": 0.625}) == "40.0 to 62.5"


def test_lists_of_names_are_sentences_and_end() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefg"), most=3) == "a, b, c and 4 more"


def test_groups_are_explained_by_their_limits() -> None:
    groups = {"many_above": 100, "few_below": 20}
    meanings = [group_meaning(groups, g) for g in ("many", "medium", "few")]
    assert meanings == ["more than 100", "20 to 100", "fewer than 20"]


@pytest.fixture
def results(results_of: Any) -> dict[str, Any]:
    made = results_of([("pet", ["cat", "dog"])])
    set_classes(made["attributes"][0], train=(500, 5), test=(100, 40))
    metrics = {"class_balanced_accuracy": 0.6, "accuracy": 0.9, "few_recall": 0.25}
    for name, value in metrics.items():
        made["mean"][name] = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return made


def set_classes(attribute: dict[str, Any], train: tuple[int, int], test: tuple[int, int]) -> None:
    for entry, train_count, test_count in zip(attribute["classes"], train, test, strict=True):
        group = "many" if train_count > 100 else "few" if train_count < 20 else "medium"
        entry.update(train_count=train_count, test_count=test_count, frequency_group=group)


def test_the_headline_says_what_the_figures_mean(results: dict[str, Any]) -> None:
    text = headline(results)
    assert "about 60 of 100 images" in text
    assert "50 to 70" in text
    assert "guessing would reach 50" in text
    assert "fewer than 20 training images, it is 25 of 100" in text
    assert "Plain accuracy, 90 of 100, looks better" in text


def test_the_headline_keeps_silent_on_what_is_not_so(results: dict[str, Any]) -> None:
    results["mean"]["few_recall"] = None
    results["mean"]["accuracy"] = results["mean"]["class_balanced_accuracy"]
    assert "rare" not in headline(results)
    assert "looks better" not in headline(results)
    results["mean"]["class_balanced_accuracy"] = None
    assert "No class has test images" in headline(results)


def test_enough_images_give_no_caution(results: dict[str, Any]) -> None:
    assert cautions(results) == []


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ((500, 5), (100, 9), "the rare class has only 9 test images"),
        ((5, 5), (1, 0), "the 2 rare classes together have only 1 test image;"),
        ((500, 50), (100, 0), "1 of 2 classes (dog) has no test image"),
        ((500, 0), (100, 40), "1 of 2 classes (dog) has no training image"),
    ],
)
def test_classes_that_cannot_be_judged_are_named(
    results: dict[str, Any], train: tuple[int, int], test: tuple[int, int], expected: str
) -> None:
    set_classes(results["attributes"][0], train, test)
    found = [c for c in cautions(results) if expected in c]
    assert len(found) == 1
    assert found[0].startswith("pet: ")


def test_ten_test_images_of_rare_classes_are_enough(results: dict[str, Any]) -> None:
    set_classes(results["attributes"][0], (500, 5), (100, 10))
    assert cautions(results) == []


def test_a_caution_shared_by_many_attributes_is_given_once(results: dict[str, Any]) -> None:
    attribute = results["attributes"][0]
    set_classes(attribute, (500, 50), (100, 0))
    results["attributes"] = [{**copy.deepcopy(attribute), "name": f"a{i}"} for i in range(6)]
    (caution,) = cautions(results)
    assert caution.startswith("In 6 of 6 attributes (a0, a1, a2, a3, a4 and 1 more)")
