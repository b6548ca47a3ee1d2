from __future__ import annotations

import random
from ast import literal_eval

import numpy as np
import pytest

from longtail.data.classes import (
    changes,
    describe_attributes,
    describe_split,
    odd_values,
    order_classes,
    several_labels,
    written_differently,
)
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("kind", ("a", "b", "c")), Attribute("kids", ("0", "1"))))


@pytest.mark.parametrize(
    ("ordered", "why"),
    [
        (("-1", "0", "2", "10"), "numbers by value"),
        (("01", "1", "2"), "the same number in two spellings stays two classes"),
        (("10", "2", "x"), "by code point as soon as one is no number"),
        (("1.5", "10", "2"), "fractions are text"),
        (("B", "a"), "case-sensitive"),
        (("1_0", "9"), "an underscore makes text"),
    ],
)
def test_class_order(ordered: tuple[str, ...], why: str) -> None:
    shuffled = list(ordered)
    random.Random(1).shuffle(shuffled)
    assert order_classes(shuffled + shuffled) == ordered, why


def test_attributes_are_described_by_their_largest_and_smallest_class() -> None:
    labels = np.array([[0, 0], [0, -1], [0, 1], [1, 0]])
    assert describe_attributes(SCHEMA, labels) == [
        "2 attributes: kind (3 classes, 3 … 0 images), kids (2 classes, 2 … 1 images)",
        "kids: 1 image not labelled (empty)",
    ]


def test_values_that_look_missing_stay_classes_and_are_mentioned() -> None:
    notes = odd_values("season", ("Fall", "NA", "nan"), np.array([1, 1, 2, 0]))
    assert notes == [
        "season: 'NA' (2 rows) stays a class; empty the cells to leave them unlabelled",
        "season: 'nan' (1 row) stays a class; empty the cells to leave them unlabelled",
    ]


def test_classes_that_differ_in_case_or_spaces_are_mentioned() -> None:
    (note,) = odd_values("colour", ("Black", "Red", "black "), np.array([0, 1, 2]))
    assert note == "colour: 'Black' and 'black ' differ only in case or spaces; they stay 2 classes"


@pytest.mark.parametrize(
    ("texts", "how"),
    [
        (["'Cat'", "'cat '", "'CAT'"], "case or spaces"),
        (["'1'", "'1.0'", "'01'", "'+1'", "'1e0'"], "the form of a number"),
        (["'-1.50'", "'-1.5'"], "the form of a number"),
        (["'True'", "'TRUE'"], "case or spaces"),
        (["'True'", "'1'", "'yes'"], "the word for yes or no"),
        (["'0.0'", "'No'"], "the word for yes or no"),
        ([r"'\xe9'", r"'e\u0301'"], "the Unicode form of their characters"),
        ([r"'\xc9'", r"'e\u0301'"], "the Unicode form of their characters"),
        ([r"'a\u200b'", "'a'"], "the Unicode form of their characters"),
        (["'pick_up'", "'pick-up'", "'Pick up'"], "case, spaces, hyphens or underscores"),
    ],
)
def test_one_name_written_in_two_ways_is_mentioned_so_that_they_can_be_told_apart(
    texts: list[str], how: str
) -> None:
    names = [literal_eval(text) for text in texts]
    assert written_differently([*names, "other", "2"]) == [(texts, how)]


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "-1", "10"],
        ["B", "B-", "B+"],
        ["nan", "inf", "Infinity"],
        ["1_0", "10"],
        ["a b", "ab"],
        ["12e34567890", "12e34567891", "0e999999999"],  # hashes, beyond every number
        ["1" * 32, "1" * 31 + "2"],
    ],
)
def test_names_of_different_things_are_not_mentioned(texts: list[str]) -> None:
    assert written_differently(texts) == []


@pytest.mark.parametrize(
    ("texts", "how"),
    [
        (["a|b", "a", "c"], "separated by '|'"),
        (["a;b", "c"], "separated by ';'"),
        (["a\nb", "c"], r"separated by '\n'"),
        (["['a', 'b']", "['a']"], "in brackets"),
        (['["a","b"]', "[]"], "in brackets"),
        (["{'a', 'b'}", "c"], "in brackets"),
        (["('a', 'b')", "c"], "in brackets"),
        (["[0 1 1]", "[1 0 0]"], "in brackets"),
        (["a, b", "a", "b"], "separated by ', '"),
        (["a,b", "b,a"], "separated by ','"),
        (["a/b", "a", "b/c", "c"], "separated by '/'"),
        (["a+b", "a", "b"], "separated by '+'"),
        (["haze primary", "haze", "clear primary", "clear"], "separated by ' '"),
        (
            ["a b c", "a b", "b c d", "a d", "c d", "a c", "b d", "a c d", "c e", "d e", "b e"],
            "separated by ' '",
        ),
    ],
)
def test_several_labels_in_one_cell_are_seen(texts: list[str], how: str) -> None:
    assert several_labels(texts) == how


@pytest.mark.parametrize(
    "texts",
    [
        ["golden retriever", "labrador retriever", "poodle"],
        ["dark blue", "light blue", "dark red", "light red"],
        ["New York", "York"],
        ["n/a", "x"],
        ["0-2", "3-9"],
        ["(unknown)", "cat"],
        ["Felis catus", "Felis silvestris", "Canis lupus"],
        ["Smith, John", "Smith, Jane"],
    ],
)
def test_names_of_several_words_are_one_label(texts: list[str]) -> None:
    assert several_labels(texts) == ""


def test_cells_of_several_labels_are_mentioned_and_stay_classes() -> None:
    (note,) = odd_values("tags", ("a", "a|b", "b"), np.array([0, 1, 2]))
    assert note == (
        "tags: its cells look like several labels, separated by '|'; every combination stays a class"
        " of its own (to learn each label, give it a column of 1 and 0)"
    )


def test_splits_are_described_by_their_sizes() -> None:
    split = np.array([0, 2, -1, 1], np.int8)
    notes = describe_split("as published", split)
    assert notes == ["splits as published: train 1, val 1, test 1 images", "1 image in no split"]
    assert describe_split("by folder", split, "left over")[-1] == "1 image left over"
    assert describe_split("by folder", abs(split)) == ["splits by folder: train 1, val 2, test 1 images"]


def test_what_came_and_went_is_named_but_not_the_classes_of_a_whole_attribute() -> None:
    other = Attribute("size", ("small", "large"))
    both, kids = LabelSchema((*SCHEMA.attributes, other)), LabelSchema(SCHEMA.attributes[1:])
    assert changes(SCHEMA, both) == "new: size"
    assert changes(both, kids) == "gone: kind and size"
    reordered = LabelSchema((Attribute("kind", ("b", "a", "d")), SCHEMA.attributes[1]))
    assert changes(SCHEMA, reordered) == "new: kind 'd'; gone: kind 'c'"
    assert changes(SCHEMA, LabelSchema(SCHEMA.attributes[::-1])) == "in another order"
