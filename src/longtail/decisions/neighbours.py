"""The vote of the nearest images, and which images may vote."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.decisions.distances import squared_distances

_CLOSEST = 1e-3  # rounding moves the distance of two equal float32 unit vectors by up to 5e-4
_PAIR_BYTES = 12  # of one image × attribute × reference: cosine, distance, masked distance


def neighbour_scores(
    features: Tensor,
    references: Tensor,
    labels: Tensor,
    num_classes: int,
    k: int = 20,
    chunk_bytes: int = 64 * 2**20,
) -> Tensor:
    """Vote of the k nearest labelled references of an image, the nearer the heavier.

        score_c = Σ_{r ∈ φ(q), y_r = c} w_r / Σ_{r ∈ φ(q)} w_r,     w_r = 1 / (‖f_q - f_r‖₂ + 0.001)

    φ(q): the k nearest references that are labelled for the attribute. Equal numbers of votes go to
    the nearer class.

    Memory: images are taken in chunks, so that their tables of attributes × references stay
    below `chunk_bytes` (or hold a single image): 12 · J · R bytes an image. A compiled or exported graph
    takes all of them at once.

    Args:
        features: (N, J, D) or (N, 1, D) float, unit vectors.
        references: (R, J, D) or (R, 1, D) float, unit vectors.
        labels: (R, J) int64, -1 = unlabelled: no vote for that attribute.
        num_classes: K.
        k: votes; all references where there are fewer.
        chunk_bytes: most memory of a chunk.

    Returns:
        (N, J, K), at least float32, sum 1; 0 where an attribute has no labelled reference.

    Source: Huang, Li, Loy, Tang, CVPR 2016, Triplet-kNN baseline; k and the weights are ours.

    Example:
        >>> references = torch.tensor([[[1.0, 0.0]], [[0.8, 0.6]], [[0.0, 1.0]]])
        >>> labels = torch.tensor([[0], [0], [1]])
        >>> neighbour_scores(torch.tensor([[[0.0, 1.0]]]), references, labels, num_classes=2, k=1)
        tensor([[[0., 1.]]])
    """
    references, labels = references.transpose(0, 1), labels.T
    if torch.compiler.is_compiling():  # how many chunks there are would be fixed in the graph
        return _vote(features, references, labels, num_classes, k)
    chunk = max(1, chunk_bytes // (_PAIR_BYTES * max(1, labels.numel())))
    parts = [_vote(images, references, labels, num_classes, k) for images in features.split(chunk)]
    return torch.cat(parts)


def _vote(features: Tensor, references: Tensor, labels: Tensor, num_classes: int, k: int) -> Tensor:
    """(n, J, K) from references (J, R, D) or (1, R, D) and labels (J, R)."""
    distances = squared_distances(features, references)
    distances = torch.where((labels >= 0)[:, None, :], distances, torch.inf)  # (J, n, R)
    near = distances.topk(min(k, distances.shape[2]), dim=2, largest=False)
    owners = labels[:, None, :].expand_as(distances).gather(2, near.indices).clamp(min=0)
    weights = 1 / (near.values.sqrt() + _CLOSEST)  # 0 for the unlabelled
    votes = weights.new_zeros(*weights.shape[:2], num_classes).scatter_add(2, owners, weights)
    total = votes.sum(2, keepdim=True)
    return (votes / torch.where(total > 0, total, 1)).transpose(0, 1)


def choose_references(labels: NDArray[np.int64], most: int, per_class: int, seed: int) -> NDArray[np.int64]:
    """At most `most` images to vote, with at least min(n_c, per_class) of every class of every attribute.

    In a random order, an image counts as the r-th of its class, for each of its attributes; images go by
    their smallest r up to `per_class`, the others follow as drawn. So where `most` is too small for what
    every class should keep, rare classes still come first. Images without any label are left out.

    Args:
        labels: (n, J) int64, -1 = unlabelled.
        most: images that are kept.
        per_class: images that every class keeps.
        seed: any non-negative number.

    Returns:
        (r,) int64, positions, ascending.

    Example:
        >>> choose_references(np.array([[0], [0], [0], [1], [-1]]), most=2, per_class=1, seed=0)[-1]
        np.int64(3)
    """
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero((labels >= 0).any(1)))
    urgency = np.full(len(drawn), per_class)
    for column in labels[drawn].T:
        urgency = np.minimum(urgency, np.where(column >= 0, _rank_in_class(column), per_class))
    return np.sort(drawn[np.argsort(urgency, kind="stable")[:most]])


def _rank_in_class(column: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) how many entries before it are equal to each entry."""
    order = np.argsort(column, kind="stable")
    ascending = column[order]
    ranks = np.empty(len(column), np.int64)
    ranks[order] = np.arange(len(column)) - np.searchsorted(ascending, ascending)
    return ranks
