"""Which rows make the batches of an epoch: a function of (seed, epoch), so that training can resume."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Sampler(ABC):
    """Lays out the batches of an epoch.

    The same (seed, epoch) gives the same batches on every machine and in every process; a process
    takes its own columns of them, and a resumed training skips the rows that it has seen.
    """

    rows: NDArray[np.int64]
    """(n,) int64, the rows of the data set that are drawn from."""

    @abstractmethod
    def batches(self, epoch: int) -> NDArray[np.int64]:
        """(steps, batch) int64, rows of the data set; the batch of all processes together."""

    def rates(self) -> NDArray[np.float64]:
        """(n,) how often each of `rows` is drawn, up to a common factor; by default all alike."""
        return np.ones(len(self.rows))


class ShuffledSampler(Sampler):
    """Every image once an epoch, in random order.

    All batches have the same size: the last one is filled up from the start of the epoch's own
    order, so that no image is left out and shapes stay static.

    Args:
        rows: (n,) int64, rows of the data set to draw from.
        batch_size: of all processes together; fewer rows than that make one batch of them all.
        seed: any non-negative number.
        processes: the batch is made divisible by it.
    """

    def __init__(self, rows: NDArray[np.int64], batch_size: int, seed: int, processes: int = 1) -> None:
        self.rows = rows
        self.seed = seed
        whole = -(-len(rows) // processes) * processes
        self.batch_size = min(-(-batch_size // processes) * processes, whole)

    def batches(self, epoch: int) -> NDArray[np.int64]:
        """(steps, batch) int64."""
        order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
        steps = -(-len(order) // self.batch_size)
        return np.resize(order, (steps, self.batch_size))
