"""Over- and under-sampling: images are drawn by weights under which their classes are even."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from longtail.sampling.balance import class_shares, imbalance_ratio, joint_weights
from longtail.sampling.epochs import Sampler, batch_width, cut

Drawing = tuple[NDArray[np.float64], int]
"""(n,) weights of the images, and the draws of an epoch."""


class WeightedSampler(Sampler):
    """As many draws an epoch as it is told, shared out by the weights of the images.

    Each image comes up its expected number of times, draws · w_i / Σ w, rounded down or up: a plain
    random choice would leave out a third of the images that are due once. Rounding goes on among
    images that share a class of the most imbalanced attribute, so that the totals of these classes
    are their expected totals, rounded down or up. The last batch is filled up from the start of the
    epoch's own order.

    Args, beside those of all samplers:
        labels: (n, J) int64 labels of the rows, -1 = unlabelled.
        num_classes: |Z_j| of every attribute.
        weights: (n,) positive.
        draws: of an epoch.

    Raises:
        ValueError: when labels, weights and rows do not fit, a weight is not a positive number, or there is
            no row.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        num_classes: Sequence[int],
        weights: NDArray[np.float64],
        draws: int,
        batch_size: int,
        seed: int,
        processes: int,
    ) -> None:
        if len(labels) != len(rows):
            raise ValueError(f"labels: expected those of the {len(rows)} rows, got {len(labels)}")
        if weights.shape != rows.shape or not (np.isfinite(weights) & (weights > 0)).all():
            raise ValueError(f"weights: expected {len(rows)} positive numbers, got {weights}")
        self.rows = rows
        self.seed = seed
        self.draws = draws
        self.batch_size = batch_width(batch_size, draws, processes)
        self._weights = weights
        self._expected = weights * (draws / weights.sum())
        ratios = imbalance_ratio(class_shares(labels, np.ones(len(labels)), num_classes))
        self._stratum = labels[:, np.nan_to_num(ratios).argmax()]

    @property
    def block(self) -> int:
        """See `Sampler`: the whole batch."""
        return self.batch_size

    def batches(self, epoch: int) -> NDArray[np.int64]:
        """Rows of an epoch, (steps, batch) int64, in random order."""
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.rows))
        order = order[np.argsort(self._stratum[order], kind="stable")]
        drawn = np.repeat(self.rows[order], systematic(self._expected[order], rng))
        return cut(rng.permutation(drawn), self.batch_size)

    def rates(self) -> NDArray[np.float64]:
        """(n,) the weights: images come up in proportion to them."""
        return self._weights


def over_sampling(
    labels: NDArray[np.int64],
    num_classes: Sequence[int],
    replicate: bool = False,
    power: float = 1.0,
    limit: float = math.inf,
) -> Drawing:
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
        labels: (n, J) int64, -1 = unlabelled.
        num_classes: |Z_j| of every attribute.
        replicate: the second, longer epoch.
        power: of the weights, from 0 (every image alike) to 1 (classes as even as they can be).
        limit: how many times the mean an image may weigh, at least 1, before all are brought to mean 1 again;
            our choice.

    Raises:
        ValueError: when the labels do not fit `num_classes`, or power or limit is out of range.

    Source: the power of ½ as in Mahajan et al., "Exploring the Limits of Weakly Supervised
    Pretraining", ECCV 2018, and Kang et al., ICLR 2020.

    Example:
        >>> weights, draws = over_sampling(np.array([[0], [0], [0], [1]]), [2], replicate=True)
        >>> (draws * weights / weights.sum()).round(3).tolist()
        [1.0, 1.0, 1.0, 3.0]
    """
    if not 0 <= power <= 1:
        raise ValueError(f"power: expected a number from 0 to 1, got {power}")
    if not limit >= 1:
        raise ValueError(f"limit: expected a number of at least 1, got {limit}")
    weights = _mean_one(joint_weights(labels, num_classes) ** power)
    weights = _mean_one(np.minimum(weights, limit))
    if not replicate:
        return weights, len(weights)
    exact = weights.sum() / weights.min(initial=np.inf)
    return weights, math.ceil(exact * (1 - 1e-9))  # a sum that is whole but for rounding stays what it is


def under_sampling(labels: NDArray[np.int64], num_classes: Sequence[int]) -> Drawing:
    """A part of the images that evens out the classes; another part in every epoch.

        P(image i is in the epoch) = π_i = w_i / max_l w_l

    w: `joint_weights`. No image comes up twice but to fill the last batch. With one label an epoch
    has min_c n_c images of each class; drawing anew in every epoch, instead of fixing the part once
    and for all, uses all images in the long run. An epoch has ⌊Σ π_i⌋ draws, always the same
    number, so π is smaller by at most the share that rounding takes off. With many attributes that
    may be as few as n / cap.

    Args:
        labels: (n, J) int64, -1 = unlabelled.
        num_classes: |Z_j| of every attribute.

    Raises:
        ValueError: when the labels do not fit `num_classes`.

    Example:
        >>> under_sampling(np.array([[0], [0], [0], [1]]), [2])[1]
        2
    """
    weights = joint_weights(labels, num_classes)
    exact = weights.sum() / weights.max(initial=0) if len(weights) else 0.0
    return weights, math.floor(exact * (1 + 1e-9))


def _mean_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights / weights.mean() if len(weights) else weights


def systematic(expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each of n things is drawn: its expected number rounded down or up, at random.

        k_i = ⌊E_i + u⌋ - ⌊E_{i-1} + u⌋,   E_i = Σ_{l ≤ i} expected_l,   u uniform in [0, 1)

    Neighbours that together expect a whole number get exactly that many draws.

    Args:
        expected: (n,) not negative, with a whole number as their sum; n ≥ 1.
        rng: draws u.

    Returns:
        (n,) int64 with the sum of `expected`.

    Source: systematic sampling with unequal probabilities, Madow 1949.

    Example:
        >>> systematic(np.array([2.0, 0.5, 0.5, 1.0]), np.random.default_rng(0)).tolist()
        [2, 1, 0, 1]
    """
    reached = np.floor(np.cumsum(expected) + rng.random()).astype(np.int64)
    reached[-1] = round(expected.sum())  # the running sum may have lost the last digit
    return np.diff(reached, prepend=0)
