"""What the regression says of images that it did not see: one fold of several is held out at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtail.features.linear import fit_linear
from longtail.features.similar import numbered
from longtail.threads import Progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5

SMOOTH = (1.0,)
"""Strength of the regressions: weaker ones memorise wrong labels; docs/decisions.md."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Probabilities of K classes for n images, by regressions that did not see them.

    Attributes:
        log_p: (n, K) log-probabilities; about -1e4 for a class that the regression had no image of.
        shares: (n, K) of the classes among the images that the regression was fitted to.
    """

    log_p: Floats
    shares: Floats


def held_out(
    vectors: NDArray[np.floating],
    labels: Ints,
    units: Ints,
    num_classes: int,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> HeldOut:
    """Each image's probabilities by the regression on the images of all other folds.

    Args:
        vectors: (n, D), of length 1.
        labels: (n,) int64, all of them known.
        units: (n,) what stays in one fold, see `deal`.
        num_classes: K.
        folds: how many regressions are fitted.
        seed: of the folds.
        on_progress: called with the folds done and all folds.
    """
    fold = deal(labels, units, folds, seed)
    log_p, shares = np.zeros((len(labels), num_classes)), np.zeros((len(labels), num_classes))
    for f in range(folds):
        out = fold == f
        if out.any() and not out.all():
            log_p[out], shares[out] = _judged(vectors, labels, out, num_classes)
        if on_progress is not None:
            on_progress(f + 1, folds)
    return HeldOut(log_p, shares)


def deal(labels: Ints, units: Ints, folds: int, seed: int = 0) -> Ints:
    """(n,) fold of each image; units stay whole, and a class is spread over as many folds as it can be.

    Units are dealt class by class, the class of the fewest units first and its largest units first, each to
    the fold that has the fewest images of the class, of equals the one with the fewest images. Where every
    unit is one image, the images of a class in two folds differ by 1 at most.
    """
    unit = numbered(units)  # so that folds do not depend on their names
    classes = np.unique(labels, return_inverse=True)[1]
    order = np.argsort(unit, kind="stable")
    rows_of = np.split(order, np.flatnonzero(np.diff(unit[order])) + 1)
    held, total = np.zeros((folds, classes.max(initial=-1) + 1)), np.zeros(folds)
    fold_of = np.empty(len(rows_of), np.int64)
    for u, c in _turns(unit, classes, seed):
        f = np.lexsort((total, held[:, c]))[0]
        fold_of[u] = f
        np.add.at(held[f], classes[rows_of[u]], 1)
        total[f] += len(rows_of[u])
    return fold_of[unit]


def _turns(unit: Ints, classes: Ints, seed: int) -> list[tuple[int, int]]:
    """The units in the order in which they are dealt, each with its rarest class."""
    cells, images = np.unique(np.stack([unit, classes]), axis=1, return_counts=True)
    units_of = np.bincount(cells[1])
    chance = np.random.default_rng(seed).random(len(unit))[cells[0]]
    order = np.lexsort((chance, -images, cells[1], units_of[cells[1]]))
    first = np.sort(np.unique(cells[0][order], return_index=True)[1])
    return list(zip(cells[0][order][first].tolist(), cells[1][order][first].tolist(), strict=True))


def _judged(
    vectors: NDArray[np.floating], labels: Ints, out: NDArray[np.bool_], num_classes: int
) -> tuple[Floats, Floats]:
    """Log-probabilities of the images that are held out, and the shares of the classes among the others."""
    none = (vectors[:0], labels[:0])
    fit = fit_linear(vectors[~out], labels[~out], num_classes, none, SMOOTH)  # pyright: ignore
    logits = vectors[out] @ fit.weight + fit.bias
    logits -= logits.max(1, keepdims=True)
    counts = np.bincount(labels[~out], minlength=num_classes)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True)), (counts / counts.sum())[None]
