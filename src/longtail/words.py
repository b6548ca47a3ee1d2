"""Small pieces of the sentences that say back what was found, and what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

NOTHING = "–"
"""Stands where a figure is not defined, for instance the recall of a class without test images."""


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """' Did you mean 'x'?' for the option nearest to the word, or nothing.

    Example:
        >>> did_you_mean("lable", ["id", "label"])
        " Did you mean 'label'?"
    """
    originals = {option.casefold(): option for option in options}
    near = get_close_matches(word.casefold(), list(originals), n=1)
    return f" Did you mean {originals[near[0]]!r}?" if near else ""


def joined(words: Iterable[str], limit: int = 12) -> str:
    """The words with commas; from `limit` on, how many more there are."""
    words = list(words)
    more = f" and {len(words) - limit:,} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more


def first_of(names: Sequence[str]) -> str:
    """The first name, and how many follow.

    Example:
        >>> first_of(["a.jpg"]), first_of(["a.jpg", "b.jpg", "c.jpg"])
        ('a.jpg', 'a.jpg (and 2 more)')
    """
    return f"{names[0]} (and {len(names) - 1:,} more)" if len(names) > 1 else names[0]


def count(number: int, noun: str, plural: str = "") -> str:
    """'1 image', '2 images', '2 classes'.

    Example:
        >>> count(1, "image"), count(2000, "class", "classes")
        ('1 image', '2,000 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


MOST_LISTED = 5
"""Names in a sentence."""


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, each of bounded length, at most five of them: 'a, b and 3 more'."""
    names = [shortened(name, 40) for name in names]
    if len(names) > MOST_LISTED:
        return joined(names, MOST_LISTED)
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def percent(share: float | None) -> str:
    """A share of 0 to 1 as a percentage without its sign: 0.5 -> '50.0'."""
    return NOTHING if share is None else f"{100 * share:.1f}"


def of_hundred(share: float) -> str:
    """A share as a whole number of a hundred, for sentences."""
    return f"{100 * share:.0f}"


HIDING = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff"
"""Characters that a terminal obeys, that turn the direction of writing, or that no page holds: for [...]."""


def shown(text: str) -> str:
    """The text in a form that every output can carry: no control characters, no lone surrogates.

    Directory names may hold both; a terminal would obey the first, UTF-8 refuses the second.
    """
    whole = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return re.sub(f"[{HIDING}]", " ", whole)


def as_markdown(text: str) -> str:
    """The text with a backslash before every sign that Markdown would obey."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", shown(text))


def shortened(text: str, cells: int) -> str:
    """The text in at most `cells` columns of a terminal, ending in … where it was cut."""
    from rich.cells import cell_len, set_cell_size

    text = shown(text)
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1).rstrip() + "…"
