"""What the log-odds comparison adds to logit-adjusted cross entropy where a head shapes features.

    python benchmarks/log_odds.py clothing.zip:128x128 faces.zip:109x89 [--seeds 10] [--on test]
                                  [--weight 0.05] [--margin 1] [--kappa 25] [--steps 300] [--output FILE.json]

Each DATA:HxW is what `longtail train` reads and the size of its images. The vectors are lite0's, frozen,
from the cache or computed once: the mean over its last map. The head has a rectified layer of 256 for all
attributes. A seed splits the data (70, 10, 20 %), begins the head and draws the batches: they are the same
without and with the comparison. Prints the figures without it, and what it adds, with 95 % intervals of the
mean over seeds. Rare classes are the third of an attribute's classes with the fewest training images, as far
as they are below 10 %.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from longtail.data.dataset import Dataset
from longtail.data.splits import split_dataset
from longtail.evaluation.metrics import Predictions, evaluate
from longtail.features.cache import cache_folder
from longtail.features.vectors import BATCH, FixedNetwork, VectorLoader, open_cache
from longtail.images.load import ImageLoader
from longtail.losses.adjusted import adjusted_cross_entropy, log_prior
from longtail.models.backbones import EXPECTED
from longtail.models.head import AttributeHead
from longtail.models.lite0 import Lite0
from longtail.models.pretrained import of_lite0
from longtail.rectification import ClassRectificationLoss
from longtail.rectification.log_odds import log_odds
from longtail.runs.data import read_dataset
from longtail.runs.device import launch
from longtail.tables import count_table
from longtail.training.data_options import DataOptions
from longtail.training.inference import outputs_of

FIGURES = ("class-balanced accuracy", "mean average precision", "recall, rare", "average precision, rare")
HIDDEN, IMAGES, RATE, DECAY = 256, 128, 1e-3, 1e-2
SEEN = 1280
"""Numbers of a vector that are the mean over the last map: looks are left out."""

LENGTH = 8.0
"""Of every vector: about that of a random one that a linear layer is initialised for."""

SPLITS = (0.7, 0.1, 0.2)


@dataclass(frozen=True)
class Problem:
    """A data set as vectors."""

    name: str
    dataset: Dataset
    vectors: Tensor


def main() -> None:
    """Print two lines of figures for each data set."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--on", choices=("val", "test"), default="test")
    parser.add_argument("--weight", type=float, default=0.05)
    parser.add_argument("--margin", type=float, default=1.0)
    parser.add_argument("--kappa", type=int, default=25)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    crl = ClassRectificationLoss(comparison="log-odds", kappa=options.kappa, margin=options.margin)
    found: dict[str, dict[str, list[list[float]]]] = {}
    for problem in map(_problem, options.data):
        runs = {
            name: [
                figures(problem, seed, options.on, options.steps, crl, weight)
                for seed in range(options.seeds)
            ]
            for name, weight in (("alone", 0.0), ("with", options.weight))
        }
        _show(problem.name, np.array(runs["alone"]), np.array(runs["with"]))
        found[problem.name] = runs
    if options.output:
        settings = {name: value for name, value in vars(options).items() if name not in ("data", "output")}
        about = {
            "settings": settings,
            "figures": FIGURES,
            "torch": torch.__version__,
            "on": platform.machine(),
        }
        options.output.write_text(json.dumps(about | {"percent_by_seed": found}) + "\n", encoding="utf-8")


def figures(
    problem: Problem, seed: int, on: str, steps: int, crl: ClassRectificationLoss, weight: float
) -> list[float]:
    """`FIGURES` in percent of one training."""
    splits = split_dataset(problem.dataset, SPLITS, seed)
    schema, labels = problem.dataset.schema, torch.from_numpy(problem.dataset.labels)
    of_classes = problem.dataset.class_counts(splits.train)
    counts = count_table(of_classes).long().numpy()
    shift = log_prior(of_classes)
    torch.manual_seed(seed)
    head = AttributeHead(problem.vectors.shape[1], schema, HIDDEN, shared=True)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for rows in _batches(splits.train, steps, seed):
        logits, y = head(problem.vectors[rows]).logits, labels[rows]
        loss = adjusted_cross_entropy(logits, y, shift)
        if weight:
            loss = loss + weight * schema.num_attributes * crl(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    rows = splits.of(on)
    with torch.no_grad():
        scores = log_odds(head(problem.vectors[rows]).logits.double()).numpy()
    return _percent(Predictions(scores, problem.dataset.labels[rows], schema, counts))


def _problem(argument: str) -> Problem:
    path, _, size = argument.rpartition(":")
    height, width = map(int, size.split("x"))
    dataset = read_dataset(path, DataOptions())
    lite0 = Lite0()
    of_lite0().load_into(lite0, "lite0")
    network = FixedNetwork(lite0, EXPECTED["lite0"].mean, EXPECTED["lite0"].std, (height, width))
    images, fabric = ImageLoader(dataset, network.size), launch("cpu")

    def compute(rows: np.ndarray) -> Tensor:
        return outputs_of(fabric, network, images, network, rows, batch_size=BATCH)

    cache = open_cache(cache_folder(), network, lite0.out_features)
    vectors = VectorLoader(images, dataset, cache, compute).vectors(np.arange(len(dataset)))
    seen = torch.nn.functional.normalize(vectors[:, :SEEN], dim=1)
    return Problem(Path(path).stem, dataset, LENGTH * seen)


def _batches(rows: np.ndarray, steps: int, seed: int) -> Iterator[Tensor]:
    """Shuffled, epoch after epoch, without a rest."""
    generator, left = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(left) < IMAGES:
            left = torch.cat([left, torch.from_numpy(rows)[torch.randperm(len(rows), generator=generator)]])
        yield left[:IMAGES]
        left = left[IMAGES:]


def _percent(predictions: Predictions) -> list[float]:
    found = evaluate(predictions)
    rare = [_rare(counts[: len(a.recall)]) for a, counts in zip(found.attributes, predictions.train_counts)]
    recall = np.concatenate([a.recall[own] for a, own in zip(found.attributes, rare)])
    precision = np.concatenate([a.average_precision[own] for a, own in zip(found.attributes, rare)])
    means = (found.mean.class_balanced_accuracy, found.mean.mean_average_precision)
    return [100 * float(value) for value in (*means, np.nanmean(recall), np.nanmean(precision))]


def _rare(counts: np.ndarray) -> list[int]:
    trained = [c for c in np.argsort(counts, kind="stable").tolist() if counts[c] > 0]
    return [c for c in trained[: max(1, len(trained) // 3)] if counts[c] < 0.1 * counts.sum()]


def _show(name: str, alone: np.ndarray, other: np.ndarray) -> None:
    gain = other - alone
    half = student.ppf(0.975, len(gain) - 1) * gain.std(0, ddof=1) / math.sqrt(len(gain))
    for figure, base, mean, width in zip(FIGURES, alone.mean(0), gain.mean(0), half):
        print(
            f"{name}, {figure}: {base:.1f}, {mean:+.2f} [{mean - width:+.2f}, {mean + width:+.2f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
