from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Literal

import pytest

from longtail.documents import Form, Part
from longtail.errors import InputError


class Inner(Part, frozen=True):
    share: float | None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.share == 0.5:
            raise ValueError("expected anything but a half")


class Outer(Part, frozen=True):
    schema_version: Literal[2]
    inner: Inner


@dataclass(frozen=True)
class Plain:
    number: int
    inner: Inner | None = None


OUTER = Form(Outer, "outers", "an outer.json", "write again")
PLAIN = Form(Plain, "plains", "a plain.json", "train again", indent=0)


def test_what_is_written_is_read_again_with_null_for_no_number(tmp_path):
    path = tmp_path / "outer.json"
    OUTER.write(path, Outer(2, Inner(math.nan, ("a", "ä"))))
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "schema_version": 2,
        "inner": {"share": None, "names": ["a", "ä"]},
    }
    assert OUTER.read(path) == Outer(2, Inner(None, ("a", "ä")))


def test_numbers_are_spelled_as_python_spells_them():
    assert PLAIN.encode(Plain(1, Inner(1e-05))) == '{"number": 1, "inner": {"share": 1e-05, "names": []}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\xff", "not JSON"),
        ('{"schema_version": 1}', "expected outers of schema version 2, got 1; read them with"),
        ('{"schema_version": 2}', "missing required field `inner`; write again to write them anew"),
        ('{"schema_version": 2, "inner": {"share": "x"}}', "`$.inner.share`"),
        ('{"schema_version": 2, "inner": {"share": 0.5}}', "expected anything but a half"),
        ('{"schema_version": 2, "inner": {"share": 1, "more": 1}}', "unknown field `more`"),
        ("[]", "Expected `object`, got `array`"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_that_names_the_file_and_the_place(tmp_path, text, message):
    path = tmp_path / "outer.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        OUTER.read(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named_with_what_was_expected(tmp_path):
    with pytest.raises(InputError, match=r"outer\.json: cannot be read .*expected an outer\.json"):
        OUTER.read(tmp_path / "outer.json")


def test_a_dataclass_refuses_unknown_keys_too(tmp_path):
    assert PLAIN.decode('{"number": 1}', "x") == Plain(1)
    with pytest.raises(InputError, match=r"unknown field `\$\.other`"):
        PLAIN.decode('{"number": 1, "other": 2}', "x")


def test_lines_are_documents_of_their_own(tmp_path):
    path = tmp_path / "plain.jsonl"
    assert PLAIN.read_lines(path) == []
    PLAIN.write_lines(path, [Plain(1), Plain(2, Inner(0.25))])
    assert path.read_text().count("\n") == 2
    assert PLAIN.read_lines(path) == [Plain(1), Plain(2, Inner(0.25))]
    path.write_text('{"number": 1}\n{"number": "b"}\n')
    with pytest.raises(InputError, match="line 2: not valid plains"):
        PLAIN.read_lines(path)


def test_the_schema_says_what_the_type_says():
    schema = OUTER.schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$defs"]["Inner"]["additionalProperties"] is False
    assert schema["$defs"]["Outer"]["required"] == ["schema_version", "inner"]
