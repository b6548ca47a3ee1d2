"""Sentences about results, as the terminal and the page show them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from scipy.sparse import coo_array

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.results import Bounds, Results, cells
from longtail.reporting.wording import cautions, group_meaning, headline, interval, recall_interval, value


def test_percentages_have_one_decimal_and_undefined_ones_a_dash() -> None:
    assert (value(Estimate(0.12345, 0.0, 1.0)), value(None), interval(None)) == ("12.3", "–", "–")
    assert interval(Estimate(0.5, 0.4, 0.625)) == "40.0 to 62.5"


def test_groups_are_explained_by_their_limits() -> None:
    meanings = [group_meaning(Bounds(100, 20), g) for g in ("many", "medium", "few")]
    assert meanings == ["more than 100", "20 to 100", "fewer than 20"]


@pytest.fixture
def results(results_of: Callable[..., Results]) -> Results:
    made = with_classes(results_of([("pet", ["cat", "dog"])]), train=(500, 5), test=(100, 40))
    figures = {
        name: Estimate(value, value - 0.1, value + 0.1)
        for name, value in {"class_balanced_accuracy": 0.6, "accuracy": 0.9, "few_recall": 0.25}.items()
    }
    return replace(made, mean=replace(made.mean, **figures))


def with_classes(results: Results, train: tuple[int, int], test: tuple[int, int]) -> Results:
    """The same with other images of the classes, none of them taken for another."""
    (attribute,) = results.attributes
    classes = tuple(
        replace(
            entry,
            train_count=n,
            test_count=m,
            frequency_group="many" if n > 100 else "few" if n < 20 else "medium",
        )
        for entry, n, m in zip(attribute.classes, train, test, strict=True)
    )
    confusion = cells(coo_array([[test[0], 0], [0, test[1]]]))
    return replace(results, attributes=(replace(attribute, classes=classes, confusion=confusion),))


def test_the_headline_says_what_the_figures_mean(results: Results) -> None:
    text = headline(results)
    assert "about 60 of 100 images" in text
    assert "50 to 70" in text
    assert "guessing would reach 50" in text
    assert "fewer than 20 training images, it is 25 of 100" in text
    assert "Plain accuracy, 90 of 100, looks better" in text


def test_the_headline_keeps_silent_on_what_is_not_so(results: Results) -> None:
    mean = replace(results.mean, few_recall=None, accuracy=results.mean.class_balanced_accuracy)
    assert "rare" not in headline(replace(results, mean=mean))
    assert "looks better" not in headline(replace(results, mean=mean))
    untested = replace(mean, class_balanced_accuracy=None)
    assert "No class has test images" in headline(replace(results, mean=untested))


def test_enough_images_give_no_caution(results: Results) -> None:
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
    results: Results, train: tuple[int, int], test: tuple[int, int], expected: str
) -> None:
    found = [c for c in cautions(with_classes(results, train, test)) if expected in c]
    assert len(found) == 1
    assert found[0].startswith("pet: ")


def test_ten_test_images_of_rare_classes_are_enough(results: Results) -> None:
    assert cautions(with_classes(results, (500, 5), (100, 10))) == []


def test_few_groups_of_images_are_a_caution(results: Results) -> None:
    (caution,) = cautions(replace(results, image_groups=12))
    assert caution.startswith("The test images come from 12 groups; from fewer than 30, intervals are rough")
    assert cautions(replace(results, image_groups=30)) == []


def test_a_recall_has_its_interval_in_whole_percent_and_a_dash_without_one(results: Results) -> None:
    entry = results.attributes[0].classes[0]
    assert recall_interval(replace(entry, recall_low=0.543, recall_high=1.0)) == "54 to 100"
    assert recall_interval(replace(entry, recall_low=None)) == "–"


def test_a_caution_shared_by_many_attributes_is_given_once(results: Results) -> None:
    (attribute,) = with_classes(results, (500, 50), (100, 0)).attributes
    six = tuple(replace(attribute, name=f"a{i}") for i in range(6))
    (caution,) = cautions(replace(results, attributes=six))
    assert caution.startswith("In 6 of 6 attributes (a0, a1, a2, a3, a4 and 1 more)")
