from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from longtail.data.published import inert_pickle
from longtail.data.published.inert_pickle import as_bytes_array, as_text, read_pickle
from longtail.errors import InputError

from .official_files import python2_pickle, python3_pickle


def refused(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        as_bytes_array(read_pickle(data, "batch").get("data"), "batch")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, min_side=1)),
    st.sampled_from([python2_pickle, python3_pickle]),
)
def test_an_array_comes_back_as_it_was(array: np.ndarray, dump: Callable[[Any], bytes]) -> None:
    assert np.array_equal(
        as_bytes_array(read_pickle(dump({b"data": array}), "batch")["data"], "batch"), array
    )


def test_an_array_in_fortran_order_comes_back_as_it_was() -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert as_bytes_array(
        read_pickle(python3_pickle({"data": array}), "batch")["data"], "batch"
    ).tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]


def test_texts_of_both_pythons_are_read() -> None:
    assert read_pickle(python3_pickle({"a": 1, b"b": "c"}), "batch") == {"a": 1, "b": "c"}
    assert (as_text(b"maple_tree"), as_text("maple_tree")) == ("maple_tree", "maple_tree")


@pytest.mark.parametrize("name", ["eval", "getattr", "print"])
def test_any_other_name_is_refused_even_if_it_is_not_called(name: str) -> None:
    data = b"\x80\x02}U\x04datacbuiltins\n" + name.encode() + b"\ns."
    assert f"batch: names 'builtins.{name}', which plain data do not need; nothing in it was run" in refused(
        data
    )


def test_no_name_of_numpy_reaches_numpy() -> None:
    for module, name in inert_pickle._STANDS_FOR:
        data = b"\x80\x02}U\x04datac" + f"{module}\n{name}\n".encode() + b"s."
        assert read_pickle(data, "batch")["data"].__module__ == inert_pickle.__name__


def test_a_stand_in_cannot_be_changed_from_within() -> None:
    for module, name in inert_pickle._STANDS_FOR:
        data = b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"}U\x01aK\x01sb."
        assert "is damaged (TypeError)" in refused(data)


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.int32), np.array([1, "x"], object), np.zeros(3, "V1")])
def test_an_array_of_anything_but_bytes_is_refused(array: np.ndarray) -> None:
    assert "expected an array of bytes (uint8)" in refused(python3_pickle({"data": array}))


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
        ((2, 3), bytes(5)),
        ((-2, -3), bytes(6)),
        ((2.0, 3), bytes(6)),
        (("a",), bytes(1)),
        ((6,), [0] * 6),
        (6, b""),
    ],
)
def test_an_array_that_contradicts_itself_is_refused(shape: Any, raw: Any) -> None:
    data = inert_pickle._Array()
    data.state = (1, shape, inert_pickle._DType("u1"), False, raw)
    with pytest.raises(InputError, match="expected an array of bytes"):
        as_bytes_array(data, "batch")


def outcome(data: bytes) -> str:
    try:
        read_pickle(data, "batch")
    except InputError:
        return "refused"
    return "read"


def test_damage_anywhere_is_an_input_error_or_other_values() -> None:
    whole = python2_pickle({b"data": np.arange(4, dtype=np.uint8), b"labels": [1, 2]})
    outcomes = {
        outcome(whole[:place] + bytes([value]) + whole[place + 1 :])
        for place in range(len(whole))
        for value in (0, 0x2E, 0x52, 0xFF)
    }
    assert outcomes == {"read", "refused"}


def test_persistent_names_are_refused() -> None:
    assert "is damaged" in refused(b"\x80\x02U\x01aQ.")
    assert "is damaged" in refused(pickle.dumps({"a": 1})[:-3])
