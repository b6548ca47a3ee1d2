"""Iterative stratification over all (attribute, class) pairs, with groups as units.

Units (groups, or single images) are dealt to the splits class by class, the class with the fewest
units left first, so that a rare class is shared out while there is still a choice (Sechidis,
Tsoumakas, Vlahavas: On the stratification of multi-label data, 2011).

    need[s, p]  = f_s·n_p - images of pair p already in split s
    score(s, u) = Σ_p c_up·(2·need[s, p] - c_up) / (f_s·n_p)

f_s: the split's fraction; n_p: images of pair p; c_up: images of unit u with pair p. The score is how
much unit u in split s lowers χ² = Σ_sp need[s, p]² / (f_s·n_p). A unit with several images goes to the
split of the highest score. Once all are dealt, the large ones are tried again in every split until none
gains. Large ones are dealt first. If units are few, that is nearly one order for all seeds, so random
orders are tried too, and the dealing of the lowest χ² is kept. Single images of a class go in one step:
their number is dealt in proportion to need[s, p], and neighbours in the order of their other labels go to
different splits. A last pair that every image has takes in what has no label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.schema import LabelSchema

TRAIN, VAL, TEST = 0, 1, 2
PRIORITY = (TRAIN, TEST, VAL)
"""Which split a class with few units is in first."""

_PASSES = 10
_REFINED = 5000  # beyond that units are so many that each one hardly matters
_TRIES = 8
_FEW = 1000  # units up to which groups are dealt more than once


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which (attribute, class) pairs the images and the units have.

    Pairs are numbered attribute by attribute; number P stands for 'an image', number P + 1 for an
    attribute without a label.

    Attributes:
        of_image: (N, J + 1) int32 pair numbers of each image.
        unit: (N,) unit of each image, 0 to U - 1.
        size: (U,) images of each unit.
        start: (U + 1,) where the unit's part of the next two begins.
        pair: int32 pair numbers of each unit, unit after unit; distinct but for P + 1.
        count: int32, how many images of the unit have that pair.
        num_pairs: P.
    """

    of_image: NDArray[np.int32]
    unit: NDArray[np.int64]
    size: NDArray[np.int64]
    start: NDArray[np.int64]
    pair: NDArray[np.int32]
    count: NDArray[np.int32]
    num_pairs: int

    @classmethod
    def of(cls, labels: NDArray[np.int64], groups: NDArray[np.int64] | None, schema: LabelSchema) -> Pairs:
        """The pairs of (N, J) labels, with (N,) groups as units or every image its own."""
        offsets = np.concatenate([[0], np.cumsum(schema.num_classes)]).astype(np.int64)
        num_pairs = int(offsets[-1])
        numbers = np.where(labels >= 0, labels + offsets[:-1], num_pairs + 1)
        everyone = np.full((len(labels), 1), num_pairs)
        of_image = np.concatenate([numbers, everyone], 1).astype(np.int32)
        if groups is None:
            unit = np.arange(len(labels))
            start = np.arange(len(labels) + 1) * of_image.shape[1]
            ones = np.ones(of_image.size, np.int32)
            return cls(
                of_image, unit, np.ones(len(labels), np.int64), start, of_image.ravel(), ones, num_pairs
            )
        unit = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        cells, counts = np.unique((unit[:, None] * (num_pairs + 2) + of_image).ravel(), return_counts=True)
        of_unit, pair = np.divmod(cells, num_pairs + 2)
        size = np.bincount(unit).astype(np.int64)
        start = np.searchsorted(of_unit, np.arange(len(size) + 1))
        return cls(of_image, unit, size, start, pair.astype(np.int32), counts.astype(np.int32), num_pairs)

    @property
    def num_units(self) -> int:
        """U, the groups or single images that are dealt whole."""
        return len(self.size)

    @property
    def images_of(self) -> NDArray[np.int64]:
        """(P + 2,) images of each pair."""
        return np.bincount(self.of_image.ravel(), minlength=self.num_pairs + 2)

    @property
    def units_of(self) -> NDArray[np.int64]:
        """(P + 2,) units of each pair."""
        return np.bincount(self.pair, minlength=self.num_pairs + 2)

    def of_unit(self, unit: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The part of `pair` and of `count` that belongs to a unit."""
        own = slice(self.start[unit], self.start[unit + 1])
        return self.pair[own], self.count[own]

    @property
    def owner(self) -> NDArray[np.int64]:
        """The unit that each entry of `pair` and `count` belongs to."""
        return np.repeat(np.arange(self.num_units), np.diff(self.start))

    def cells(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices into `pair` and `count` of all these units."""
        first, last = self.start[units], self.start[units + 1]
        lengths = last - first
        shift = np.repeat(first - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        return np.arange(int(lengths.sum())) + shift


def stratify(pairs: Pairs, fractions: NDArray[np.float64], seed: int) -> NDArray[np.int8]:
    """(N,) split of each image, see the module.

    Args:
        pairs: what to share out.
        fractions: (3,) shares that sum to 1; a split with share 0 stays empty.
        seed: order among equals.
    """
    if pairs.num_units == 0:
        return np.empty(0, np.int8)
    tries = _TRIES if pairs.num_units <= _FEW and (pairs.size > 1).any() else 1
    dealings = [_Dealing(pairs, fractions, np.random.default_rng((seed, i))) for i in range(tries)]
    for i, dealing in enumerate(dealings):
        dealing.deal(largest_first=i == 0)
        dealing.refine()
    side = min(dealings, key=_Dealing.imbalance).side
    cover(pairs, side, fractions)
    return side[pairs.unit]


class _Dealing:
    """The state of one run: which unit is where, and what each split still needs."""

    def __init__(self, pairs: Pairs, fractions: NDArray[np.float64], rng: np.random.Generator) -> None:
        self.pairs = pairs
        self.side = np.full(pairs.num_units, -1, np.int8)
        self._rng = rng
        self._rank = self._rng.permutation(pairs.num_units)
        images = pairs.images_of
        total = np.maximum(images, 1).astype(np.float64)
        self._need = fractions[:, None] * total
        self._fractions = fractions
        self._shares = np.where(fractions > 0, fractions, np.nan)
        self._left = pairs.units_of
        self._left[-1] = 0  # being unlabelled is nothing to balance
        small = np.uint16 if pairs.num_pairs < 2**16 - 2 else np.int32  # sorted faster
        self._order = np.argsort(pairs.pair.astype(small), kind="stable")
        self._begin = np.searchsorted(pairs.pair[self._order], np.arange(pairs.num_pairs + 3))
        self._owner = pairs.owner
        self._first_image = np.unique(pairs.unit, return_index=True)[1]
        self._weight = np.where(images > 0, 1 / total, 0.0)
        self._weight[-1] = 0

    def deal(self, largest_first: bool) -> None:
        while self._left.any():
            pair = int(np.argmin(np.where(self._left > 0, self._left, np.iinfo(np.int64).max)))
            units = self._owner[self._order[self._begin[pair] : self._begin[pair + 1]]]
            units = units[self.side[units] < 0]
            units = units[np.argsort(self._rank[units])]
            sizes = self.pairs.size[units]
            order = np.argsort(-sizes, kind="stable") if largest_first else np.arange(len(units))
            for unit in units[order[sizes[order] > 1]]:
                self._deal_group(int(unit))
            self._deal_singles(units[sizes == 1], pair)

    def _deal_group(self, unit: int) -> None:
        pair, count = self.pairs.of_unit(unit)
        split = int(np.nanargmax(self._scores(pair, count)))
        self.side[unit] = split
        self._need[split, pair] -= count
        self._left[pair[pair <= self.pairs.num_pairs]] -= 1

    def _scores(self, pair: NDArray[np.int32], count: NDArray[np.int32]) -> NDArray[np.float64]:
        """(3,) the module's score of a unit with these pairs."""
        return (2 * self._need[:, pair] - count) @ (count * self._weight[pair]) / self._shares

    def refine(self) -> None:
        """Move large units to where they score best."""
        large = np.argsort(-self.pairs.size, kind="stable")[:_REFINED]
        large = large[self.pairs.size[large] > 1].tolist()
        for _ in range(_PASSES):
            moved = [self._move(unit) for unit in large]
            if not any(moved):
                return

    def imbalance(self) -> float:
        """χ² as the module defines it: 0 where every split has its share of every pair."""
        return float(np.nansum(self._need**2 @ self._weight / self._shares))

    def _move(self, unit: int) -> bool:
        pair, count = self.pairs.of_unit(unit)
        old = int(self.side[unit])
        self._need[old, pair] += count
        scores = self._scores(pair, count)
        best = int(np.nanargmax(scores))
        new = best if scores[best] > scores[old] + 1e-9 else old  # rounding must not move units to and fro
        self._need[new, pair] -= count
        self.side[unit] = new
        return new != old

    def _deal_singles(self, units: NDArray[np.int64], pair: int) -> None:
        if len(units) == 0:
            return
        need = np.where(self._fractions > 0, np.maximum(self._need[:, pair], 0), 0)
        quota = apportion(len(units), need if need.any() else self._fractions)
        self.side[self._by_labels(units)] = spread(quota, self._rng)
        cells = self.pairs.cells(units)
        pairs, splits = self.pairs.pair[cells], self.side[self._owner[cells]]
        width = self.pairs.num_pairs + 2
        taken = np.bincount(splits.astype(np.int64) * width + pairs, minlength=3 * width)
        self._need -= taken.reshape(3, width)
        self._left[:-1] -= np.bincount(pairs, minlength=width)[:-1]

    def _by_labels(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """The units in the order of their pairs: alike ones are neighbours."""
        rows = self._first_image[units]
        return units[np.lexsort(self.pairs.of_image[rows].T[::-1])]


def apportion(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole shares of a total in proportion to weights, by largest remainder; ties to the first."""
    exact = total * weights / weights.sum()
    shares = np.floor(exact).astype(np.int64)
    rest = np.argsort(-(exact - shares), kind="stable")[: total - int(shares.sum())]
    shares[rest] += 1
    return shares


def spread(quota: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int8]:
    """A sequence with quota[s] entries s, one drawn from each of quota[s] equal stretches."""
    place = np.concatenate([(np.arange(n) + rng.random(n)) / max(n, 1) for n in quota.tolist()])
    return np.repeat(np.arange(len(quota)), quota)[np.argsort(place, kind="stable")].astype(np.int8)


def cover(pairs: Pairs, side: NDArray[np.int8], fractions: NDArray[np.float64]) -> None:
    """Move single units until every class is in as many splits as it has units, in the order of `PRIORITY`.

    A move never takes the last unit of any class from a split that comes earlier in that order, and never a
    unit that is larger than most and than half of what the split is to hold: for one class more, it would
    leave all others with other shares.
    """
    width = pairs.num_pairs + 2
    owner = pairs.owner
    cells = side[owner].astype(np.int64) * width + pairs.pair
    held = np.bincount(cells, minlength=3 * width).reshape(3, width)
    units_of = pairs.units_of[:-2]
    by_pair = np.argsort(pairs.pair, kind="stable")
    begins = np.searchsorted(pairs.pair[by_pair], np.arange(width))
    order = [s for s in PRIORITY if fractions[s] > 0]
    for rank, split in enumerate(order):
        most = max(fractions[split] * len(pairs.unit) / 2, float(np.median(pairs.size)))
        wanting = np.flatnonzero((held[split, :-2] == 0) & (units_of > rank))
        for pair in wanting.tolist():
            if held[split, pair]:
                continue
            units = owner[by_pair[begins[pair] : begins[pair + 1]]]
            unit = _best_move(pairs, side, held, units[pairs.size[units] <= most], order, rank)
            if unit is not None:
                mine, _ = pairs.of_unit(unit)
                held[side[unit], mine] -= 1
                held[split, mine] += 1
                side[unit] = split


def _best_move(
    pairs: Pairs,
    side: NDArray[np.int8],
    held: NDArray[np.int64],
    units: NDArray[np.int64],
    order: list[int],
    rank: int,
) -> int | None:
    """The unit to take: rather of no class the last where it is, then the smallest."""
    moves: list[tuple[bool, int, int]] = []
    for unit in units.tolist():
        mine, _ = pairs.of_unit(unit)
        source = int(side[unit])
        last = bool((held[source, mine[mine < pairs.num_pairs]] == 1).any())
        if not (last and order.index(source) < rank):
            moves.append((last, int(pairs.size[unit]), unit))
    return min(moves)[2] if moves else None
