"""Train, validation and test: stratified over every attribute, no group on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS, Dataset
from longtail.data.stratify import TEST, TRAIN, VAL, Pairs, stratify
from longtail.documents import Form, Part
from longtail.errors import InputError
from longtail.schema import LabelSchema
from longtail.words import count, joined

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

    @property
    def measured(self) -> str | None:
        """The split that a training is judged on in the end: test, or else val; None where both are empty."""
        return next((name for name in ("test", "val") if len(self.of(name))), None)

    def of(self, name: str) -> NDArray[np.int64]:
        """Rows of the split of that name.

        Raises:
            InputError: when there is none; a damaged results.json may name one.
        """
        rows = {"train": self.train, "val": self.val, "test": self.test}
        if name not in rows:
            raise InputError(f"split: expected one of {', '.join(rows)}, got {name!r}; evaluate again")
        return rows[name]

    def named(self, ids: Sequence[str]) -> NamedSplits:
        """The splits by the ids of their images."""
        parts = ([ids[row] for row in map(int, rows)] for rows in (self.train, self.val, self.test))
        return NamedSplits(*parts, notes=self.notes)


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
                        f"{source}: {split} names id {name!r}, which the data do not have; put that image"
                        " back, or give the data that the splits were made for"
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


def split_dataset(
    dataset: Dataset, fractions: tuple[float, float, float] = FRACTIONS, seed: int = 0
) -> Splits:
    """Split images so that every class of every attribute is shared out in the same fractions.

    Groups stay whole. A class with enough groups (or images, where there are none) is in all three
    splits, unless that takes a group too large for the split; with fewer it is in train first, then test,
    then val, and the notes name it. See
    `longtail.data.stratify` for the rule. The result depends on the arguments alone. Splits that the
    data come with are kept; a val or test that they lack is cut from train.

    Args:
        dataset: its labels, groups and splits decide.
        fractions: shares of train, val and test; 0 leaves val or test empty.
        seed: which of the equally good splits.

    Raises:
        InputError: when the fractions do not fit, or the data's own split has no train.
    """
    _check_fractions(fractions)
    pairs = Pairs.of(dataset.labels, dataset.groups, dataset.schema)
    if dataset.split is not None:
        side, notes = _keep(dataset, dataset.split, fractions, seed)
    else:
        side = stratify(pairs, np.array(fractions), seed)
        whole = f"{count(pairs.num_units, 'group')}, each whole in one split"
        notes = [] if dataset.groups is None else [whole]
    few = "images" if dataset.groups is None else "groups"
    reason = "" if dataset.split is not None else f" (too few {few}, or tied to other classes)"
    return _splits(side, [*notes, *_lacking(side, pairs, dataset.schema, reason)])


def split_further(
    dataset: Dataset,
    known: NamedSplits,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    *,
    deal: bool = True,
) -> Splits | None:
    """Splits in which every image that was split before stays where it was, so that none is tested on that
    a network has been trained on.

    Of the others, those of a known group go to its split, the rest is dealt as `split_dataset` does, or goes
    where the data's own split says.

    Args:
        dataset: as it is now.
        known: the splits of before.
        fractions, seed: of the images that are dealt.
        deal: whether others are dealt, or left out.

    Returns:
        The splits; None where no image of the data was split before.
    """
    _check_fractions(fractions)
    places = {name: row for row, name in enumerate(dataset.ids)}
    side, missing = np.full(len(dataset), -1, np.int8), 0
    for s, names in enumerate((known.train, known.val, known.test)):
        rows = [places[name] for name in names if name in places]
        side[rows] = s
        missing += len(names) - len(rows)
    if (side < 0).all():
        return None
    notes = [f"{count(missing, 'image')} of these splits no longer there"] if missing else []
    new = np.flatnonzero(side < 0)
    if len(new) and deal:
        side[new] = _side_of_new(dataset, side, new, fractions, seed)
    left_out = int((side < 0).sum())
    if dealt := len(new) - left_out:
        notes.append(f"{count(dealt, 'image')} in none of them: dealt out")
    if left_out:
        notes.append(f"{count(left_out, 'image')} in none of them: left out")
    pairs = Pairs.of(dataset.labels, dataset.groups, dataset.schema)
    return _splits(side, [*notes, *_lacking(side, pairs, dataset.schema, "")])


def _splits(side: NDArray[np.int8], notes: Sequence[str]) -> Splits:
    """The rows of each split; its sizes come before the notes."""
    sizes = ", ".join(f"{split} {int((side == s).sum()):,}" for s, split in enumerate(SPLITS))
    train, val, test = (np.flatnonzero(side == s) for s in range(len(SPLITS)))
    return Splits(train, val, test, (f"split: {sizes} images", *notes))


def _side_of_new(
    dataset: Dataset,
    side: NDArray[np.int8],
    new: NDArray[np.int64],
    fractions: tuple[float, float, float],
    seed: int,
) -> NDArray[np.int8]:
    """(n,) splits of new images; -1 where the data's own split has none."""
    found, groups = np.full(len(new), -1, np.int8), dataset.groups
    if groups is not None:
        old = np.flatnonzero(side >= 0)
        names, first = np.unique(groups[old], return_index=True)
        place = np.searchsorted(names, groups[new]).clip(max=len(names) - 1)
        found = np.where(names[place] == groups[new], side[old[first[place]]], found).astype(np.int8)
    rest = found < 0
    own = new[rest]
    if dataset.split is not None:
        found[rest] = dataset.split[own]
        return found
    part = Pairs.of(dataset.labels[own], None if groups is None else groups[own], dataset.schema)
    found[rest] = stratify(part, np.array(fractions), seed)
    return found


def _check_fractions(fractions: tuple[float, float, float]) -> None:
    if len(fractions) != len(SPLITS) or abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0:
        raise InputError(f"--fractions: expected train, val and test that sum to 1, got {fractions}")
    if fractions[TRAIN] == 0:
        raise InputError(f"--fractions: expected a train share above 0, got {fractions}")


def _keep(
    dataset: Dataset, given: NDArray[np.int8], fractions: tuple[float, float, float], seed: int
) -> tuple[NDArray[np.int8], list[str]]:
    """The given split, with what it lacks cut from train."""
    side, groups = given.astype(np.int8), dataset.groups
    notes = ["the split that came with the data is kept"]
    if (side < 0).any():
        notes.append(f"{count(int((side < 0).sum()), 'image')} in no split of the data: left out")
    train = np.flatnonzero(side == TRAIN)
    if len(train) == 0:
        raise InputError("the split that came with the data has no train image; expected some to learn from")
    lacking = [s for s in (VAL, TEST) if fractions[s] > 0 and not (given == s).any()]
    if lacking:
        part = Pairs.of(dataset.labels[train], None if groups is None else groups[train], dataset.schema)
        wanted = np.where(np.isin(range(len(SPLITS)), [TRAIN, *lacking]), fractions, 0.0)
        side[train] = stratify(part, wanted / wanted.sum(), seed)
        notes.append(f"the data come without {' and '.join(SPLITS[s] for s in lacking)}: cut from train")
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
    used, offset = pairs.images_of, 0
    images = [np.bincount(pairs.of_image[side == s].ravel(), minlength=pairs.num_pairs) for s in range(3)]
    for attribute in schema.attributes:
        for split, held in zip(SPLITS, images):
            own = enumerate(attribute.classes, offset)
            absent = [name for pair, name in own if used[pair] and not held[pair]]
            if absent and held.any():
                what = count(len(absent), "class", "classes")
                which = joined(absent)
                notes.append(f"{attribute.name}: {what} without a {_NAMES[split]} image{reason}: {which}")
        offset += len(attribute.classes)
    return notes
