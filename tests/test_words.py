from __future__ import annotations

from longtail.words import count, did_you_mean, joined


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
