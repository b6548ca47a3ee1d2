"""What calibration, prediction sets and thresholds give on new images: a run's held-out images, 20 splits.

    python benchmarks/trust.py RUN

The run's validation and test images are put together and split again as they were, by image; each time all is
found on the one part and looked at on the other. The network is never trained again.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from longtail.decisions.sets import smallest_typical
from longtail.decisions.temperature import tempered
from longtail.decisions.thresholds import ANALYTIC, Aim, Threshold, tuned_threshold
from longtail.evaluation.trust import reliability, set_results, threshold_results
from longtail.runs.calibration import Calibration, Frequencies
from longtail.runs.run import Run

SPLITS, COVERAGE = 20, 0.9
POSITIVES = (10, 20, 50, 100, 200)
"""Where groups of attributes part, by validation images of the rarer class."""

Floats = NDArray[np.float64]


Part = tuple[torch.Tensor, ...]
"""Scores before their temperature and labels, of images to find with, then of new ones."""


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    warnings.filterwarnings("ignore", "Mean of empty slice")  # no such class
    run = Run.open(parser.parse_args().run, "cpu")
    torch.set_num_threads(1)
    rows = np.concatenate([run.data.splits.val, run.data.splits.test])
    scores, labels = run.plain_scores(rows), torch.from_numpy(run.data.dataset.labels[rows])
    parts = list(_splits(scores, labels, len(run.data.splits.val)))
    counts = run.frequencies
    few = [np.array(own) < run.config.few_below for own in run.card.class_counts]
    if len(few) <= 5:
        _calibration(parts, counts, few)
        _coverage(parts, counts, few)
    _thresholds(parts, counts)


def _splits(scores: torch.Tensor, labels: torch.Tensor, validation: int) -> Iterator[Part]:
    for seed in range(SPLITS):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(scores)))
        found, new = order[:validation], order[validation:]
        yield scores[found], labels[found], scores[new], labels[new]


def _calibration(parts: list[Part], counts: Frequencies, few: list[NDArray[np.bool_]]) -> None:
    print("calibration error in percent, mean of the splits: before, after, after of rare classes")
    for j, attribute in enumerate(counts.schema.attributes):
        rows: list[tuple[float, ...]] = []
        for scores, labels, new, new_labels in parts:
            known = Calibration.of(scores, labels, counts)
            after = tempered(new, known.temperature)
            own = new_labels[:, j] >= 0
            weights = counts.weights(new_labels[own, j], j).numpy()
            both = [
                reliability(
                    each[own, j, : len(few[j])].double().numpy(), new_labels[own, j].numpy(), weights, few[j]
                )
                for each in (new, after)
            ]
            errors = both[0].error, both[1].error, both[1].few_error
            rows.append((float(known.temperature[j]), *(100 * (np.nan if e is None else e) for e in errors)))
        mean = np.nanmean(rows, 0)
        print(f"  {attribute.name}: temperature {mean[0]:.2f}, {mean[1]:.1f}, {mean[2]:.1f}, {mean[3]:.1f}")


def _coverage(parts: list[Part], counts: Frequencies, few: list[NDArray[np.bool_]]) -> None:
    print(f"prediction sets at {COVERAGE}: covered (least, most), by class, rare classes, classes in a set")

    def typical(scores: torch.Tensor, _: Calibration) -> torch.Tensor:
        return counts.typicality(scores)

    def plain(scores: torch.Tensor, _: Calibration) -> torch.Tensor:
        """Probabilities where classes are as frequent as in training, which plain conformal sets go by."""
        return counts.typicality(scores) * counts.shares.to(scores)

    for name, score in (("by typicality", typical), ("by probability", plain)):
        for j, attribute in enumerate(counts.schema.attributes):
            rows = [_covered(part, counts, few[j], j, score) for part in parts]
            covered, size = [row[0] for row in rows], parts[0][2].shape[0]
            mean = np.nanmean(rows, 0)
            bound = 1.96 * np.sqrt(COVERAGE * (1 - COVERAGE) * (1 / size + 1 / len(parts[0][0])))
            inside = np.mean(np.abs(np.array(covered) / 100 - COVERAGE) <= bound)
            print(
                f"  {name}, {attribute.name}: {mean[0]:.1f} ({min(covered):.1f}, {max(covered):.1f}; "
                f"{100 * inside:.0f} % of the splits within {100 * bound:.1f}), "
                f"{mean[1]:.1f}, {mean[2]:.1f}, {mean[3]:.2f}"
            )


def _covered(
    part: Part,
    counts: Frequencies,
    few: NDArray[np.bool_],
    j: int,
    score: Callable[[torch.Tensor, Calibration], torch.Tensor],
) -> tuple[float, ...]:
    scores, labels, new, new_labels = part
    known = Calibration.of(scores, labels, counts)
    found, other = (score(tempered(each, known.temperature), known)[:, j] for each in (scores, new))
    own, new_own = labels[:, j] >= 0, new_labels[:, j] >= 0
    true = found[own].gather(1, labels[own, j][:, None])[:, 0]
    members = (other[new_own, : len(few)] >= smallest_typical(true, COVERAGE)).numpy()
    result = set_results(members, new_labels[new_own, j].numpy(), COVERAGE, few)
    shares = (result.covered, result.class_balanced, result.few)
    return *(100 * (np.nan if s is None else s) for s in shares), result.mean_size or 0.0


def _thresholds(parts: list[Part], counts: Frequencies) -> None:
    """Thresholds tuned however few images there are, against the analytic one."""
    two = [j for j in range(counts.schema.num_attributes) if counts.rare(j) is not None]
    if not two:
        return
    print("thresholds tuned however few images, less the analytic one, points: on their images / on new ones")
    gains: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for scores, labels, new, new_labels in parts:
        for j in two:
            rare = counts.rare(j) or 0
            own, new_own = labels[:, j] >= 0, new_labels[:, j] >= 0
            positive = labels[own, j] == rare
            if not 2 <= int(positive.sum()) < len(positive):
                continue
            for name in ("balanced", "f1"):
                aim = Aim.of(name)
                value = tuned_threshold(scores[own, j, rare], positive, aim) or ANALYTIC
                both = [
                    _gain(
                        each[rows, j, :2].double().numpy(),
                        truth[rows, j].numpy(),
                        Threshold(rare, value, 0),
                        name,
                    )
                    for each, truth, rows in ((scores, labels, own), (new, new_labels, new_own))
                ]
                group = sum(int(positive.sum()) >= least for least in POSITIVES)
                gains.setdefault((group, name), []).append((both[0], both[1]))
    for (group, name), rows in sorted(gains.items()):
        least = POSITIVES[group - 1] if group else 2
        most = f" to {POSITIVES[group] - 1}" if group < len(POSITIVES) else " and more"
        tuned, fresh = np.nanmean(rows, 0)
        print(
            f"  {name}, {least}{most} images of the rarer class: "
            f"{tuned:+.1f} / {fresh:+.1f} ({len(rows)} cases)"
        )


def _gain(scores: Floats, labels: NDArray[np.int64], threshold: Threshold, aim: str) -> float:
    found = threshold_results(scores, labels, threshold, aim, ("", ""))
    name = "class_balanced_accuracy" if aim == "balanced" else aim
    tuned, analytic = getattr(found.tuned, name), getattr(found.analytic, name)
    return np.nan if tuned is None or analytic is None else 100 * (tuned - analytic)


if __name__ == "__main__":
    main()
