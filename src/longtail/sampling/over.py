"""Over-sampling: images of rare classes come up more often."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from longtail.sampling.balance import WeightedSampler, joint_weights


class OverSampler(WeightedSampler):
    """Images are drawn as often as evens out the classes; those of rare classes are repeated.

        k_i ≈ w_i   or, replicating,   k_i ≈ w_i / min_l w_l

    w: `joint_weights` to the given power, with mean 1; k_i is rounded down or up at random, anew in
    every epoch. A power of ½ is square-root sampling: with one label a class of n_c images gets
    draws in proportion to √n_c, half way between all images alike and all classes alike. With a limit,
    min(w_i, limit) with mean 1 takes the place of w_i: a network memorises images that come too often.

    The first keeps the n draws of an epoch, so that a training costs the same with and without
    over-sampling; it leaves out some images of common classes in each epoch. The second is random
    over-sampling as the literature defines it: no image is left out, and with one label every class
    is replicated to the size of the largest, C · max_c n_c draws. With many attributes it may make an
    epoch as long as cap · n.

    Args:
        rows: (n,) int64, rows of the data set to draw from.
        labels: (n, J) int64 labels of these rows, -1 = unlabelled.
        num_classes: |Z_j| of every attribute.
        batch_size: of all processes together.
        seed: any non-negative number.
        processes: the batch is made divisible by it.
        replicate: the second, longer epoch.
        power: of the weights, from 0 (every image alike) to 1 (classes as even as they can be).
        limit: how many times the mean an image may weigh, at least 1; our choice.

    Raises:
        ValueError: when labels and rows do not fit, there is no row, or power or limit is out of range.

    Source: the power of ½ as in Mahajan et al., "Exploring the Limits of Weakly Supervised
    Pretraining", ECCV 2018, and Kang et al., ICLR 2020.

    Example:
        >>> labels = np.array([[0], [0], [0], [1]])
        >>> np.bincount(OverSampler(np.arange(4), labels, [2], 6, seed=0, replicate=True).batches(0)[0])
        array([1, 1, 1, 3])
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        num_classes: Sequence[int],
        batch_size: int,
        seed: int,
        processes: int = 1,
        replicate: bool = False,
        power: float = 1.0,
        limit: float = math.inf,
    ) -> None:
        if not 0 <= power <= 1:
            raise ValueError(f"power: expected a number from 0 to 1, got {power}")
        if not limit >= 1:
            raise ValueError(f"limit: expected a number of at least 1, got {limit}")
        weights = _mean_one(joint_weights(labels, num_classes) ** power)
        weights = _mean_one(np.minimum(weights, limit))
        draws = _replicated(weights) if replicate else len(rows)
        super().__init__(rows, labels, num_classes, weights, draws, batch_size, seed, processes)


def _mean_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights / weights.mean() if len(weights) else weights


def _replicated(weights: NDArray[np.float64]) -> int:
    """⌈Σ w_i / min w⌉, and 0 of nothing; a sum that is whole but for rounding stays what it is."""
    exact = weights.sum() / weights.min(initial=np.inf)
    return math.ceil(exact * (1 - 1e-9))
