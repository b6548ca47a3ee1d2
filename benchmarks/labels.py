"""Wrong labels planted into a data set: which rule finds them, and which clean images it flags on the way.

    python benchmarks/labels.py DATA --attribute A [--rate 0.05] [--seeds 3]

DATA is what `longtail train` reads; the labels that it comes with are taken as right. A share of them is
changed, in three ways:

- uniform: to a random other class
- confusion: to the class that a model confuses the true one with most
- frequency: to a random other class, each as likely as it is frequent

All rules see the same held-out probabilities, of a regression on the vectors of the pretrained network. As
many images are flagged as labels were changed, except by the rules that say themselves how many: `listed`,
which is the rule of `longtail diagnose --labels`, and the confident joint. Figures are in percent, means of
the seeds:

- AP: average precision of the changed labels in the order of the rule
- found: changed labels that are flagged
- rare, common: clean images that are flagged, of the classes up to the median number of images and above

The confident joint is our reading of its publication (Northcutt, Jiang, Chuang: Confident Learning, 2021). An
image counts as of class k if p_k is at least the mean of p_k over the images labelled k. The counts of
(label, class), scaled to the images of each label, say how many are flagged: those with the largest
p_k - p_label.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from longtail.diagnosing.labels import NUMBERS
from longtail.diagnosing.suspicion import SHARE, margins, suspicions
from longtail.features.held_out import HeldOut, held_out
from longtail.features.principal import principal
from longtail.runs.data import read_dataset
from longtail.runs.embedding import embed
from longtail.training.data_options import DataOptions
from longtail.training.watcher import Silent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

KINDS = ("uniform", "confusion", "frequency")


@dataclass(frozen=True, eq=False)
class Problem:
    """n images: their vectors, labels, groups, and how many classes there are."""

    vectors: NDArray[np.float32]
    labels: Ints
    units: Ints
    classes: int


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a rule makes of n labels: an order, and flags where it says itself how many."""

    order: Floats
    flags: Flags | None = None


Rule = Callable[[HeldOut, Ints], Verdict]


def main() -> None:
    """Print a table of kinds of noise and rules."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data")
    parser.add_argument("--attribute", required=True)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    problem = read(options.data, options.attribute)
    began = time.process_time()
    clean = judged(problem, problem.labels, 0)
    print(
        f"{len(problem.labels)} images, {problem.classes} classes: one pass over the folds takes "
        f"{time.process_time() - began:.1f} s of CPU time"
    )
    found = {
        kind: [trial(problem, clean, kind, options.rate, seed) for seed in range(options.seeds)]
        for kind in KINDS
    }
    show({kind: mean_of(trials) for kind, trials in found.items()})


def read(data: str, attribute: str) -> Problem:
    """The labelled images of an attribute."""
    dataset = read_dataset(data, DataOptions(attributes=(attribute,)))
    found = embed(dataset, Silent())
    known = dataset.labels[found.rows, 0] >= 0
    rows = found.rows[known]
    vectors = found.vectors / np.maximum(np.linalg.norm(found.vectors, axis=1, keepdims=True), 1e-30)
    units = rows if dataset.groups is None else dataset.groups[rows]
    x = principal(vectors, NUMBERS)[known]
    return Problem(x, dataset.labels[rows, 0], units, dataset.schema.num_classes[0])


def judged(problem: Problem, labels: Ints, seed: int) -> HeldOut:
    """Held-out probabilities under given labels."""
    return held_out(problem.vectors, labels, problem.units, problem.classes, seed=seed)


def planted(problem: Problem, clean: HeldOut, kind: str, rate: float, seed: int) -> Ints:
    """The labels, a share of them changed."""
    generator, labels = np.random.default_rng(seed), problem.labels.copy()
    shares = np.bincount(problem.labels, minlength=problem.classes) / len(labels)
    used, p = shares > 0, np.exp(clean.log_p)
    for row in generator.permutation(len(labels))[: round(rate * len(labels))].tolist():
        true = problem.labels[row]
        weights = {
            "uniform": used * 1.0,
            "confusion": p[problem.labels == true].mean(0),
            "frequency": shares.copy(),
        }[kind]
        weights[true] = 0
        sure = kind == "confusion"
        labels[row] = weights.argmax() if sure else generator.choice(len(weights), p=weights / weights.sum())
    return labels


def confidence(found: HeldOut, labels: Ints) -> Verdict:
    """1 - p of the label."""
    return Verdict(-found.log_p[np.arange(len(labels)), labels])


def without_prior(found: HeldOut, labels: Ints) -> Verdict:
    """1 - q of the label, q the probabilities if all classes were equally frequent."""
    return Verdict(-_without_prior(found)[np.arange(len(labels)), labels])


def margin(found: HeldOut, labels: Ints) -> Verdict:
    """The largest probability of another class, less that of the label."""
    p, each = np.exp(found.log_p), np.arange(len(labels))
    own = p[each, labels].copy()
    p[each, labels] = -1
    return Verdict(p.max(1) - own)


def log_margin(tau: float) -> Rule:
    """margin_τ of `longtail.diagnosing.suspicion`."""
    return lambda found, labels: Verdict(_last(margins(found, labels, tau)[0]))


def rank_in_class(found: HeldOut, labels: Ints) -> Verdict:
    """The place of 1 - p among the images of the label, as a share of them."""
    doubt, place = -found.log_p[np.arange(len(labels)), labels], np.zeros(len(labels))
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        place[rows[np.argsort(doubt[rows], kind="stable")]] = (np.arange(len(rows)) + 1) / len(rows)
    return Verdict(place)


def quota(found: HeldOut, labels: Ints) -> Verdict:
    """margin_½, of each class the first 5 %."""
    order = _last(margins(found, labels, 0.5)[0])
    flags = np.zeros(len(labels), np.bool_)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        flags[rows[np.argsort(-order[rows], kind="stable")[: int(np.ceil(SHARE * len(rows)))]]] = True
    return Verdict(order, flags)


def listed(found: HeldOut, labels: Ints) -> Verdict:
    """What `longtail diagnose --labels` lists, in its order."""
    flags = np.zeros(len(labels), np.bool_)
    flags[suspicions(found, labels).listed] = True
    return Verdict(_last(margins(found, labels, 0.5)[0]), flags)


def confident_joint(found: HeldOut, labels: Ints) -> Verdict:
    """See the module; in the order of 1 - p."""
    p, classes = np.exp(found.log_p), found.log_p.shape[1]
    means = [p[labels == k, k].mean() if (labels == k).any() else 2.0 for k in range(classes)]
    enough = p >= np.array(means)
    other, counted = np.where(enough, p, -1).argmax(1), enough.any(1)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted], other[counted]), 1)
    joint *= (np.bincount(labels, minlength=classes) / np.maximum(joint.sum(1), 1))[:, None]
    flags = np.zeros(len(labels), np.bool_)
    for given, true in np.argwhere(joint.round() > 0).tolist():
        if given != true:
            rows = np.flatnonzero(labels == given)
            first = np.argsort(p[rows, given] - p[rows, true], kind="stable")
            flags[rows[first[: round(joint[given, true])]]] = True
    return Verdict(-found.log_p[np.arange(len(labels)), labels], flags & (p.argmax(1) != labels))


RULES: dict[str, Rule] = {
    "confidence": confidence,
    "without prior": without_prior,
    "margin": margin,
    "margin_0": log_margin(0),
    "margin_½": log_margin(0.5),
    "margin_1": log_margin(1),
    "rank in class": rank_in_class,
    "5 % of a class": quota,
    "listed": listed,
    "confident joint": confident_joint,
}


def trial(problem: Problem, clean: HeldOut, kind: str, rate: float, seed: int) -> dict[str, list[float]]:
    """By rule: AP, found, rare and common in percent."""
    labels = planted(problem, clean, kind, rate, seed)
    wrong, found = labels != problem.labels, judged(problem, labels, seed)
    counts = np.bincount(problem.labels, minlength=problem.classes)
    rare = (counts <= np.median(counts[counts > 0]))[problem.labels]
    rows: dict[str, list[float]] = {}
    for name, rule in RULES.items():
        verdict = rule(found, labels)
        flags = verdict.flags
        if flags is None:
            flags = np.zeros(len(labels), np.bool_)
            flags[np.argsort(-verdict.order, kind="stable")[: wrong.sum()]] = True
        shares = (flags[wrong], flags[~wrong & rare], flags[~wrong & ~rare])
        precision = average_precision(verdict.order, wrong)
        rows[name] = [100 * precision, *(100 * float(own.mean()) for own in shares)]
    return rows


def average_precision(order: Floats, wrong: Flags) -> float:
    """Mean of the precision at each wrong label."""
    sorted_wrong = wrong[np.argsort(-order, kind="stable")]
    return float((np.cumsum(sorted_wrong) / np.arange(1, len(wrong) + 1))[sorted_wrong].mean())


def mean_of(trials: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """The same, over the seeds."""
    return {name: np.mean([own[name] for own in trials], 0).tolist() for name in RULES}


def show(found: dict[str, dict[str, list[float]]]) -> None:
    """A table in Markdown."""
    print("| rule | " + " | ".join(f"{kind}: AP | found | rare | common" for kind in KINDS) + " |")
    print("|---|" + "---|" * (4 * len(KINDS)))
    for name in RULES:
        cells = (f"{value:.1f}" for kind in KINDS for value in found[kind][name])
        print(f"| {name} | " + " | ".join(cells) + " |")


def _without_prior(found: HeldOut) -> Floats:
    seen = found.shares > 0
    q = np.where(seen, np.exp(found.log_p) / np.where(seen, found.shares, 1), 0)
    return q / q.sum(1, keepdims=True)


def _last(order: Floats) -> Floats:
    """Labels that were not judged come last."""
    return np.where(np.isnan(order), -np.inf, order)


if __name__ == "__main__":
    main()
