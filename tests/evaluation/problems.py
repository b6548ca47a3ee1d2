"""Random problems for the tests of evaluation: skewed classes, ties, missing labels and classes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from longtail.evaluation.metrics import FrequencyBounds, Predictions
from longtail.schema import Attribute, LabelSchema


def schema_of(*sizes: int) -> LabelSchema:
    return LabelSchema(
        tuple(Attribute(f"a{j}", tuple(f"c{c}" for c in range(size))) for j, size in enumerate(sizes))
    )


@st.composite
def problems(draw: st.DrawFn, most_images: int = 12) -> Predictions:
    """Up to 12 images and 3 attributes of 1 to 4 classes; few distinct scores, so ties are common."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    n, j, k = draw(st.integers(0, most_images)), len(sizes), max(sizes)
    scores = draw(arrays(np.float64, (n, j, k), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])))
    labels = draw(arrays(np.int64, (n, j), elements=st.integers(-1, k - 1)))
    counts = draw(arrays(np.int64, (j, k), elements=st.sampled_from([0, 1, 19, 20, 50, 100, 101])))
    for column, size in enumerate(sizes):
        labels[:, column] = np.minimum(labels[:, column], size - 1)
        scores[:, column, size:] = -np.inf
        counts[column, size:] = 0
    return Predictions(scores, labels, schema_of(*sizes), counts)


def gaussian(
    n: int,
    sizes: tuple[int, ...] = (4,),
    seed: int = 0,
    signal: float = 1.5,
    groups: np.ndarray | None = None,
    frequency: FrequencyBounds = FrequencyBounds(),  # noqa: B008 - frozen
) -> Predictions:
    """A long-tailed problem whose true class scores higher by `signal` standard deviations."""
    random = np.random.default_rng(seed)
    labels = np.stack([_long_tailed(random, n, size) for size in sizes], axis=1)
    scores = random.normal(size=(n, len(sizes), max(sizes)))
    for column, size in enumerate(sizes):
        scores[np.arange(n), column, labels[:, column]] += signal
        scores[:, column, size:] = -np.inf
    counts = np.zeros((len(sizes), max(sizes)), dtype=np.int64)
    for column, size in enumerate(sizes):
        counts[column, :size] = 200 // (1 + np.arange(size)) ** 2
    return Predictions(scores, labels, schema_of(*sizes), counts, frequency, groups)


def _long_tailed(random: np.random.Generator, n: int, classes: int) -> np.ndarray:
    share = 1.0 / (1 + np.arange(classes))
    return random.choice(classes, size=n, p=share / share.sum()).astype(np.int64)
