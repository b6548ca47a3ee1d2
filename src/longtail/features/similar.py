"""Images that are nearly the same, by their fingerprints: pairs that are far nearer than other neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from longtail.errors import InputError
from longtail.images.fingerprint import EDGES

NEIGHBOURS = 16
"""The distance to this neighbour is what is usual around an image."""

NEARER = 0.3
"""Share of the usual distance that two near duplicates are apart at most."""

FARTHEST = 0.2
"""Distance of near duplicates at most, whatever is usual."""

USUAL = 0.05
"""The usual distance at least: so an image with many copies is near them too."""

OTHER_COLOUR = 0.02
"""Root of the mean square difference of the colours from which on two images are not the same."""

LARGEST = 100_000
"""Images among which near duplicates are looked for, in 8 minutes on one core."""

_FLOATS = 2**24
"""Distances that are held at a time, 64 MiB."""

Fingerprints = NDArray[np.float16]
"""(N, EDGES + COLOURS), of `fingerprint`; NaN in the row of an image that could not be decoded."""


class _Neighbours(NamedTuple):
    """(n, K) int64 rows of the nearest others, and (n, K) float32 distances, nearest first."""

    rows: NDArray[np.int64]
    distances: NDArray[np.float32]


def check_amount(images: int) -> None:
    """Refuse more images than can be compared in minutes.

    Raises:
        InputError: when there are more than `LARGEST`.
    """
    if images > LARGEST:
        raise InputError(
            f"--group-near-duplicates: compares at most {LARGEST:,} images with each other, got {images:,}; "
            "name a column of groups with --group-column"
        )


def near_duplicates(prints: Fingerprints) -> NDArray[np.int64]:
    """(N,) the group of each image, numbered in the order of their first images; most have one of their own.

    With d_ij = 1 - cosine of the edges, and u_i = max(0.05, distance of i to its 16th neighbour), images i
    and j are near duplicates where one is among the 16 nearest of the other,

        d_ij <= min(0.2, 0.3 √(u_i u_j)),

    and the root of the mean square difference of their colours is below 0.02. A group is what such pairs
    connect. Equal fingerprints are always of one group, and count as one neighbour; an image that could not
    be decoded, or is flat, is alone. Takes N² · 5 · 10⁻⁸ s on one core, and
    5 kB of memory per image beside 150 MB.
    """
    readable = _comparable(prints)
    distinct, which = _distinct(prints[readable])
    found = _connected(len(distinct), _pairs(distinct, np.arange(len(distinct))))
    groups = np.arange(len(prints), dtype=np.int64) + len(distinct)
    groups[readable] = found[which]
    return numbered(groups)


def with_partner(
    prints: Fingerprints, rows: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(n,) which of some rows have a near duplicate among others; n times N in time.

    A pair counts as in `near_duplicates`, where the other one is among the 16 nearest.
    """
    readable = _comparable(prints)
    asked = np.flatnonzero(np.isin(readable, rows))
    pairs = readable[_pairs(prints[readable], asked)]
    return np.isin(rows, pairs[np.isin(pairs[:, 1], others), 0])


def united(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the finest groups in which all that shares a group in one or the other does.

    Example:
        >>> united(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
        [0, 0, 0, 1]
    """
    first, second = numbered(one), numbered(other)
    nodes = int(first.max(initial=-1)) + 1
    pairs = np.stack([first, nodes + second], 1)
    return numbered(_connected(nodes + int(second.max(initial=-1)) + 1, pairs)[first])


def numbered(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same groups, numbered in the order of their first members."""
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which.ravel()]


def _comparable(prints: Fingerprints) -> NDArray[np.int64]:
    """Rows of images that could be decoded and have edges."""
    return np.flatnonzero(np.isfinite(prints).all(1) & prints[:, :EDGES].any(1))


def _distinct(prints: Fingerprints) -> tuple[Fingerprints, NDArray[np.int64]]:
    """The different fingerprints, in the order of their first images, and which of them each image has."""
    places: dict[bytes, int] = {}
    which = np.array([places.setdefault(own.tobytes(), len(places)) for own in prints], np.int64)
    first = np.unique(which, return_index=True)[1]
    return prints[first], which


def _pairs(prints: Fingerprints, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P, 2): some rows, each beside those of its nearest others that are near duplicates of it."""
    edges = prints[:, :EDGES].astype(np.float32)
    near = _neighbours(edges, rows)
    close = near.distances <= FARTHEST
    pairs = np.stack([np.broadcast_to(rows[:, None], close.shape)[close], near.rows[close]], 1)
    usual = np.zeros(len(prints), np.float32)
    usual[rows] = near.distances[:, -1]
    others = np.setdiff1d(pairs[:, 1], rows)
    usual[others] = _neighbours(edges, others).distances[:, -1]
    around = np.maximum(usual[pairs], USUAL)
    found = pairs[near.distances[close] <= NEARER * np.sqrt(around.prod(1))]
    return found[_same_colour(prints[:, EDGES:], found)]


def _same_colour(colours: Fingerprints, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    one, other = colours[pairs[:, 0]].astype(np.float32), colours[pairs[:, 1]]
    return ((one - other) ** 2).mean(1) < OTHER_COLOUR**2


def _neighbours(edges: NDArray[np.float32], rows: NDArray[np.int64]) -> _Neighbours:
    """The nearest others of some rows; where there are fewer than 16, itself at distance 1."""
    found = _Neighbours(np.repeat(rows[:, None], NEIGHBOURS, 1), np.ones((len(rows), NEIGHBOURS), np.float32))
    most, size = min(NEIGHBOURS, len(edges) - 1), max(_FLOATS // max(len(edges), 1), 1)
    for start in range(0, len(rows) if most > 0 else 0, size):
        part = slice(start, start + size)
        found.rows[part, :most], found.distances[part, :most] = _nearest(edges, rows[part], most)
    return found


def _nearest(edges: NDArray[np.float32], rows: NDArray[np.int64], most: int) -> _Neighbours:
    cosines = torch.from_numpy(edges[rows]) @ torch.from_numpy(edges).T
    cosines[torch.arange(len(rows)), torch.from_numpy(rows)] = -torch.inf
    values, others = cosines.topk(most)
    return _Neighbours(others.numpy(), 1 - values.numpy())


def _connected(nodes: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(nodes,) number of the component of each node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    _, found = connected_components(coo_array((ones, (pairs[:, 0], pairs[:, 1])), (nodes, nodes)), False)
    return found.astype(np.int64)
