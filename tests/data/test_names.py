from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.names import Names


@given(st.lists(st.text(max_size=8)))
def test_names_are_the_strings_they_were_made_from(strings: list[str]) -> None:
    names = Names(strings)
    assert list(names) == strings
    assert [names[i] for i in range(-len(strings), len(strings))] == strings * 2
    assert list(pickle.loads(pickle.dumps(names))) == strings


def test_file_names_that_are_no_utf8_survive() -> None:
    broken = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert Names([broken, "x"])[0] == broken


def test_slices_are_names_again() -> None:
    names = Names("abcd")
    assert list(names[1:3]) == ["b", "c"]
    assert list(names[::-1]) == ["d", "c", "b", "a"]


@pytest.mark.parametrize("index", [2, -3])
def test_an_index_beyond_the_end_is_refused(index: int) -> None:
    with pytest.raises(IndexError):
        Names("ab")[index]


def test_a_name_costs_its_bytes_and_four_more() -> None:
    short, long = (len(pickle.dumps(Names(["12345678"] * n))) for n in (1000, 2000))
    assert 1000 * (8 + 4) <= long - short < 1000 * (8 + 4) + 10
