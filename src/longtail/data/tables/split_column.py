"""Which column of a manifest says what trains, validates and tests, and what its texts mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from longtail.data.classes import SPLIT_NAMES
from longtail.data.dataset import SPLITS
from longtail.data.tables.table import Table
from longtail.errors import InputError
from longtail.words import joined

_FLAG = re.compile(r"is[_ -]?(train|val|valid|validation|test)(ing)?([_ -].*)?")
_YES = ("1", "1.0", "true", "t", "yes", "y")
_NO = ("0", "0.0", "false", "f", "no", "n")
_LIKE_SPLIT = re.compile(r".*(train|test|valid|eval|\bval\b).*", re.IGNORECASE | re.DOTALL)
_OF_SPLITS = re.compile(r"(.*[_ -])?(split|subset|set|partition|folds?)([_ -].*)?")
_NUMBERED = {str(index): index for index in range(len(SPLITS))}  # as CelebA numbers its partitions


def split_words(name: str, texts: Iterable[str]) -> Mapping[str, int]:
    """Which split each word of a column stands for, as an index into `SPLITS`; words in lower case.

    They are the usual names of splits. A column called is_valid (the other images train) or is_train
    (the other images test) also has yes and no. A column called partition or split that holds 0, 1 and
    2 has these three instead.

    Example:
        >>> split_words("is_test", ["True", "False"])["true"], split_words("subset", ["dev"])["dev"]
        (2, 1)
    """
    if flag := _FLAG.fullmatch(name.lower()):
        yes = SPLIT_NAMES[flag[1]]
        no = SPLITS.index("train" if yes else "test")
        return SPLIT_NAMES | dict.fromkeys(_YES, yes) | dict.fromkeys(_NO, no)
    numbered = name.lower() in ("partition", "split") and set(texts) == set(_NUMBERED)
    return _NUMBERED if numbered else SPLIT_NAMES


def is_about_splits(name: str, texts: Iterable[str] = ()) -> bool:
    """Whether a column is called like one that divides images, as fold, or each text holds a split's name."""
    texts = list(texts)
    named = _OF_SPLITS.fullmatch(name.lower()) is not None
    return named or (bool(texts) and all(map(_LIKE_SPLIT.fullmatch, texts)))


def says_split(table: Table, name: str) -> bool:
    """Whether all texts of a column stand for splits, and not all for one."""
    texts = [text.strip().lower() for text in table.columns[name].filled]
    words = split_words(name, texts)
    return len({words.get(text) for text in texts} - {None}) > 1 and all(text in words for text in texts)


def find_split(table: Table, taken: Iterable[str | None]) -> str | None:
    """The column that says the split: the one called 'split', else the only one whose texts do.

    Raises:
        InputError: when several columns could be meant.
    """
    names = [name for name in table.columns if name not in taken]
    named = [name for name in names if name.lower() == "split"]
    found = named or [name for name in names if says_split(table, name)]
    if len(found) > 1:
        raise InputError(
            f"{table.path}: columns {joined(found)} each say which images train; choose one with"
            " --split-column"
        )
    return found[0] if found else None
