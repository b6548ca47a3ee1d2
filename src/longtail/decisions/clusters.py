"""The cluster-wise nearest-neighbour rule of LMLE."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.decisions.distances import DIAMETER, squared_distances


def cluster_scores(
    features: Tensor, centroids: Tensor, classes: Tensor, present: Tensor, k: int = 20
) -> Tensor:
    """Large-margin decision among the k nearest cluster centroids φ(q) of an image q.

        s_c = min_{m ∈ φ(q), y_m ≠ c} D(q, m) - max_{m ∈ φ(q), y_m = c} D(q, m)      c in φ(q)
        s_c = -4 - min_{m, y_m = c} D(q, m)                                          c not in φ(q)
        score_c = exp(s_c) / Σ_c' exp(s_c')

    D: squared Euclidean distance of unit vectors, at most 4; the rule is not invariant to squaring, so
    it is the distance of training. The rule says nothing of classes outside φ(q): the second line keeps
    them below all others, ordered by their nearest centroid. Where φ(q) has a single class the first
    minimum is the 4 that no distance exceeds, and that class wins. A class without any centroid comes
    last. With two classes in φ(q) the largest score is that of the smallest min + max of its own distances.
    The softmax keeps the order and is not a calibrated probability.

    Args:
        features: (N, J, D) or (N, 1, D) float, unit vectors.
        centroids: (J, M, D) float, unit vectors.
        classes: (J, M) int64, class of each centroid; -1 = unused row.
        present: (J, K) bool, the classes that an attribute has.
        k: centroids in φ; all of an attribute where it has fewer. 20 is the paper's as remembered,
            unverified.

    Returns:
        (N, J, K), at least float32, finite; exactly 0 for classes that an attribute lacks, sum 1.

    Source: Huang, Li, Loy, Tang, CVPR 2016, eq. 3; the second line and the softmax are ours.

    Example:
        >>> centroids = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> image = torch.tensor([[[0.6, 0.8]]])
        >>> cluster_scores(image, centroids, torch.tensor([[0, 1]]), torch.tensor([[True, True]])).argmax(2)
        tensor([[1]])
    """
    distances = squared_distances(features, centroids)  # (J, N, M)
    unused = (classes < 0)[:, None, :]
    distances = torch.where(unused, torch.inf, distances)
    owners = classes.clamp(min=0)[:, None, :].expand_as(distances)

    near = distances.topk(min(k, distances.shape[2]), dim=2, largest=False)
    near_owners = owners.gather(2, near.indices)
    by_class = distances.new_empty(*distances.shape[:2], present.shape[1])  # (J, N, K)
    smallest = torch.full_like(by_class, DIAMETER).scatter_reduce(2, near_owners, near.values, "amin")
    real = torch.where(near.values < torch.inf, near.values, -torch.inf)
    largest = torch.full_like(by_class, -torch.inf).scatter_reduce(2, near_owners, real, "amax")
    nearest = torch.full_like(by_class, DIAMETER + 1).scatter_reduce(2, owners, distances, "amin")

    margin = _smallest_of_others(smallest) - largest
    scores = torch.where(largest >= 0, margin, -DIAMETER - nearest)
    return torch.where(present[:, None, :], scores, -torch.inf).softmax(2).transpose(0, 1)


def _smallest_of_others(values: Tensor) -> Tensor:
    """min_{c' ≠ c} v_c' for each c along the last dimension; with a single class, the diameter."""
    first, place = values.min(2, keepdim=True)
    rest = values.scatter(2, place, DIAMETER)
    is_first = torch.zeros_like(values, dtype=torch.bool).scatter(2, place, True)
    return torch.where(is_first, rest.min(2, keepdim=True).values, first)
