"""Names of several files in one text, as train-{000000..000009}.tar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from longtail.errors import InputError
from longtail.files import place_of
from longtail.words import first_of

_MOST_SHARDS = 100_000
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def is_pattern(source: str) -> bool:
    """Whether a text names several shards, as train-{000000..000009}.tar."""
    return source.endswith(".tar") and _BRACES.search(source) is not None


def plain_name(source: str) -> str:
    """What data are called after: the source's name, of a pattern what stands before its braces.

    Example:
        >>> plain_name("a/photos.zip"), plain_name("a/train-{0..9}.tar"), plain_name("a/{0..9}.tar")
        ('photos', 'train', 'a')
        >>> plain_name(".") == Path.cwd().stem
        True
    """
    path = Path(source)
    stem = (path.resolve() if path.name in ("", "..") else path).stem
    if not is_pattern(source):
        return stem
    return stem.partition("{")[0].rstrip("-_.") or Path(source).absolute().parent.name.partition("{")[0]


def shards_of(source: str) -> list[Path]:
    """The archives that a pattern names; none where the source is no pattern, or a file of that name.

    Raises:
        InputError: when one is not there.
    """
    pattern = place_of(source)
    if not is_pattern(source) or pattern.exists():
        return []
    paths = [Path(text) for text in _expanded(str(pattern))]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{source}: {first_of(missing)} is not there; expected all of {len(paths)} shards")
    return paths


def _expanded(pattern: str) -> list[str]:
    """The names that a pattern of {a,b} and {00..12} stands for, in order."""
    found = [pattern]
    while any(is_pattern(text) for text in found):
        found = list(chain.from_iterable(map(_first_expanded, found)))
        if len(found) > _MOST_SHARDS:
            raise InputError(f"{pattern}: names more than {_MOST_SHARDS} shards")
    return found


def _first_expanded(text: str) -> Iterator[str]:
    found = _BRACES.search(text)
    if found is None:
        yield text
        return
    for value in _numbers(found[1], found[2]) if found[1] else found[3].split(","):
        yield text[: found.start()] + value + text[found.end() :]


def _numbers(first: str, last: str) -> Iterator[str]:
    """Whole numbers with as many zeros before them as the first has, no more than there may be shards."""
    width = len(first) if first.startswith("0") else 0
    return (f"{number:0{width}}" for number in islice(range(int(first), int(last) + 1), _MOST_SHARDS + 1))
