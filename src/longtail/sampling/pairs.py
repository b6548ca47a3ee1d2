"""Batches of pairs, half of which show the same person or thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longtail.sampling.epochs import Sampler, batch_width, cut, walk
from longtail.sampling.groups import Groups, Ints


class IdentityPairSampler(Sampler):
    """Batches [first half | second half] whose places i and i + B/2 are a pair.

    The first halves walk over all rows in random order, each row as often as any other. The partner
    of a row is, with probability p, another image of its identity and otherwise an image of another
    known identity,

        p = min(1, ½ / s),   s: share of the rows with a known identity that have a mate,

    so that half of the pairs are of one identity wherever s ≥ ½; where s is smaller every row with a
    mate gets it. The partner of a row of unknown identity is any row, and the pair says nothing.
    If there is no other identity, a mate takes its place; if there is no mate either, any row does,
    which may be the row itself.

    An epoch has as many draws as there are rows, partners included (but for filling up the last
    batch): two epochs have every row in the first half about once.

    Process r of W takes the columns r, r + W, …; B/2 is divisible by W, so these are again a first
    half and a second half in pairs.

    Args, beside those of all samplers:
        identities: (n,) int64 identities of the rows, -1 = unknown.
        batch_size: made divisible by 2 · processes.

    Raises:
        ValueError: when identities and rows do not fit, or there is no row.

    Source: the pairs are for the verification loss of DeepID2 (Sun et al., NIPS 2014), which does
    not say how they are drawn; half and half is our choice, since with many identities chance pairs
    are nearly all different.

    Example:
        >>> sampler = IdentityPairSampler(np.arange(4), np.array([7, 7, 9, 9]), 4, seed=0)
        >>> sampler.batches(0).shape
        (1, 4)
    """

    def __init__(self, rows: Ints, identities: Ints, batch_size: int, seed: int, processes: int = 1) -> None:
        if len(identities) != len(rows):
            raise ValueError(f"identities: expected those of the {len(rows)} rows, got {len(identities)}")
        self.rows = rows
        self.seed = seed
        anchors = -(-len(rows) // 2)
        self._half = batch_width(-(-batch_size // 2), anchors, processes)
        self.batch_size = 2 * self._half
        self._anchors = -(-anchors // self._half) * self._half
        known = np.flatnonzero(identities >= 0)
        self._groups = Groups.of(known, identities[known], identities)
        self._same, self._other = _chances(self._groups, identities >= 0)

    @property
    def block(self) -> int:
        """See `Sampler`: half of a batch."""
        return self._half

    def batches(self, epoch: int) -> Ints:
        """Rows of an epoch, (steps, batch) int64; columns i and i + batch / 2 are a pair."""
        rng = np.random.default_rng((self.seed, epoch))
        anchors = walk(len(self.rows), self._anchors, self.seed, epoch)
        halves = [cut(self.rows[places], self._half) for places in (anchors, self._partners(anchors, rng))]
        return np.concatenate(halves, 1)

    def rates(self) -> NDArray[np.float64]:
        """(n,) expected number of draws while every row is in the first half once."""
        anything = 1 - self._same - self._other
        visits = 1 + anything.mean() + self._same  # mates choose each other equally often
        visits[self._groups.members] += self._groups.visits(np.zeros_like(self._other), self._other)
        return visits

    def _partners(self, anchors: Ints, rng: np.random.Generator) -> Ints:
        chance = rng.random(len(anchors))
        same = chance < self._same[anchors]
        other = ~same & (self._other[anchors] > 0)
        partners = rng.integers(len(self.rows), size=len(anchors))
        partners[same] = self._mates(anchors[same], rng)
        partners[other] = self._groups.outside(anchors[other], rng)
        return partners

    def _mates(self, anchors: Ints, rng: np.random.Generator) -> Ints:
        """Another image of the same identity: the last of the group stands in for the anchor itself."""
        groups = self._groups
        mates = groups.members[groups.start[anchors] + rng.integers(groups.size[anchors] - 1)]
        return np.where(mates == anchors, groups.members[groups.stop[anchors] - 1], mates)


def _chances(groups: Groups, known: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) probability of a partner of the same identity, and of another known one, for each row."""
    mated = known & (groups.size > 1)
    elsewhere = known & (groups.others > 0)
    p = min(1.0, 0.5 * known.sum() / max(mated.sum(), 1))
    same = np.where(elsewhere, p, 1.0) * mated
    return same, (1 - same) * elsewhere
