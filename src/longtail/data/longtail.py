"""Long tails imposed on balanced data: how many images each class keeps, and which.

The data set itself is not changed: `impose` and `impose_on` give indices of the training part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import Dataset, class_counts
from longtail.errors import InputError
from longtail.words import did_you_mean, joined


def power_law_sizes(largest: int, smallest: int, num_classes: int, gamma: float = 1.0) -> NDArray[np.int64]:
    """Class sizes that fall as a power law between two ends.

        f(i) = a / (i^γ + b),  i = 1 … K
        b = (n_min·K^γ - n_max) / (n_max - n_min),  a = n_max·(1 + b)

    so that f(1) = n_max and f(K) = n_min; rounded to whole images. Equal ends give equal sizes.

    Args:
        largest: n_max, size of the first class.
        smallest: n_min, size of the last class.
        num_classes: K.
        gamma: γ > 0; the larger, the faster the head falls.

    Raises:
        InputError: when the ends are not 1 ≤ n_min ≤ n_max, K < 2, or γ ≤ 0.

    Example:
        >>> power_law_sizes(100, 10, 4).tolist()
        [100, 25, 14, 10]
    """
    _check(largest, smallest, num_classes)
    if gamma <= 0:
        raise InputError(f"gamma: expected a number above 0, got {gamma}")
    if largest == smallest:
        return np.full(num_classes, largest, np.int64)
    rank = np.arange(1, num_classes + 1, dtype=np.float64) ** gamma
    b = (smallest * rank[-1] - largest) / (largest - smallest)
    return np.rint(largest * (1 + b) / (rank + b)).astype(np.int64)


def exponential_sizes(largest: int, ratio: float, num_classes: int) -> NDArray[np.int64]:
    """Class sizes that fall by the same factor from class to class.

        n_i = ⌊n_max · μ^(i / (K - 1))⌋,  i = 0 … K - 1,  μ = 1 / ratio

    the profile of the long-tailed CIFAR benchmarks; no class is smaller than 1.

    Args:
        largest: n_max, size of the first class.
        ratio: n_max over the size of the last class, ≥ 1.
        num_classes: K.

    Raises:
        InputError: when n_max < 1, K < 2, ratio < 1, or the last class would be empty.

    Example:
        >>> exponential_sizes(5000, 100, 10).tolist()
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    _check_ratio(ratio, largest)
    _check(largest, 1, num_classes)
    power = np.arange(num_classes) / (num_classes - 1)
    exact = largest * (1 / ratio) ** power
    return np.floor(exact + 1e-9 * exact).astype(np.int64)  # 49.999… is 50


def _check(largest: int, smallest: int, num_classes: int) -> None:
    if num_classes < 2:
        raise InputError(f"a long tail needs at least 2 classes, got {num_classes}")
    if not 1 <= smallest <= largest:
        raise InputError(
            f"class sizes: expected 1 ≤ smallest ≤ largest, got smallest {smallest}, largest {largest}"
        )


def _check_ratio(ratio: float, largest: int) -> None:
    if not 1 <= ratio <= largest:
        raise InputError(f"ratio: expected 1 to {largest} (the largest class), got {ratio:g}")


@dataclass(frozen=True)
class TailProfile:
    """The shape of a long tail.

    Attributes:
        shape: 'exponential' or 'power-law'.
        ratio: size of the first class over that of the last.
        largest: size of the first class; None takes the largest for which no class runs out.
    """

    shape: Literal["exponential", "power-law"] = "exponential"
    ratio: float = 100.0
    largest: int | None = None

    def sizes(self, largest: int, num_classes: int) -> NDArray[np.int64]:
        """(K,) sizes, largest first, for this size of the first class.

        Raises:
            InputError: see `exponential_sizes` and `power_law_sizes`.
        """
        if self.shape == "exponential":
            return exponential_sizes(largest, self.ratio, num_classes)
        _check_ratio(self.ratio, largest)
        return power_law_sizes(largest, round(largest / self.ratio), num_classes)

    def fit(self, available: NDArray[np.int64]) -> NDArray[np.int64]:
        """(K,) sizes in class order for classes with this many images.

        Raises:
            InputError: when no size of the first class fits, see `sizes`.
        """
        largest = self._largest_that_fits(available) if self.largest is None else self.largest
        return self.sizes(largest, len(available))

    def _largest_that_fits(self, available: NDArray[np.int64]) -> int:
        lowest, highest = max(int(np.ceil(self.ratio)), 1), int(available[0])
        if highest < lowest or (self.sizes(lowest, len(available)) > available).any():
            raise InputError(
                f"ratio: {self.ratio:g} asks for more than there is (training images per class:"
                f" {joined(map(str, available.tolist()), 20)}); choose a smaller one"
            )
        while lowest < highest:  # every size grows with the first one
            middle = (lowest + highest + 1) // 2
            fits = (self.sizes(middle, len(available)) <= available).all()
            lowest, highest = (middle, highest) if fits else (lowest, middle - 1)
        return lowest


def impose(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], seed: int, names: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Draw sizes[k] images of every class k.

    For one seed, a smaller size draws a part of what a larger one draws.

    Args:
        labels: (N,) class index, -1 = unlabelled; unlabelled images are never drawn.
        sizes: (K,) images to keep of each class.
        seed: which images.
        names: K names of the classes, for messages; their numbers if not given.

    Returns:
        (sum of sizes,) int64 sorted indices into `labels`.

    Raises:
        InputError: when a class has fewer images than asked for.

    Example:
        >>> impose(np.array([0, 0, 0, 1, 1, 1]), np.array([3, 1]), seed=0)
        array([0, 1, 2, 5])
    """
    available = class_counts(labels, len(sizes))[: len(sizes)]
    short = np.flatnonzero(available < sizes)
    if len(short):
        k = int(short[0])
        raise InputError(
            f"class {names[k] if names else k}: expected at least {sizes[k]:,} training images for the long"
            f" tail, found {available[k]:,}; ask for a smaller largest class"
        )
    rng = np.random.default_rng(seed)
    by_class = np.argsort(labels, kind="stable")
    begins = np.searchsorted(labels[by_class], np.arange(len(sizes) + 1))
    members = (by_class[start:end] for start, end in pairwise(begins.tolist()))
    kept = [rng.permutation(own)[:size] for own, size in zip(members, sizes.tolist(), strict=True)]
    return np.sort(np.concatenate(kept)).astype(np.int64)


def impose_on(
    dataset: Dataset, train: NDArray[np.int64], attribute: str, profile: TailProfile, seed: int
) -> tuple[NDArray[np.int64], str]:
    """Impose a long tail on one attribute of the training part.

    Args:
        dataset: the whole data set.
        train: rows of its training part.
        attribute: the attribute's name.
        profile: shape of the tail.
        seed: which images.

    Returns:
        The rows of `train` that are kept, sorted, and a note that says what was done.

    Raises:
        InputError: when the attribute is not there, or a class has too few images.
    """
    names = dataset.schema.names
    if attribute not in names:
        raise InputError(
            f"long tail: expected one of the attributes {joined(names, 40)}, got {attribute!r}."
            f"{did_you_mean(attribute, names)}"
        )
    column = names.index(attribute)
    labels = dataset.labels[train, column]
    available = class_counts(labels, dataset.schema.num_classes[column])
    sizes = profile.fit(available)
    kept = impose(labels, sizes, seed, dataset.schema.attributes[column].classes)
    without = int((labels < 0).sum())
    note = (
        f"long tail imposed on {attribute}: {len(kept):,} of {len(train):,} training images kept, "
        f"{sizes.max():,} … {sizes.min():,} per class ({profile.shape}, ratio {profile.ratio:g})"
        + (f"; {without:,} without a label left out" if without else "")
    )
    return train[kept], note
