"""Train, validation and test: stratified over every attribute, no group on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS, Dataset
from longtail.data.stratify import TRAIN, Pairs, stratify
from longtail.documents import Form, Part
from longtail.errors import InputError
from longtail.schema import LabelSchema
from longtail.words import count

FRACTIONS = (0.7, 0.1, 0.2)
"""Shares of train, val and test where nothing else is asked for."""

_NAMES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, eq=False)
class Splits:
    """Which images train, which choose, which measure.

    Attributes:
        train: (n,) int64 sorted rows of the data set.
        val: the same for validation; may be empty.
        test: the same for the test.
        notes: sentences on sizes, groups, and classes that a split lacks.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def of(self, name: str) -> NDArray[np.int64]:
        """Rows of the split of that name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def named(self, ids: Sequence[str]) -> NamedSplits:
        """The splits by the ids of their images."""

        def named(split: NDArray[np.int64]) -> list[str]:
            return [ids[row] for row in map(int, split)]

        return NamedSplits(named(self.train), named(self.val), named(self.test), self.notes)


class NamedSplits(Part, frozen=True):
    """splits.json: the ids of the images of every split, and the notes of `Splits`."""

    train: list[str]
    val: list[str]
    test: list[str]
    notes: tuple[str, ...] = ()

    def rows(self, ids: Sequence[str], source: str) -> Splits:
        """The splits of the data set with these ids.

        Raises:
            InputError: when an id is unknown, or appears twice; it names `source`.
        """
        places = {name: row for row, name in enumerate(ids)}
        taken: dict[str, str] = {}
        found: list[NDArray[np.int64]] = []
        for split, names in zip(SPLITS, (self.train, self.val, self.test)):
            for name in names:
                if name not in places:
                    raise InputError(
                        f"{source}: {split} names id {name!r}, which the data do not have; open the data"
                        " the splits were made for, or make the splits again"
                    )
                if name in taken:
                    raise InputError(
                        f"{source}: id {name!r} is in {taken[name]} and in {split}; keep it in one"
                    )
                taken[name] = split
            found.append(np.array(sorted(places[name] for name in names), np.int64))
        return Splits(*found, notes=self.notes)


SPLITS_FILE = Form(
    NamedSplits, "splits", source="the splits.json of a run", anew="make the splits again", indent=2
)


def make_splits(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    schema: LabelSchema,
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    given: NDArray[np.int8] | None = None,
) -> Splits:
    """Split images so that every class of every attribute is shared out in the same fractions.

    Groups stay whole. A class with enough groups (or images, where there are none) is in all three
    splits; with fewer it is in train first, then test, then val, and the notes name it. See
    `longtail.data.stratify` for the rule. The result depends on the arguments alone.

    Args:
        labels: (N, J), -1 = unlabelled.
        groups: (N,) group of each image, or None when every image stands for itself.
        schema: names the classes in notes.
        fractions: shares of train, val and test; 0 leaves val or test empty.
        seed: which of the equally good splits.
        given: (N,) split that the data come with, index into `SPLITS`, -1 = in none. It is kept; a
            val or test that it lacks is cut from train.

    Raises:
        InputError: when the fractions do not fit, or the given split has no train.
    """
    _check_fractions(fractions)
    pairs = Pairs.of(labels, groups, schema)
    if given is None:
        side = stratify(pairs, np.array(fractions), seed)
        notes = [] if groups is None else [f"{count(pairs.num_units, 'group')}, each whole in one split"]
    else:
        side, notes = _keep(given, labels, groups, schema, fractions, seed)
    sizes = ", ".join(f"{split} {int((side == s).sum())}" for s, split in enumerate(SPLITS))
    few = "images" if groups is None else "groups"
    reason = "" if given is not None else f" (too few {few}, or tied to rarer classes)"
    notes = [f"split: {sizes} images", *notes, *_lacking(side, pairs, schema, reason)]
    train, val, test = (np.flatnonzero(side == s) for s in range(len(SPLITS)))
    return Splits(train, val, test, tuple(notes))


def split_dataset(
    dataset: Dataset, fractions: tuple[float, float, float] = FRACTIONS, seed: int = 0
) -> Splits:
    """The splits of a data set: its own where it has some, see `make_splits`."""
    return make_splits(
        dataset.labels,
        dataset.groups,
        dataset.schema,
        fractions=fractions,
        seed=seed,
        given=dataset.split,
    )


def _check_fractions(fractions: tuple[float, float, float]) -> None:
    if len(fractions) != len(SPLITS) or abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0:
        raise InputError(f"--fractions: expected train, val and test that sum to 1, got {fractions}")
    if fractions[TRAIN] == 0:
        raise InputError(f"--fractions: expected a train share above 0, got {fractions}")


def _keep(
    given: NDArray[np.int8],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    schema: LabelSchema,
    fractions: tuple[float, float, float],
    seed: int,
) -> tuple[NDArray[np.int8], list[str]]:
    """The given split, with what it lacks cut from train."""
    side = given.astype(np.int8)
    notes = ["the split that came with the data is kept"]
    if (side < 0).any():
        notes.append(f"{count(int((side < 0).sum()), 'image')} in no split of the data: left out")
    train = np.flatnonzero(side == TRAIN)
    if len(train) == 0:
        raise InputError("the split that came with the data has no train image; expected some to learn from")
    wanted = np.array(fractions)
    for s in (1, 2):
        if (given == s).any():
            wanted[s] = 0
    lacking = [SPLITS[s] for s in (1, 2) if wanted[s] > 0]
    if lacking:
        part = Pairs.of(labels[train], None if groups is None else groups[train], schema)
        side[train] = stratify(part, wanted / wanted.sum(), seed)
        notes.append(f"the data come without {' and '.join(lacking)}: cut from train")
    return side, [*notes, *_torn(side, groups)]


def _torn(side: NDArray[np.int8], groups: NDArray[np.int64] | None) -> list[str]:
    if groups is None:
        return []
    both = np.unique(np.stack([groups, side], 1)[side >= 0], axis=0)[:, 0]
    torn = int((np.unique(both, return_counts=True)[1] > 1).sum())
    return [f"{count(torn, 'group')} on two sides of the data's own split"] if torn else []


def _lacking(side: NDArray[np.int8], pairs: Pairs, schema: LabelSchema, reason: str) -> list[str]:
    """Notes that name the classes without an image in a split that has images."""
    notes: list[str] = []
    images = [np.bincount(pairs.of_image[side == s].ravel(), minlength=pairs.num_pairs) for s in range(3)]
    used = pairs.images_of
    offset = 0
    for attribute in schema.attributes:
        for s, split in enumerate(SPLITS):
            own = [(name, offset + k) for k, name in enumerate(attribute.classes)]
            absent = [name for name, pair in own if used[pair] and not images[s][pair]]
            if absent and images[s].any():
                what = count(len(absent), "class", "classes")
                which = ", ".join(absent)
                notes.append(f"{attribute.name}: {what} without a {_NAMES[split]} image{reason}: {which}")
        offset += len(attribute.classes)
    return notes
