from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.cli.values import checked

Level = Literal["class", "instance"]
Power = Literal[1, 2]


@given(st.integers())
def test_a_whole_number_is_the_same_as_number_and_as_text(number: int):
    assert checked(int, number) == checked(int, str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_same_as_number_and_as_text(number: float):
    assert checked(float, number) == checked(float, repr(number)) == number


@pytest.mark.parametrize("value", ["1.5", 1.5, 1.0, "many", True, None, [1], ""])
def test_what_is_not_a_whole_number_is_never_rounded(value: object):
    with pytest.raises(ValueError, match="expected a whole number, got "):
        checked(int, value)


@pytest.mark.parametrize("value", ["nan", math.inf, "-inf", True, "x", [1.0], {}])
def test_only_finite_numbers_are_numbers(value: object):
    with pytest.raises(ValueError, match="expected a number, got "):
        checked(float, value)


@pytest.mark.parametrize("value", [1, 0, "true", None])
def test_truth_must_be_true_or_false(value: object):
    assert checked(bool, True) is True
    with pytest.raises(ValueError, match="expected true or false, got "):
        checked(bool, value)


def test_a_number_may_stand_for_text_but_truth_and_tables_may_not():
    assert checked(str, 128) == "128"
    for value in (True, {"a": 1}, ["a"], None):
        with pytest.raises(ValueError, match="expected text, got "):
            checked(str, value)


def test_several_texts_may_be_one():
    assert checked(tuple[str, ...], "colour") == ("colour",)
    assert checked(tuple[str, ...], ["colour", 3]) == ("colour", "3")
    with pytest.raises(ValueError, match="expected text, got True"):
        checked(tuple[str, ...], ["colour", True])


def test_a_choice_keeps_the_type_it_is_declared_with():
    assert checked(Power, "2") == checked(Power, 2) == 2
    assert checked(Level, "class") == "class"


def test_a_wrong_choice_is_told_the_right_ones_and_the_nearest():
    with pytest.raises(ValueError) as error:
        checked(Level, "instnace")
    assert str(error.value) == "expected one of class, instance, got 'instnace'. Did you mean 'instance'?"
    with pytest.raises(ValueError, match=r"expected one of 1, 2, got True$"):
        checked(Power, True)


def test_none_is_only_taken_where_it_is_declared():
    assert checked(int | None, None) is None
    assert checked(Level | None, "class") == "class"
    with pytest.raises(ValueError, match="expected one of"):
        checked(Level, None)
