"""One process's part of the batches of a sampler, for a `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterator

from longtail.sampling.epochs import Sampler


class ProcessBatches:
    """A `batch_sampler` for torch's `DataLoader`: in the order of `gather_ranks`, batches are dealt in turn.

    It is a function of (seed, epoch, process). In each epoch all processes together draw what one process
    draws with the same sampler. Rows are those of the data set of the loader: a `Subset` or `ConcatDataset`
    counts its own.

    Args:
        sampler: made with `processes` as W, so that each batch can be dealt.
        process: r, from 0.
        processes: W.

    Attributes:
        epoch: that the next iteration gives; set it before each, as a trainer does with `set_epoch`.

    Raises:
        ValueError: when there is no such process, or a batch cannot be dealt.

    Example:
        >>> import numpy as np
        >>> from longtail.sampling.epochs import ShuffledSampler
        >>> shuffled = ShuffledSampler(np.arange(4), batch_size=2, seed=0, processes=2)
        >>> [sorted(sum(ProcessBatches(shuffled, process, 2), [])) for process in (0, 1)]
        [[1, 2], [0, 3]]
    """

    def __init__(self, sampler: Sampler, process: int = 0, processes: int = 1) -> None:
        if not 0 <= process < processes:
            raise ValueError(f"process: expected a number from 0 to {processes - 1}, got {process}")
        self._drawn = sampler
        self._process, self._processes = process, processes
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._drawn.batches(self.epoch)
        if batches.shape[1] % self._processes:
            raise ValueError(
                f"expected a sampler made for {self._processes} processes, got batches of {batches.shape[1]}"
            )
        yield from batches[:, self._process :: self._processes].tolist()

    def __len__(self) -> int:
        return self._drawn.steps(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration gives this epoch, counted from 0."""
        self.epoch = epoch

    @property
    def sampler(self) -> ProcessBatches:
        """Itself: where Lightning looks for `set_epoch`."""
        return self

    @property
    def batch_sampler(self) -> ProcessBatches:
        """Itself: where transformers looks for `set_epoch`."""
        return self
