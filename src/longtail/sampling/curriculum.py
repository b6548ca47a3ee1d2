"""One way of drawing for the first epochs, another for the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longtail.sampling.epochs import Sampler


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
