"""Which classes are taken for which: the confusion matrix cut down to what a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest

from longtail.evaluation.results import AttributeResults
from longtail.reporting.wording import by_frequency

READABLE = 25
"""With more classes than this, a matrix is reduced before it is drawn."""

OTHERS = "all others"


@dataclass(frozen=True)
class Confusion:
    """A square table of counts, rows true and columns predicted, with the names of both.

    Attributes:
        names: one name per row and column; the last is `OTHERS` where classes were merged.
        counts: test images by true class and predicted class.
        reduced: whether classes were merged.
    """

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    reduced: bool

    def shares(self) -> list[list[float | None]]:
        """counts[i][k] / Σ_k counts[i][k]: where the images of class i went; None without images."""
        return [[c / sum(row) if sum(row) else None for c in row] for row in self.counts]


@dataclass(frozen=True)
class MixUp:
    """Images of one class that were taken for another; `share` is of the test images of the true class."""

    true: str
    predicted: str
    images: int
    share: float


def readable(attribute: AttributeResults, most: int = READABLE) -> Confusion:
    """The confusion matrix from the most to the least frequent class, at most `most` rows.

    Where it has to be reduced it shows the rarest classes that have test images, each with the class
    it is most often taken for; everything else is merged into one last row and column.
    """
    classes = attribute.classes
    order = by_frequency(classes)
    kept = set(order) if len(order) <= most else _rarest_and_their_rivals(attribute, order, most - 1)
    others = [k for k in order if k not in kept]
    names = [*(classes[k].name for k in order if k in kept), *([OTHERS] if others else [])]
    place = {k: number for number, k in enumerate(k for k in order if k in kept)}
    merged = [[0] * len(names) for _ in names]
    for true, predicted, images in attribute.confusion:
        merged[place.get(true, -1)][place.get(predicted, -1)] += images  # the last stands for all others
    return Confusion(tuple(names), tuple(map(tuple, merged)), reduced=bool(others))


def most_frequent(attribute: AttributeResults, most: int) -> list[MixUp]:
    """The pairs (true, predicted) with the most wrongly recognised images, largest first."""
    classes = attribute.classes
    wrong = ((-n, i, k) for i, k, n in attribute.confusion if i != k)
    return [
        MixUp(classes[i].name, classes[k].name, -n, -n / classes[i].test_count)
        for n, i, k in nsmallest(most, wrong)
    ]


def _rarest_and_their_rivals(attribute: AttributeResults, order: Sequence[int], most: int) -> set[int]:
    kept: set[int] = set()
    for k in reversed(order):
        if attribute.classes[k].test_count == 0:
            continue
        wrong = {other: n for other, n in attribute.row(k).items() if other != k}
        pair = {k, max(wrong, key=lambda other: (wrong[other], -other))} if wrong else {k}
        if len(kept | pair) > most:
            break
        kept |= pair
    return kept
