"""Which rows make the batches of an epoch: a function of (seed, epoch), so that training can resume."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Sampler(ABC):
    """Lays out the batches of an epoch.

    The same (seed, epoch) gives the same batches on every machine and in every process; a process
    takes its own columns of them, and a resumed training skips the rows that it has seen.

    All samplers take, beside what is their own:
        rows: (n,) int64, rows of the data set to draw from.
        batch_size: of all processes together; fewer draws than that make one batch of them all.
        seed: any non-negative number.
        processes: W; the batch, or each block of one, is made divisible by it.
    """

    rows: NDArray[np.int64]
    """(n,) int64, the rows of the data set that are drawn from."""

    @abstractmethod
    def batches(self, epoch: int) -> NDArray[np.int64]:
        """(steps, batch) int64, rows of the data set; the batch of all processes together."""

    def steps(self, epoch: int) -> int:
        """How many batches an epoch has."""
        return len(self.batches(epoch))

    @property
    def block(self) -> int:
        """Images of a part of a batch that is dealt in turn: any number of processes that divides it can."""
        return self.batches(0).shape[1]

    def tasks(self, epoch: int) -> NDArray[np.int64] | None:  # noqa: ARG002
        """(steps, batch) int64 attribute that each place of `batches` is drawn for, -1 for none.

        None, the default, where all images count for all attributes.
        """
        return None

    def rates(self) -> NDArray[np.float64]:
        """(n,) how often each of `rows` is drawn, up to a common factor; by default all alike."""
        return np.ones(len(self.rows))


class ShuffledSampler(Sampler):
    """Every image once an epoch, in random order.

    All batches have the same size: the last one is filled up from the start of the epoch's own
    order, so that no image is left out and shapes stay static.
    """

    def __init__(self, rows: NDArray[np.int64], batch_size: int, seed: int, processes: int = 1) -> None:
        self.rows = rows
        self.seed = seed
        self.batch_size = batch_width(batch_size, len(rows), processes)

    @property
    def block(self) -> int:
        """See `Sampler`: the whole batch."""
        return self.batch_size

    def batches(self, epoch: int) -> NDArray[np.int64]:
        """Every row once, (steps, batch) int64; the last batch is filled up with the first rows."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
        return cut(order, self.batch_size)


class Curriculum(Sampler):
    """Two samplers, one after the other; each sees the epochs as they are counted.

    Args:
        first: of the epochs before `switch`.
        second: of all others; its rows and rates stand for both.
        switch: first epoch of the second.
    """

    def __init__(self, first: Sampler, second: Sampler, switch: int) -> None:
        self.first, self.second, self.switch = first, second, switch
        self.rows = second.rows

    def batches(self, epoch: int) -> NDArray[np.int64]:
        """Rows of an epoch, (steps, batch) int64, from the sampler whose turn it is."""
        return self._of(epoch).batches(epoch)

    def tasks(self, epoch: int) -> NDArray[np.int64] | None:
        """Attributes of an epoch, see `Sampler.tasks`, from the sampler whose turn it is."""
        return self._of(epoch).tasks(epoch)

    def steps(self, epoch: int) -> int:
        """How many batches an epoch has; the two samplers may differ."""
        return self._of(epoch).steps(epoch)

    @property
    def block(self) -> int:
        """See `Sampler`: what divides the blocks of both."""
        return math.gcd(self.first.block, self.second.block)

    def rates(self) -> NDArray[np.float64]:
        """(n,) of the second sampler, with which the training ends."""
        return self.second.rates()

    def _of(self, epoch: int) -> Sampler:
        return self.first if epoch < self.switch else self.second


def switch_epoch(share: float, epochs: int) -> int:
    """The epoch that comes after `share` of all; both parts have one at least, where there are two.

    Example:
        >>> [switch_epoch(0.5, epochs) for epochs in (1, 2, 3, 10)], switch_epoch(0.99, 10)
        ([1, 1, 2, 5], 9)
    """
    return max(1, min(epochs - 1, round(share * epochs)))


def batch_width(batch_size: int, draws: int, processes: int) -> int:
    """Columns of a batch: `batch_size`, or all draws where those are fewer, made divisible by `processes`.

    Raises:
        ValueError: when there is nothing to draw, or a number is below 1.
    """
    if min(batch_size, draws, processes) < 1:
        raise ValueError(
            f"expected at least 1 row, batch size and process, got {draws}, {batch_size} and {processes}"
        )
    return -(-min(batch_size, draws) // processes) * processes


def cut(order: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """(steps, width): `order` row after row, the last row filled up from the start of `order`."""
    return np.resize(order, (-(-len(order) // width), width))


def walk(length: int, draws: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """(draws,) of the numbers 0 … length - 1, so that they come up equally often over all epochs.

    One shuffled pass over all numbers follows the other without end, and epoch e reads the places
    e·draws … (e + 1)·draws - 1. So after any number of epochs no number is ahead of another by
    more than one visit, however few draws an epoch has.

    Example:
        >>> epochs = [walk(6, 4, seed=0, epoch=e) for e in range(3)]
        >>> np.bincount(np.concatenate(epochs)).tolist()
        [2, 2, 2, 2, 2, 2]
    """
    first, skipped = divmod(epoch * draws, length)
    passes = range(first, first + -(-(skipped + draws) // length))
    # the third number keeps the passes apart from what a sampler draws with (seed, epoch)
    order = [np.random.default_rng((seed, number, 1)).permutation(length) for number in passes]
    return np.concatenate(order)[skipped : skipped + draws]
