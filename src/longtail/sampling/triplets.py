"""Batches of triplets across two domains: what a customer photographed, and clean pictures of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longtail.sampling.epochs import Sampler, batch_width, cut, walk
from longtail.sampling.groups import Groups, Ints


class CrossDomainTripletSampler(Sampler):
    """Batches of four blocks [anchors | matching clean | other clean | any], B/4 images each.

    Place i of the first three blocks is a triplet:

        anchor          a row that is not clean, and has a clean row with the same match
        matching clean  a random clean row with the match of the anchor
        other clean     a random clean row without it: another match, or none

    An epoch has every anchor once (except to fill up the last batch), so 4 draws for each anchor.
    The last block walks over all rows in random order and goes on in the next epoch where it
    stopped, so that rows without a match are trained on too, each as often as any other.

    Process r of W takes the columns r, r + W, …; B/4 is divisible by W, so these are again four such
    blocks.

    Args, beside those of all samplers:
        clean: (n,) bool, whether each of the rows is of the clean domain (shop).
        matches: (n,) int64, rows that show the same thing share a number; -1 = none.
        batch_size: made divisible by 4 · processes.

    Raises:
        ValueError: when the lengths do not fit, or no row can be an anchor.

    Source: the triplets are those of MTCT (Dong et al., WACV 2017); how they are drawn, and the
    fourth block, is our choice.

    Example:
        >>> clean = np.array([False, False, True, True])
        >>> sampler = CrossDomainTripletSampler(np.arange(4), clean, np.array([5, -1, 5, 6]), 4, seed=0)
        >>> sampler.batches(0)[0, :3].tolist()
        [0, 2, 3]
    """

    def __init__(
        self,
        rows: Ints,
        clean: NDArray[np.bool_],
        matches: Ints,
        batch_size: int,
        seed: int,
        processes: int = 1,
    ) -> None:
        if not len(rows) == len(clean) == len(matches):
            raise ValueError(
                f"clean, matches: expected those of the {len(rows)} rows, got {len(clean)}, {len(matches)}"
            )
        self.rows = rows
        self.seed = seed
        shop = np.flatnonzero(clean)
        self._groups = Groups.of(shop, matches[shop], matches)
        usable = ~clean & (matches >= 0) & (self._groups.size > 0) & (self._groups.others > 0)
        self._anchors = np.flatnonzero(usable)
        if len(self._anchors) == 0:
            raise ValueError(
                "expected a row that is not clean, beside a clean row with its match and one without it"
            )
        self._block = batch_width(-(-batch_size // 4), len(self._anchors), processes)
        self.batch_size = 4 * self._block

    @property
    def block(self) -> int:
        """See `Sampler`: a quarter of a batch."""
        return self._block

    def batches(self, epoch: int) -> Ints:
        """Rows of an epoch, (steps, batch) int64: four blocks of columns, as above."""
        rng = np.random.default_rng((self.seed, epoch))
        anchors = rng.permutation(self._anchors)
        triplet = [anchors, self._groups.inside(anchors, rng), self._groups.outside(anchors, rng)]
        blocks = [cut(places, self._block) for places in triplet]
        anything = walk(len(self.rows), blocks[0].size, self.seed, epoch)
        return self.rows[np.concatenate([*blocks, anything.reshape(blocks[0].shape)], 1)]

    def rates(self) -> NDArray[np.float64]:
        """(n,) expected number of draws while every anchor comes up once."""
        anchor = np.zeros(len(self.rows))
        anchor[self._anchors] = 1
        visits = anchor + len(self._anchors) / len(self.rows)
        visits[self._groups.members] += self._groups.visits(anchor, anchor)
        return visits
