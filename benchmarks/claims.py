"""Whether results and comparisons are right as often as they say, by simulation.

    python benchmarks/claims.py [--quick]

Prints in percent of simulated cases how often a 95 % interval holds the true figure, by test images of a
class and by groups of images; how often the headline of a comparison claims a gain where there is none;
and how often the interval over seeds holds for other images. The whole form takes two minutes of one core,
the quick one twenty seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longtail.evaluation.intervals import Estimate, Intervals, intervals, paired_difference
from longtail.evaluation.metrics import Metrics, Predictions, evaluate
from longtail.schema import Attribute, LabelSchema

IMAGES = (1, 3, 6, 12, 50)
"""Test images of a class."""

GROUPS = (5, 10, 20, 30, 60)
RECALLS = (0.2, 0.5, 0.8, 0.95, 0.99)
METHODS = (2, 5, 12, 26)
SEEDS = 5
SHOWN = {
    "class_balanced_accuracy": "class-balanced",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean AP",
}


@dataclass(frozen=True)
class World:
    """Images score for their class as many standard deviations higher as its signal says."""

    name: str
    signals: tuple[float, ...]

    def split(self, random: np.random.Generator, images: int, groups: int | None = None) -> Predictions:
        """A split with so many images of each class; images of one group are hard or easy together."""
        labels = np.repeat(np.arange(len(self.signals)), images)
        group = None if groups is None else random.integers(groups, size=len(labels))
        signal = np.array(self.signals)[labels]
        if group is not None:
            signal = signal + random.normal(size=groups)[group]
        scores = random.normal(size=(len(labels), 1, len(self.signals)))
        scores[np.arange(len(labels)), 0, labels] += signal
        counts = np.full((1, len(self.signals)), 50)
        return Predictions(scores, labels[:, None], schema_of(len(self.signals)), counts, groups=group)

    def covered(self, cases: int, images: int, groups: int | None = None) -> str:
        """How often the intervals of each figure hold it, and their mean width."""
        random = np.random.default_rng(1)
        truth = evaluate(self.split(random, 200_000 // len(self.signals), groups and 20_000)).mean
        found = [intervals_of(self.split(random, images, groups)).mean for _ in range(cases)]
        return "".join(f"{coverage(found, truth, name):>18}" for name in SHOWN)


WORLDS = (
    World("2 classes", (1.5, 0.5)),
    World("10 classes alike", (2.0,) * 10),
    World("10 classes, from easy to hard", tuple(np.linspace(4.0, 0.5, 10))),
    World("40 classes, from easy to hard", tuple(np.linspace(5.0, 0.5, 40))),
)


def main() -> None:
    """Print one table for each kind of claim."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases")
    cases = 50 if parser.parse_args().quick else 500
    recalls(100 * cases)
    heads = "".join(f"{name:>18}" for name in SHOWN.values())
    for world in WORLDS:
        print(f"\n{world.name}: intervals that hold the true figure, % (mean width, points)\nimages{heads}")
        for images in IMAGES:
            print(f"{images:>6}{world.covered(cases, images)}", flush=True)
    print(f"\n{WORLDS[2].name}, 20 images each, in groups: the same\ngroups{heads}")
    for groups in GROUPS:
        print(f"{groups:>6}{WORLDS[2].covered(cases, 20, groups)}", flush=True)
    headlines(100 * cases)
    other_images(4 * cases)


def recalls(cases: int) -> None:
    """The interval of the recall of one class."""
    print("recall of a class: intervals that hold it, % (columns: the true recall)")
    print("images" + "".join(f"{recall:>8}" for recall in RECALLS))
    random = np.random.default_rng(0)
    for images in IMAGES:
        ends = [of_hits(hits, images) for hits in range(images + 1)]
        drawn = {recall: random.binomial(images, recall, size=cases) for recall in RECALLS}
        shares = [np.mean([holds(ends[hits], recall) for hits in drawn[recall]]) for recall in RECALLS]
        print(f"{images:>6}" + "".join(f"{100 * share:>8.1f}" for share in shares))


def of_hits(hits: int, images: int) -> Estimate:
    """The interval of the recall of a class with so many images right."""
    scores = np.eye(2)[np.repeat([0, 1], [hits, images - hits])][:, None]
    labels = np.zeros((images, 1), np.int64)
    (found, _), *_ = intervals_of(
        Predictions(scores, labels, schema_of(2), np.ones((1, 2), np.int64))
    ).recalls
    assert found is not None
    return found


def headlines(cases: int) -> None:
    """The best of M equal methods against the baseline among them; figures are independent."""
    print(f"\n{SEEDS} seeds, M methods that are equal: comparisons that claim a gain by the best, %")
    print("     M   uncorrected   corrected over M - 1")
    for methods in METHODS:
        shares = [false_gains(methods, cases, comparisons) for comparisons in (1, methods - 1)]
        print(f"{methods:>6}   {shares[0]:>11.1f}   {shares[1]:>20.1f}", flush=True)


def false_gains(methods: int, cases: int, comparisons: int) -> float:
    """In percent of the cases."""
    random, claimed = np.random.default_rng(2), 0
    for _ in range(cases):
        figures = random.normal(size=(methods, SEEDS))
        best = int(figures.mean(1).argmax())
        claimed += best > 0 and paired_difference(figures[best], figures[0], comparisons=comparisons).low > 0
    return 100 * claimed / cases


def other_images(cases: int) -> None:
    """Two classifiers trained and tested on anew split images, and their difference on other images."""
    print("\nseeds that split 300 images 70 to 30: intervals that hold the difference on other images, %")
    print(" seeds   as it is   with test / train")
    for seeds in (3, 5, 10):
        random = np.random.default_rng(3)
        pairs = [splits_of(drawn(random, 300), seeds, random) for _ in range(cases)]
        truth = float(np.mean([np.subtract(*pair) for pair in pairs]))
        found = [
            100 * np.mean([holds(paired_difference(*pair, test_to_train=r), truth) for pair in pairs])
            for r in (0.0, 3 / 7)
        ]
        print(f"{seeds:>6}   {found[0]:>8.1f}   {found[1]:>17.1f}", flush=True)


def drawn(random: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in ten dimensions of two classes, one of them a fifth of all."""
    labels = (random.random(images) < 0.2).astype(int)
    return random.normal(size=(images, 10)) * np.linspace(0.5, 2, 10) + 0.5 * labels[:, None], labels


def splits_of(
    data: tuple[np.ndarray, np.ndarray], seeds: int, random: np.random.Generator
) -> tuple[Sequence[float], Sequence[float]]:
    """Class-balanced accuracies of the nearest mean, in plain and in whitened space, for each seed."""
    points, labels = data
    figures: list[list[float]] = [[], []]
    for _ in range(seeds):
        order = random.permutation(len(labels))
        train, test = np.split(order, [7 * len(order) // 10])
        for row, scale in zip(figures, (1.0, points[train].std(0)), strict=True):
            x = points / scale
            means = np.stack([x[train][labels[train] == c].mean(0) for c in (0, 1)])
            nearest = ((x[test, None] - means) ** 2).sum(2).argmin(1)
            row.append(float(np.mean([(nearest[labels[test] == c] == c).mean() for c in (0, 1)])))
    return figures[0], figures[1]


def intervals_of(predictions: Predictions) -> Intervals:
    """Those of a split."""
    return intervals(predictions, evaluate(predictions))


def coverage(found: Sequence[Metrics[Estimate | None]], truth: Metrics[float], name: str) -> str:
    """'95.1 (12)': how often the true figure is held, and the mean width in points."""
    estimates = [one for figures in found if (one := figures.of(name)) is not None]
    held = np.mean([holds(one, truth.of(name)) for one in estimates])
    return f"{100 * held:.1f} ({100 * np.mean([one.high - one.low for one in estimates]):.0f})"


def holds(interval: Estimate, truth: float) -> bool:
    """Whether the truth lies in it."""
    return interval.low <= truth <= interval.high


def schema_of(classes: int) -> LabelSchema:
    """One attribute."""
    return LabelSchema((Attribute("a", tuple(f"c{c}" for c in range(classes))),))


if __name__ == "__main__":
    main()
