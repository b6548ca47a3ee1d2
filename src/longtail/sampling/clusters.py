"""Clusters inside every class, of about equal size: what quintuplets and cluster-wise decisions rest on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_STEPS = 20  # after k-means++ the within-cluster sum falls by less than 0.2 % from step 10 to step 20
_SEEDS = 20  # images a cluster that k-means++ looks at: its cost is images × clusters
_FEW = 10_000  # so few images are all looked at
_TINY = 1e-12


class Clusters(NamedTuple):
    """Clusters of the images of one attribute; none has images of two classes.

    Attributes:
        assignment: (n,) int32 row of `centroids`, -1 where an image is in no cluster.
        centroids: (M, D) float32, unit vectors; 0 in unused rows.
        classes: (M,) int64 class of each cluster, ascending; -1 in unused rows.
    """

    assignment: NDArray[np.int32]
    centroids: NDArray[np.float32]
    classes: NDArray[np.int64]


def cluster_counts(class_count: int, size: int = 200) -> int:
    """The number of clusters K_c of a class, chosen so that clusters, not classes, have equal sizes.

        K_c = max(2, round(n_c / l))   for n_c ≥ 4;   1 for n_c = 1, 2, 3;   0 for n_c = 0

    Two clusters are the least that quintuplets need. A rare class gets few clusters of the same
    size as those of a frequent one, which is how LMLE takes the imbalance away.

    Args:
        class_count: n_c, images of the class.
        size: l. 200 is the paper's as remembered, unverified; the formula is our reading of "cluster size".

    Source: Huang, Li, Loy, Tang, CVPR 2016, section 3.

    Example:
        >>> [cluster_counts(n) for n in (0, 3, 4, 1000, 100_000)]
        [0, 1, 2, 5, 500]
    """
    if class_count < 4:
        return min(class_count, 1)
    return max(2, round(class_count / size))


def cluster_classes(
    features: NDArray[np.float32], labels: NDArray[np.int64], counts: Sequence[int], seed: int
) -> Clusters:
    """K-means inside every class of one attribute.

        m_k = s_k / ‖s_k‖₂,   s_k = Σ_{i in cluster k} f_i

    The clusters are those of plain k-means on unit vectors (k-means++ on a part of the class, then
    at most 20 steps); only the centroids that come out are brought back to the sphere, so that their
    distances to images are those between images. Classes come one after the other with K_c rows
    each, so M = Σ K_c does not depend on the features. A class with n_c images gets min(n_c, K_c)
    clusters that each have an image: k-means may leave some empty, and each of those takes the
    image that lies farthest from its centroid. Further rows of the class are unused.

    Work: about 20 · n_c · K_c · D multiplications a class. More than two threads may add up in
    another order, and change the last bits from run to run.

    Args:
        features: (n, D) float32, unit vectors.
        labels: (n,) int64, -1 = unlabelled.
        counts: K_c of every class, see `cluster_counts`; a class with 0 is left out.
        seed: any non-negative number.

    Raises:
        ValueError: when a label has no entry in `counts`.

    Source: Huang, Li, Loy, Tang, CVPR 2016, section 3; the renormalised centroids are ours.

    Example:
        >>> points = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
        >>> clusters = cluster_classes(points, np.array([0, 0, 1, -1]), [1, 2], seed=0)
        >>> clusters.assignment.tolist(), clusters.classes.tolist()
        ([0, 0, 1, -1], [0, 1, -1])
    """
    if labels.max(initial=-1) >= len(counts):
        raise ValueError(f"labels: expected classes below {len(counts)}, got {labels.max()}")
    assignment = np.full(len(labels), -1, np.int32)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(len(counts) + 1))
    first_row = 0
    for c, count in enumerate(counts):
        members = order[bounds[c] : bounds[c + 1]]
        if count > 0 and len(members) > 0:
            rng = np.random.default_rng((seed, c))
            assignment[members] = first_row + _k_means(features[members], count, rng)
        first_row += count
    owners = np.repeat(np.arange(len(counts)), counts)
    used = np.bincount(assignment[assignment >= 0], minlength=first_row) > 0
    return Clusters(assignment, _centroids(features, assignment, first_row), np.where(used, owners, -1))


def _k_means(points: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """(n,) cluster of each point; every one of min(n, count) clusters has a point."""
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.exceptions import ConvergenceWarning

    if len(points) <= count:
        return np.arange(len(points), dtype=np.int32)
    sample = rng.permutation(len(points))[: max(_FEW, _SEEDS * count)]
    starts, _ = kmeans_plusplus(points[sample], count, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        # It warns of clusters that coinciding points leave empty: they are filled below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(count, init=starts, n_init=1, max_iter=_STEPS).fit(points)  # pyright: ignore[reportArgumentType]
    assignment = np.asarray(fitted.labels_, np.int32)
    distances = np.square(points - fitted.cluster_centers_[assignment]).sum(1)
    return _fill_empty(assignment, distances, count)


def _fill_empty(
    assignment: NDArray[np.int32], distances: NDArray[np.float32], count: int
) -> NDArray[np.int32]:
    """Give each empty cluster the farthest point that is not the last of its own."""
    sizes = np.bincount(assignment, minlength=count)
    empty = np.flatnonzero(sizes == 0)
    if len(empty) == 0:
        return assignment
    assignment = assignment.copy()
    farthest_first = iter(np.argsort(-distances, kind="stable"))
    for cluster in empty:
        point = next(i for i in farthest_first if sizes[assignment[i]] > 1)
        sizes[assignment[point]] -= 1
        assignment[point] = cluster
    return assignment


def _centroids(
    features: NDArray[np.float32], assignment: NDArray[np.int32], count: int
) -> NDArray[np.float32]:
    """(count, D) unit vectors along the sums of the clusters; 0 where a sum has no direction."""
    from scipy.sparse import csr_array

    members = np.flatnonzero(assignment >= 0)
    ones = np.ones(len(members), np.float32)
    belongs = csr_array((ones, (assignment[members], members)), shape=(count, len(features)))
    sums = np.asarray(belongs @ features, np.float32)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.maximum(lengths, np.float32(_TINY))
