"""Random batches of features or logits, and plain arithmetic on them for the brute-force twins."""

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


class Scores(NamedTuple):
    """Logits (N, J, K) in float64, -inf where an attribute lacks a class, and labels (N, J)."""

    logits: Tensor
    labels: Tensor


def make_scores(images: int, attributes: int, classes: int, seed: int, same_size: bool = False) -> Scores:
    """Attributes of one to `classes` classes, or of just as many; some labels are missing."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(classes if same_size else 1, classes + 1, (attributes,), generator=generator)
    labels = (torch.rand(images, attributes, generator=generator) * (sizes + 1)).long() - 1
    logits = 3 * torch.randn(images, attributes, classes, generator=generator, dtype=torch.float64)
    return Scores(logits.masked_fill(torch.arange(classes) >= sizes[:, None], -math.inf), labels)


def make_table(attributes: int, classes: int, seed: int) -> Tensor:
    """(J, K) float64 in (0, 2)."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(attributes, classes, generator=generator, dtype=torch.float64)


scores = st.builds(make_scores, st.integers(0, 9), st.integers(1, 4), st.integers(2, 6), seeds)


def labelled_rows(scores: Scores, j: int) -> list[tuple[int, list[float], int]]:
    """Image, logits of the classes that exist, and label of the labelled images of an attribute."""
    rows = []
    for i in range(len(scores.labels)):
        if scores.labels[i, j] >= 0:
            exist = [z for z in scores.logits[i, j].tolist() if z > -math.inf]
            rows.append((i, exist, int(scores.labels[i, j])))
    return rows


def log_probability(row: list[float], k: int) -> float:
    top = max(row)
    return row[k] - top - math.log(sum(math.exp(z - top) for z in row))
