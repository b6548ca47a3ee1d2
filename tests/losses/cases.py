"""Random batches of features and labels, and plain arithmetic on them for the brute-force twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor


class Batch(NamedTuple):
    """Features (N, J or 1, D) in float64, and labels (N, J) of which some are unlabelled."""

    features: Tensor
    labels: Tensor


def make(images: int, attributes: int, classes: int, shared: bool, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, classes, (images, attributes), generator=generator)
    vectors = 1 if shared else attributes
    features = torch.randn(images, vectors, 3, generator=generator, dtype=torch.float64)
    return Batch(3 * features, labels)


batches = st.builds(
    make,
    st.one_of(st.integers(1, 12), st.integers(6, 12)),
    st.integers(1, 3),
    st.sampled_from([2, 3, 1, 4]),
    st.booleans(),
    st.integers(0, 10**6),
)
seeds = st.integers(0, 10**6)
repeatable = settings(max_examples=50, derandomize=True, deadline=None, database=None)


def on_random_batches(check: Callable[[Batch], float]) -> None:
    """Runs the check, which returns the loss, and asserts that the cases were not mostly empty."""
    losses: list[float] = []
    repeatable(given(batches)(lambda batch: losses.append(check(batch))))()
    assert sum(loss > 0 for loss in losses) > 0.4 * len(losses)


def unit_columns(batch: Batch) -> list[tuple[list[list[float]], list[int]]]:
    """Unit vectors and labels of every attribute, as plain lists, without the unlabelled images."""
    columns = []
    for j in range(batch.labels.shape[1]):
        kept = [i for i in range(len(batch.labels)) if batch.labels[i, j] >= 0]
        rows = [batch.features[i, j if batch.features.shape[1] > 1 else 0].tolist() for i in kept]
        vectors = [[x / math.hypot(*row) for x in row] for row in rows]
        columns.append((vectors, [int(batch.labels[i, j]) for i in kept]))
    return columns


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
