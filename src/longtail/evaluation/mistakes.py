"""Images that show what went wrong: the surest mistakes of rare classes, and the most confused pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Wrong:
    """Images that were recognised wrongly.

    Attributes:
        true: class that they belong to.
        images: how many of them there are in all.
        places: the surest of them, surest first, as places among the images that were given.
    """

    true: int
    images: int
    places: tuple[int, ...]


def rare_classes(train_counts: Ints) -> list[int]:
    """Classes with fewer training images than the mean class, the rarest first; equals keep their order.

    Example:
        >>> rare_classes(np.array([100, 5, 30, 5]))
        [1, 3, 2]
    """
    rare = np.flatnonzero(train_counts < train_counts.mean())
    return rare[train_counts[rare].argsort(kind="stable")].tolist()


def surest_of_rare_classes(
    true: Ints, decided: Ints, sure: NDArray[np.floating], train_counts: Ints, classes: int, each: int
) -> list[Wrong]:
    """The surest mistakes of the rarest classes that have any, at most so many classes and images of each.

    Args:
        true: (n,) class of each image.
        decided: (n,) class decided for.
        sure: (n,) score of that class.
        train_counts: (C,) training images of each class.
        classes: most classes.
        each: most images of a class.
    """
    mistakes = np.bincount(true[true != decided], minlength=len(train_counts))
    found = [k for k in rare_classes(train_counts) if mistakes[k]]
    return [_surest(k, (true == k) & (decided != k), sure, each) for k in found[:classes]]


def surest_of_pairs(
    true: Ints, decided: Ints, sure: NDArray[np.floating], pairs: int, each: int
) -> list[tuple[Wrong, int]]:
    """The surest mistakes of the pairs (true, decided) with the most of them, and the class decided for.

    Of pairs with as many mistakes, the one with the lower class first. Arguments as of
    `surest_of_rare_classes`.
    """
    wrong = np.flatnonzero(true != decided)
    both = np.stack([true[wrong], decided[wrong]], 1)
    kinds, numbers = np.unique(both, axis=0, return_counts=True)
    most = (-numbers).argsort(kind="stable")[:pairs]
    return [(_surest(i, (true == i) & (decided == k), sure, each), k) for i, k in kinds[most].tolist()]


def _surest(true: int, those: NDArray[np.bool_], sure: NDArray[np.floating], each: int) -> Wrong:
    places = np.flatnonzero(those)
    first = places[(-sure[places]).argsort(kind="stable")[:each]]
    return Wrong(true, len(places), tuple(first.tolist()))
