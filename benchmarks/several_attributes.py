"""What over-sampling by several attributes costs exactly, against the best decision, over many small worlds.

Two or three attributes of two classes, correlated or not; x is a point with a coordinate for each
attribute, and every attribute moves all coordinates. Densities are known on a grid, so nothing is trained:
what a perfect network learns from the sampler's draws is divided by the shares of the classes among the
draws. Prints points of class-balanced accuracy that are lost, with `over` and with `root` sampling.
"""

from __future__ import annotations

import itertools
from statistics import median

import numpy as np

from longtail.sampling.weighted import over_sampling

APART = 1.6
SHARES = [(0.95, 0.7), (0.95, 0.95), (0.9, 0.6), (0.95, 0.8, 0.6)]
"""Shares of the frequent class of each attribute."""

CORRELATIONS = (-0.6, -0.3, 0.0, 0.3, 0.6)
BLENDS = (0.3, 0.6, 1.0, -0.6)
"""How far an attribute moves the coordinates of the others, of `APART` on its own."""

POINTS = {2: 61, 3: 25}
IMAGES = 20_000


def main() -> None:
    """Print a line for each number of attributes."""
    lost: dict[int, list[tuple[float, float]]] = {2: [], 3: []}
    for shares, correlation, blend in itertools.product(SHARES, CORRELATIONS, BLENDS):
        lost[len(shares)].append(losses(shares, correlation, blend))
    for attributes, found in lost.items():
        for name, values in zip(("over", "root"), zip(*found)):
            spread = f"{min(values):.1f} to {max(values):.1f}, median {median(values):.1f}"
            print(f"{attributes} attributes, {len(found)} worlds, {name}: {spread} points lost")


def losses(shares: tuple[float, ...], correlation: float, blend: float) -> tuple[float, float]:
    """Points lost by over-sampling and by root sampling in one world."""
    attributes = len(shares)
    classes = np.array(list(itertools.product([0, 1], repeat=attributes)))
    signs = 2 * classes - 1
    tilt = correlation * ((signs.sum(1) ** 2 - attributes) / 2)
    p = np.where(classes == 0, shares, 1 - np.array(shares)).prod(1) * np.exp(tilt)
    counts = np.maximum(1, np.round(IMAGES * p / p.sum())).astype(int)
    density = densities(classes, blend)
    labels = np.repeat(classes, counts, 0)
    best = balanced_accuracy(classes, density, counts / counts.sum(), counts / counts.sum())
    found: list[float] = []
    for power in (1.0, 0.5):
        weights, _ = over_sampling(labels, [2] * attributes, power=power)
        drawn = np.bincount(np.repeat(np.arange(len(classes)), counts), weights)
        found.append(best - balanced_accuracy(classes, density, counts / counts.sum(), drawn / drawn.sum()))
    return found[0], found[1]


def densities(classes: np.ndarray, blend: float) -> np.ndarray:
    """(X, C) of x on a grid, given the classes of all attributes."""
    attributes = classes.shape[1]
    means = APART * classes @ (blend + (1 - blend) * np.eye(attributes))
    axis = np.linspace(means.min() - 4, means.max() + 4, POINTS[attributes])
    x = np.stack(np.meshgrid(*[axis] * attributes), -1).reshape(-1, 1, attributes)
    density = np.exp(-((x - means) ** 2).sum(2) / 2)
    return density / density.sum(0)


def balanced_accuracy(classes: np.ndarray, density: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """In percent, mean over attributes, of deciding by what draws q teach, divided by their shares."""
    found: list[float] = []
    for column in classes.T:
        learned, true = (
            np.stack([(density * mass)[:, column == c].sum(1) / mass[column == c].sum() for c in (0, 1)], 1)
            for mass in (q, p)
        )
        chosen = learned.argmax(1)
        found.append(float(np.mean([true[chosen == c, c].sum() for c in (0, 1)])))
    return 100 * float(np.mean(found))


if __name__ == "__main__":
    main()
