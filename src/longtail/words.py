"""Small pieces of the sentences that say back what was found, and what was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more


def count(number: int, noun: str, plural: str = "") -> str:
    """'1 image', '2 images', '2 classes'.

    Example:
        >>> count(1, "image"), count(2000, "class", "classes")
        ('1 image', '2000 classes')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
