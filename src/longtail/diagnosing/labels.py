"""Which labels of a data set are suspect: a list for a person; nothing is relabelled or dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import Dataset, class_counts
from longtail.diagnosing.suspicion import SHARE, Suspicions, suspicions
from longtail.features.held_out import Floats, Ints, held_out
from longtail.features.principal import principal
from longtail.features.similar import united
from longtail.schema import UNLABELLED, Attribute

NUMBERS = 256
"""Of a vector, that the regressions see: more take longer and find no more."""

MOST_TWINS = 20
"""Identical images with another label that are named of one image."""

Identical = Sequence[Sequence[int]]
"""Sets of rows whose images have the same pixels; a row is in one at most."""


@dataclass(frozen=True)
class Suspect:
    """An image whose label of an attribute is suspect.

    Attributes:
        row: of the data set.
        image: its id.
        attribute: its name.
        given: its label.
        suggested: the label that fits better; one of an identical image, where there are `twins`.
        suspicion: between 0 and 1; above 0.5, `suggested` fits better than `given`.
        rank: in the list of the attribute, from 1 on.
        twins: ids of identical images with another label, at most `MOST_TWINS`.
    """

    row: int
    image: str
    attribute: str
    given: str
    suggested: str
    suspicion: float
    rank: int
    twins: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassSuspects:
    """A class with labels: its name, its images, how many of them were judged and how many are listed."""

    name: str
    images: int
    judged: int
    listed: int


@dataclass(frozen=True, eq=False)
class AttributeCheck:
    """The labels of one attribute.

    Attributes:
        name: of the attribute.
        suspicion: (N,) between 0 and 1, 1 where an identical image has another label; NaN where a label is
            missing or was not judged.
        classes: those with an image, in the order of the schema.
        suspects: those listed, images with a contradicting twin first, then the most suspect.
    """

    name: str
    suspicion: Floats
    classes: tuple[ClassSuspects, ...]
    suspects: tuple[Suspect, ...]

    @property
    def labelled(self) -> int:
        """Images with a label."""
        return sum(found.images for found in self.classes)

    @property
    def judged(self) -> int:
        """Images whose label was compared with others of its class."""
        return sum(found.judged for found in self.classes)

    @property
    def not_judged(self) -> tuple[str, ...]:
        """Classes of which no image could be judged: they have one image, or all images in one group."""
        return tuple(found.name for found in self.classes if found.judged == 0)


@dataclass(frozen=True, eq=False)
class LabelCheck:
    """The labels of a data set.

    Attributes:
        attributes: in the order of the schema.
        share: largest share of the labels that is listed; those with contradicting twins come on top.
        unread: images that could not be read, and were not judged.
    """

    attributes: tuple[AttributeCheck, ...]
    share: float
    unread: int = 0

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Those of all attributes, one attribute after the other."""
        return tuple(suspect for found in self.attributes for suspect in found.suspects)


def check_labels(
    vectors: NDArray[np.floating],
    rows: Ints,
    dataset: Dataset,
    identical: Identical = (),
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> LabelCheck:
    """How suspect every label is, and which to look at; takes about 20 kB of memory per image.

    An image is judged without the others of its group.

    Args:
        vectors: (n, D) of the images that could be read.
        rows: (n,) of the data set, whose vectors they are.
        dataset: as found; nothing in it is changed.
        identical: images with the same pixels; those with different labels are listed first.
        on_progress: called with a task, how much of it is done and how much there is.
    """
    units = joined(len(dataset), dataset.groups, identical)[rows]
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    x = principal(vectors / lengths, NUMBERS)
    found: list[AttributeCheck] = []
    for j, attribute in enumerate(dataset.schema.attributes):
        labels = dataset.labels[:, j]
        known = labels[rows] != UNLABELLED
        own, told = rows[known], on_progress and partial(on_progress, f"judging {attribute.name}")
        classes = len(attribute.classes)
        judged = held_out(x[known], labels[own], units[known], classes, on_progress=told)
        doubts = _spread(suspicions(judged, labels[own]), own, len(labels))
        found.append(_checked(attribute, labels, doubts, contradicting(labels, identical), dataset.ids))
    return LabelCheck(tuple(found), SHARE, len(dataset) - len(rows))


def joined(images: int, groups: Ints | None, identical: Identical) -> Ints:
    """(N,) units: the given groups, or every image its own, those of identical images joined."""
    copies = np.arange(images)
    for same in identical:
        copies[[*same]] = same[0]
    return copies if groups is None else united(groups, copies)


def _spread(found: Suspicions, rows: Ints, images: int) -> Suspicions:
    """The same for all images, of which `rows` were judged."""
    values, suggested = np.full(images, np.nan), np.full(images, UNLABELLED)
    values[rows], suggested[rows] = found.values, found.suggested
    return Suspicions(values, suggested, rows[found.listed])


def _checked(
    attribute: Attribute,
    labels: Ints,
    doubts: Suspicions,
    twins: Mapping[int, tuple[int, ...]],
    ids: Sequence[str],
) -> AttributeCheck:
    suspicion, suggested = doubts.values.copy(), doubts.suggested.copy()
    for row, others in twins.items():
        suspicion[row] = 1.0
        if suggested[row] not in labels[[*others]]:
            suggested[row] = labels[others[0]]
    order = [*twins, *(row for row in doubts.listed.tolist() if row not in twins)]
    of_class = (labels, labels[np.isfinite(doubts.values)], labels[order])
    counted = zip(
        attribute.classes,
        *(class_counts(own, len(attribute.classes)).tolist() for own in of_class),
        strict=True,
    )
    suspects = (
        Suspect(
            row=row,
            image=ids[row],
            attribute=attribute.name,
            given=attribute.classes[labels[row]],
            suggested=attribute.classes[suggested[row]],
            suspicion=float(suspicion[row]),
            rank=rank,
            twins=tuple(ids[other] for other in twins.get(row, ())),
        )
        for rank, row in enumerate(order, start=1)
    )
    classes = tuple(ClassSuspects(*own) for own in counted if own[1])
    return AttributeCheck(attribute.name, suspicion, classes, tuple(suspects))


def contradicting(labels: Ints, identical: Identical) -> Mapping[int, tuple[int, ...]]:
    """By row, rows of identical images that have another label; a missing label contradicts nothing.

    At most `MOST_TWINS`, one of each label before a second of any: a placeholder that stands for thousands
    of images has as many.
    """
    found: dict[int, tuple[int, ...]] = {}
    for same in identical:
        rows: dict[int, list[int]] = {}
        for row in same:
            if labels[row] != UNLABELLED:
                rows.setdefault(int(labels[row]), []).append(row)
        if len(rows) < 2:
            continue
        turns = zip_longest(*(own[:MOST_TWINS] for own in rows.values()))
        in_turn = [(int(labels[row]), row) for turn in turns for row in turn if row is not None]
        others = {
            label: tuple(islice((row for of, row in in_turn if of != label), MOST_TWINS)) for label in rows
        }
        found |= {row: others[int(labels[row])] for row in same if labels[row] != UNLABELLED}
    return found
