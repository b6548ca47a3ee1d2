"""Quintuplets of LMLE: mined on clusters and classes, and laid out as batches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.errors import InputError
from longtail.sampling.epochs import Sampler

PLACES = 5
"""x, p+, p-, p--, n."""

_PAIR_BYTES = 20  # of one anchor × image: similarity, its masked copy, and masks


@torch.no_grad()
def mine(
    features: Tensor,
    labels: Tensor,
    assignment: Tensor,
    anchors: Tensor,
    chunk_bytes: int = 64 * 2**20,
) -> Tensor:
    """The four images that an anchor x of class y and cluster c is compared with.

        p+  = argmax D(x, i)   y_i = y, c_i = c, i ≠ x     the most distant of its cluster
        p-  = argmin D(x, i)   y_i = y, c_i ≠ c            the nearest of its class outside
        p-- = argmax D(x, i)   y_i = y, c_i ≠ c            the most distant of its class outside
        n   = argmin D(x, i)   y_i ≠ y                     the nearest of another class

    D: distance of unit vectors. Over the whole class p-- would often be p+, and hinges 1 and 2
    contradict each other for ever; so it is taken outside the cluster. Where p- and p-- are one image
    hinge 2 would compare it with itself: p- is then -1, and p-- stays, so that hinge 3 still separates
    the classes. Equal distances go to the lowest row. An unlabelled anchor has none of the four.

    Memory: anchors are taken in chunks, so that all tables of anchors × images together stay below
    `chunk_bytes` (or hold a single anchor). For 80,000 images that are 41 anchors at a time.

    Args:
        features: (n, D) float32, unit vectors.
        labels: (n,) int64, -1 = unlabelled.
        assignment: (n,) integers, cluster of each image; -1 = in none.
        anchors: (b,) int64, rows of `features`.
        chunk_bytes: most memory of a chunk.

    Returns:
        (5, b) int64, rows of `features` in the order x, p+, p-, p--, n; -1 where there is none.

    Source: Huang, Li, Loy, Tang, CVPR 2016, section 3.1 and eq. 1; p-- outside the cluster as in
    surveys of the method, and the treatment of p- = p-- is ours.

    Example:
        >>> angle = torch.tensor([0.0, 0.1, 0.5, 0.9, 2.0])
        >>> points = torch.stack([angle.cos(), angle.sin()], 1)
        >>> mine(points, torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0])).T
        tensor([[0, 1, 2, 3, 4]])
    """
    chunk = max(1, chunk_bytes // (_PAIR_BYTES * max(1, len(labels))))
    parts = [_mine_chunk(features, labels, assignment, rows) for rows in anchors.split(chunk)]
    return torch.cat(parts, 1)


def _mine_chunk(features: Tensor, labels: Tensor, assignment: Tensor, anchors: Tensor) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        similarity = features[anchors] @ features.T  # (b, n): on unit vectors the nearest has the largest
    label = labels[anchors, None]
    same = (labels == label) & (label >= 0)
    other = (labels != label) & (labels >= 0) & (label >= 0)
    together = assignment == assignment[anchors, None]
    outside = same & ~together
    inside = (same & together).scatter_(1, anchors[:, None], False)
    nearest, farthest = _nearest(similarity, outside), _farthest(similarity, outside)
    return torch.stack(
        [
            anchors,
            _farthest(similarity, inside),
            nearest.masked_fill(nearest == farthest, -1),
            farthest,
            _nearest(similarity, other),
        ]
    )


def _nearest(similarity: Tensor, mask: Tensor) -> Tensor:
    best = torch.where(mask, similarity, -torch.inf).max(1)
    return best.indices.masked_fill(best.values == -torch.inf, -1)


def _farthest(similarity: Tensor, mask: Tensor) -> Tensor:
    worst = torch.where(mask, similarity, torch.inf).min(1)
    return worst.indices.masked_fill(worst.values == torch.inf, -1)


class QuintupletSampler(Sampler):
    """Batches of b quintuplets as five blocks of rows: [x … | p+ … | p- … | p-- … | n …].

    For each epoch ask `anchors` which images to mine for, mine, and give the table to `lay_out`; then
    `batches` and `tasks` know it. Anchors are drawn class-equally: attributes take turns, the classes of
    an attribute take turns in random order, and an image of a class comes again only when all others
    of its class have been drawn. Classes with a single image supply negatives only. An epoch reads about
    as many images as there are rows. With W processes, columns r::W are again five blocks.

    Memory, 160,000 images × 40 attributes, half of them mined on, D = 64, float32: features 20 MB an
    attribute (819 MB for all 40 at once), the block of distances 64 MiB, and, as only the anchors of one
    epoch are mined for, a table of 1.3 MB (5 × 32,000 int64).

    Args, beside those of all samplers:
        labels: (n, J) int64, labels of the rows, -1 = unlabelled.
        batch_size: in images; brought down to five equal blocks.

    Attributes:
        quintuplets_per_step: b.

    Raises:
        InputError: when no class of any attribute has two images.

    Source: Huang, Li, Loy, Tang, CVPR 2016, sections 3.1-3.2 (batches equal in the classes, offline table);
    turns of attributes and of classes are ours.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        batch_size: int,
        seed: int,
        processes: int = 1,
    ) -> None:
        self.rows = rows
        self.seed = seed
        self.quintuplets_per_step = max(processes, batch_size // PLACES // processes * processes)
        self._steps = -(-len(rows) // (PLACES * self.quintuplets_per_step))
        self._labels = labels
        self._usable = np.array([j for j, column in enumerate(labels.T) if _classes_of_two(column)], np.int64)
        self._table: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None
        if len(self._usable) == 0:
            raise InputError(
                "quintuplets: expected a class with at least two training images, found none; "
                "add images or choose another method"
            )

    def steps(self, epoch: int) -> int:  # noqa: ARG002
        """How many batches an epoch has, all epochs alike."""
        return self._steps

    def anchors(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The anchors of an epoch, a function of (seed, epoch).

        Returns:
            Two (q,) int64 with q = steps · b: the attribute each is drawn for, and its row of the data set.
        """
        rng = np.random.default_rng((self.seed, epoch))
        total = self._steps * self.quintuplets_per_step
        turn = (epoch * total + np.arange(total)) % len(self._usable)
        positions = np.empty(total, np.int64)
        for t, attribute in enumerate(self._usable.tolist()):
            places = turn == t
            positions[places] = _draw(self._labels[:, attribute], int(places.sum()), rng)
        # Turns within a step would give a process the same attributes and classes every time.
        step = np.arange(total).reshape(self._steps, -1)
        mixed = rng.permuted(step, axis=1).ravel()
        return self._usable[turn[mixed]], self.rows[positions[mixed]]

    def lay_out(self, epoch: int, quintuplets: NDArray[np.int64]) -> None:
        """Keep the quintuplets of an epoch, instead of those of the epoch before.

        Args:
            epoch: counted from 0.
            quintuplets: (5, q) int64, rows of the data set, -1 where there is none; the first line
                is the rows of `anchors`.

        Raises:
            ValueError: when the first line is not the anchors of that epoch.
        """
        attribute, rows = self.anchors(epoch)
        if quintuplets.shape != (PLACES, len(rows)) or not np.array_equal(quintuplets[0], rows):
            raise ValueError(f"quintuplets: expected shape (5, {len(rows)}) headed by the epoch's anchors")
        self._table = epoch, attribute, quintuplets

    @property
    def block(self) -> int:
        """See `Sampler`: b."""
        return self.quintuplets_per_step

    def batches(self, epoch: int) -> NDArray[np.int64]:
        """(steps, 5·b) int64; a missing image is replaced by its anchor.

        Raises:
            ValueError: before `lay_out` of that epoch.
        """
        _, table = self._laid_out(epoch)
        return self._blocks(np.where(table >= 0, table, table[0]))

    def tasks(self, epoch: int) -> NDArray[np.int64]:
        """(steps, 5·b) int64, the attribute that each place of `batches` was drawn for; -1 = missing.

        Raises:
            ValueError: before `lay_out` of that epoch.
        """
        attribute, table = self._laid_out(epoch)
        return self._blocks(np.where(table >= 0, attribute, -1))

    def rates(self) -> NDArray[np.float64]:
        """(n,) how often each of `rows` is drawn as an anchor; the mined images follow the features."""
        return np.sum([_rates(self._labels[:, j]) for j in self._usable.tolist()], 0)

    def _laid_out(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if self._table is None or self._table[0] != epoch:
            raise ValueError(f"epoch {epoch}: expected its quintuplets to be laid out before its batches")
        return self._table[1:]

    def _blocks(self, table: NDArray[np.int64]) -> NDArray[np.int64]:
        """(5, q) -> (steps, 5·b)."""
        return table.reshape(PLACES, self._steps, -1).transpose(1, 0, 2).reshape(self._steps, -1)


def _classes_of_two(column: NDArray[np.int64]) -> list[int]:
    """The classes with at least two images."""
    return np.flatnonzero(np.bincount(column[column >= 0]) >= 2).tolist()


def _draw(column: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(draws,) positions: classes take turns in random order, and so do the images of a class."""
    order = np.argsort(column, kind="stable")
    classes = rng.permutation(_classes_of_two(column))
    first, last = (np.searchsorted(column[order], classes, side) for side in ("left", "right"))
    chosen = np.resize(np.arange(len(classes)), draws)
    wanted = np.bincount(chosen, minlength=len(classes))
    positions = np.empty(draws, np.int64)
    positions[np.argsort(chosen, kind="stable")] = np.concatenate(
        [np.resize(rng.permutation(order[a:b]), n) for a, b, n in zip(first, last, wanted)]
    )
    return positions


def _rates(column: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) 1 / (C n_c) in the C classes with at least two images, else 0."""
    counts = np.bincount(column[column >= 0])
    share = np.where(counts >= 2, 1 / np.maximum(counts, 1), 0) / (counts >= 2).sum()
    return np.where(column >= 0, share[column], 0)
