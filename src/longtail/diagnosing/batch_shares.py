"""What a random batch holds of each class, and what class rectification can do with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from longtail.rectification import minority_classes

SIMULATED_BATCHES = 500
"""A share of 500 batches is known to about ±2 points (one standard error, at worst)."""


@dataclass(frozen=True)
class BatchShares:
    """Shares of simulated batches, in one of which a class is kept, skipped, majority or absent.

    Attributes:
        batch_size: images in a batch.
        without_pair: share of batches in which no class is kept, so that nothing is rectified.
        kept: per class, share of batches in which it is a minority with at least two images.
        skipped: per class, share in which it is a minority with a single image: it has no pair.
        majority: per class, share in which it only supplies negatives.
        absent: per class, share in which no image of it is drawn. The four add up to 1.
    """

    batch_size: int
    without_pair: float
    kept: tuple[float, ...]
    skipped: tuple[float, ...]
    majority: tuple[float, ...]
    absent: tuple[float, ...]


def draw_batches(
    class_counts: NDArray[np.int64], unlabelled: int, batch_size: int, *, batches: int, seed: int
) -> NDArray[np.int64]:
    """Class counts of random batches, (B, K) int64, each drawn without replacement.

    A batch of a shuffled epoch, seen alone, holds multivariate hypergeometric class counts; so the
    counts are drawn directly, and nothing depends on the order of the images. Unlabelled images
    take up their places in the batch.

    Args:
        class_counts: (K,) images of every class.
        unlabelled: images without a value.
        batch_size: images in a batch, at most as many as there are.
        batches: B.
        seed: the same seed gives the same batches.
    """
    population = np.append(class_counts, unlabelled)
    generator = np.random.default_rng(seed)
    drawn = generator.multivariate_hypergeometric(population, batch_size, size=batches, method="marginals")
    return drawn[:, :-1]


def shares_of(counts: NDArray[np.int64], batch_size: int, rho: float) -> BatchShares:
    """The shares over batches whose class counts (B, K) are given."""
    minority = minority_classes(torch.from_numpy(counts), rho).numpy()
    kept = minority & (counts >= 2)
    return BatchShares(
        batch_size=batch_size,
        without_pair=float(1 - kept.any(1).mean()),
        kept=_share(kept),
        skipped=_share(minority & (counts == 1)),
        majority=_share(~minority & (counts > 0)),
        absent=_share(counts == 0),
    )


def _share(marked: NDArray[np.bool_]) -> tuple[float, ...]:
    """Share of the batches that are marked, per class."""
    return tuple(map(float, marked.mean(0)))


def simulate_batches(
    class_counts: NDArray[np.int64],
    unlabelled: int,
    batch_size: int,
    *,
    rho: float = 0.5,
    seed: int = 0,
    batches: int = SIMULATED_BATCHES,
) -> BatchShares:
    """Simulate random batches and say how often each class is kept, skipped, majority or absent.

    A batch larger than the data is the data once.
    """
    size = min(batch_size, int(class_counts.sum()) + unlabelled)
    counts = draw_batches(class_counts, unlabelled, size, batches=batches, seed=seed)
    return shares_of(counts, size, rho)
