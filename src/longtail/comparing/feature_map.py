"""Test images in the plane by the features of several models, t-SNE of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.comparing.document import FeatureMap
from longtail.evaluation.results import RESULTS, AttributeResults
from longtail.images.load import ImageLoader
from longtail.runs.run import Run
from longtail.schema import UNLABELLED
from longtail.training.watcher import Watcher

MOST_IMAGES = 1500
"""Test images that are shown."""

PERPLEXITY = 30.0
"""Of t-SNE, its authors' usual value; less where there are few images."""


def feature_map(runs: Mapping[str, Path], watcher: Watcher) -> FeatureMap | None:
    """The entry `features` of comparison.json; None where fewer than four test images are labelled.

    Shown are test images of the first run, of the attribute whose imbalance in training is largest.

    Args:
        runs: label -> folder of a run; all have the same splits.
        watcher: is told how far it is.

    Raises:
        InputError: when a run or its images cannot be read.
    """
    first = Run.open(next(iter(runs.values())), None)
    data, results = first.data, RESULTS.read(first.folder.results)
    j = most_imbalanced(results.attributes)
    rows = chosen_rows(data.dataset.labels[:, j], data.splits.of(results.split))
    if len(rows) < 4:
        return None
    points: dict[str, tuple[tuple[float, float], ...]] = {}
    for done, (label, path) in enumerate(runs.items(), 1):
        run = Run.open(path, None)
        shown = replace(data, loader=ImageLoader(data.dataset, run.card.image_size, bits=run.card.bits))
        loader = run.on_vectors(shown).loader
        features = run.features(rows, loader).numpy()
        placed = in_the_plane(features[:, min(j, features.shape[1] - 1)]).round(3)
        points[label] = tuple((x, y) for x, y in placed.tolist())
        watcher.progress("features", done, len(runs))
    return FeatureMap(j, tuple(data.dataset.labels[rows, j].tolist()), points)


def most_imbalanced(attributes: Sequence[AttributeResults]) -> int:
    """Index of the attribute with the largest imbalance ratio, of equals the first."""
    return max(range(len(attributes)), key=lambda j: attributes[j].imbalance_ratio or 0.0)


def chosen_rows(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `MOST_IMAGES` of the labelled rows, at random but always the same, in their order."""
    labelled = rows[labels[rows] != UNLABELLED]
    if len(labelled) <= MOST_IMAGES:
        return labelled
    return np.sort(np.random.default_rng(0).choice(labelled, MOST_IMAGES, replace=False))


def in_the_plane(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 2) t-SNE of (n, D) features, n at least 4; all at the origin where the features are one point.

    Source: van der Maaten and Hinton, JMLR 2008; here scikit-learn's, seeded, from the principal axes.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    spread = features.std(0)
    if not np.isfinite(features).all() or not (spread > 0).any():
        return np.zeros((len(features), 2))
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    start = "pca" if (spread > 0).sum() > 1 else "random"  # the second axis must not be empty
    with threadpool_limits(1):  # on a busy machine its threads wait for each other: 35 s instead of 2
        found: Any = TSNE(perplexity=perplexity, init=start, random_state=0).fit_transform(features)
    return np.asarray(found, dtype=np.float64)
