from __future__ import annotations

from pathlib import Path

import pytest

from longtail.data.patterns import is_pattern, plain_name, shards_of
from longtail.errors import InputError


def names(tmp_path: Path, pattern: str) -> list[str]:
    return [path.relative_to(tmp_path).as_posix() for path in shards_of(f"{tmp_path}/{pattern}")]


def test_ranges_and_choices_name_files_in_order(tmp_path: Path) -> None:
    for name in ("a-08", "a-09", "a-10", "b-08", "b-09", "b-10", "c-9", "c-10"):
        (tmp_path / f"{name}.tar").touch()
    assert names(tmp_path, "{b,a}-{08..10}.tar") == [
        "b-08.tar", "b-09.tar", "b-10.tar", "a-08.tar", "a-09.tar", "a-10.tar",
    ]  # fmt: skip
    assert names(tmp_path, "c-{9..10}.tar") == ["c-9.tar", "c-10.tar"]


def test_shards_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "0.tar").touch()
    with pytest.raises(InputError, match=r"/1.tar \(and 2 more\) is not there; expected all of 4 shards"):
        shards_of(f"{tmp_path}/{{0..3}}.tar")


def test_a_pattern_of_too_many_shards_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names more than 100000 shards"):
        shards_of(f"{tmp_path}/{{0..999999999}}.tar")


def test_what_names_one_file_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "{0..1}.tar").touch()
    assert shards_of(f"{tmp_path}/{{0..1}}.tar") == []  # a file may well be called so
    assert not any(map(is_pattern, ("a.tar", "a-{0}.tar", "a-{0..1}.zip", "{}.tar")))


@pytest.mark.parametrize(
    ("source", "name"),
    [("x/a.tar", "a"), ("x/a-{0..1}.tar", "a"), ("x/{a,b}.tar", "x"), ("digits", "digits")],
)
def test_data_are_called_after_what_stands_before_the_braces(source: str, name: str) -> None:
    assert plain_name(source) == name
