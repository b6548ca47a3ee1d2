from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from longtail.words import (
    count,
    did_you_mean,
    first_of,
    joined,
    listed,
    of_hundred,
    percent,
    shortened,
    shown,
)

NAMES = st.text(st.characters(), max_size=80)
"""Any code points, lone surrogates and control characters among them."""


def test_the_nearest_option_is_offered_in_its_own_spelling() -> None:
    assert did_you_mean("digts", ["digits", "digits-attributes"]) == " Did you mean 'digits'?"
    assert did_you_mean("LABLE", ["id", "Label"]) == " Did you mean 'Label'?"


def test_nothing_is_offered_where_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["id", "label"]) == ""
    assert did_you_mean("zebra", []) == ""


def test_a_long_list_ends_with_how_many_more() -> None:
    assert joined("abc", 2) == "a, b and 1 more"
    assert joined("ab", 2) == "a, b"


def test_numbers_and_nouns_agree() -> None:
    assert (count(1, "row"), count(0, "row"), count(2, "class", "classes")) == (
        "1 row",
        "0 rows",
        "2 classes",
    )


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


def test_lists_of_names_are_sentences_and_end() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh")) == "a, b, c, d, e and 3 more"


def test_shares_are_percentages_and_undefined_ones_a_dash() -> None:
    assert (percent(0.12345), percent(0.0), percent(None)) == ("12.3", "0.0", "–")
    assert of_hundred(0.605) == "60"


def test_of_many_names_the_first_is_given_and_the_others_counted() -> None:
    assert first_of(["a"]) == "a"
    assert first_of(["a", "b"]) == "a (and 1 more)"
