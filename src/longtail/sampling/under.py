"""Under-sampling: images of common classes are left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from longtail.sampling.balance import WeightedSampler, joint_weights


class UnderSampler(WeightedSampler):
    """A part of the images that evens out the classes; another part in every epoch.

        P(image i is in the epoch) = π_i = w_i / max_l w_l

    w: `joint_weights`. No image comes up twice but to fill the last batch. With one label an epoch
    has min_c n_c images of each class; drawing anew in every epoch, instead of fixing the part once
    and for all, uses all images in the long run. An epoch has ⌊Σ π_i⌋ draws, always the same
    number, so π is smaller by at most the share that rounding takes off. With many attributes that
    may be as few as n / cap.

    Args:
        rows: (n,) int64, rows of the data set to draw from.
        labels: (n, J) int64 labels of these rows, -1 = unlabelled.
        num_classes: |Z_j| of every attribute.
        batch_size: of all processes together; fewer draws than that make one batch of them all.
        seed: any non-negative number.
        processes: the batch is made divisible by it.

    Raises:
        ValueError: when labels and rows do not fit, or there is no row.

    Example:
        >>> labels = np.array([[0], [0], [0], [1]])
        >>> batch = UnderSampler(np.arange(4), labels, [2], 2, seed=0).batches(0)[0]
        >>> sorted(labels[batch, 0].tolist())
        [0, 1]
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        num_classes: Sequence[int],
        batch_size: int,
        seed: int,
        processes: int = 1,
    ) -> None:
        weights = joint_weights(labels, num_classes)
        exact = weights.sum() / weights.max(initial=0) if len(weights) else 0.0
        draws = math.floor(exact * (1 + 1e-9))  # a sum that is whole but for rounding stays what it is
        super().__init__(rows, labels, num_classes, weights, draws, batch_size, seed, processes)
