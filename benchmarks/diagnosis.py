"""What class rectification does during a training: which classes it sees, and how hard it pulls.

    python benchmarks/diagnosis.py DATA [--image-size 32] [--epochs 6] [--tail-ratio 100] [--sweep 3]
                                   [--output benchmarks/results/diagnosis-NAME.json]
                                   [--pictures docs/pictures]

Four trainings are watched: cross entropy, the poster's form at class and at instance level, and the
recipe `crl`. Of every class of the most imbalanced attribute:

* how often it is in a batch as a minority that is rectified, as a minority with one image (which has no
  positive pair and is skipped), as a majority, or not at all;
* the norm of the gradient that cross entropy and rectification each send into the backbone's vector of one of
  its images, over the training;
* where its validation images sit: how many the classifier finds, and how many are nearest to the mean feature
  of their own class in training, which asks the features alone;
* validation images of the rarest classes in the plane (t-SNE).

With `--sweep SEEDS`, settings of the recipe's loss are changed one at a time, and what validation images say
of each is kept. Nothing here looks at a test image.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from longtail.comparing.feature_map import in_the_plane
from longtail.data.dataset import Batch
from longtail.evaluation.metrics import Evaluation, evaluate
from longtail.files import write_text
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.rectification.profiling import profile_minorities
from longtail.runs.beginning import begin
from longtail.runs.data import Data
from longtail.runs.device import launch
from longtail.runs.evaluate import predictions_of
from longtail.runs.folder import RunFolder
from longtail.runs.preparation import prepare_data, prepare_training
from longtail.runs.reading import read_and_split
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions
from longtail.training.fit import fit
from longtail.training.journal import Journal
from longtail.training.learner import Learner
from longtail.training.watcher import Silent

Json = dict[str, Any]

WATCHED: dict[str, tuple[str, MethodOptions]] = {
    "cross entropy": ("ce", MethodOptions()),
    "poster, class level": ("crl-iccv", MethodOptions(crl=CRLOptions(level="class"))),
    "poster, instance level": ("crl-iccv", MethodOptions(crl=CRLOptions(level="instance"))),
    "recipe": ("crl", MethodOptions()),
}

CHANGES: dict[str, Json] = {
    "as it is": {},
    "κ 1": {"kappa": 1},
    "κ 5": {"kappa": 5},
    "ρ 0.3": {"rho": 0.3},
    "ρ 0.7": {"rho": 0.7},
    "margin 0.2": {"margin": 0.2},
    "margin 1": {"margin": 1.0},
    "features as they are": {"raw_features": True},
    "absolute": {"comparison": "absolute"},
    "distribution, 11 nodes": {"comparison": "distribution", "nodes": 11},
    "distribution, 101 nodes": {"comparison": "distribution", "nodes": 101},
    "weight 0.05": {"weight": 0.05},
    "weight 0.5": {"weight": 0.5},
    "class level": {"level": "class"},
    "from half of the training on": {"start": 0.5},
    "in the first half alone": {"end": 0.5},
    "without": {"end": 0.0},
    "batches of 64": {"batch_size": 64},
    "batches of 256": {"batch_size": 256},
}
"""Of the recipe: settings of `CRLOptions`, and when the loss counts, as shares of the training."""

FIGURES = ("class_balanced_accuracy", "mean_average_precision", "accuracy")
EVERY = 4
"""Gradients are taken in one of so many steps."""

PARTS = 12
"""The training is shown in so many parts."""

FEW = 6
"""Rarest classes that are shown in the plane."""

KINDS = {"absent": "#e8e8e8", "single": "#e0a030", "rectified": "#2060a0", "majority": "#a0a0a0"}
KIND_NAMES = {
    "absent": "not in the batch",
    "single": "minority, one image",
    "rectified": "minority, rectified",
    "majority": "majority",
}
"""What a class can be in a batch."""


class Noting(Learner):
    """A learner that notes what rectification sees in every batch, and how hard the terms pull.

    Args:
        learner: its model and method are used.
        attribute: j, whose classes are looked at.
        num_classes: of that attribute.
        steps: of the training.
    """

    def __init__(self, learner: Learner, attribute: int, num_classes: int, steps: int) -> None:
        mean, std = learner.mean.tolist(), learner.std.tolist()
        super().__init__(learner.model, learner.method, mean, std, learner.images)
        self.attribute, self.num_classes, self.steps = attribute, num_classes, steps
        self.step = 0
        self.seen = np.zeros((num_classes, len(KINDS)), dtype=np.int64)
        self.drawn = np.zeros((PARTS, num_classes))
        self.norms = {name: np.zeros((PARTS, num_classes)) for name in ("ce", "crl")}

    def forward(
        self, images: Tensor, labels: Tensor, index: Tensor, task: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        output = self.model(images)
        losses = self.method.loss(output, Batch(images, labels, index, task))
        self._count(labels)
        if self.step % EVERY == 0:
            self._pull(losses.terms, output.vector, labels)
        self.step += 1
        return dict(losses.terms), {}

    def _count(self, labels: Tensor) -> None:
        found = profile_minorities(labels[:, self.attribute, None], self.num_classes, CRLOptions().rho)
        absent = found.counts[0] == 0
        kinds = (absent, found.skipped[0], found.kept[0], ~absent & ~found.skipped[0] & ~found.kept[0])
        self.seen += torch.stack(kinds, 1).numpy()

    def _pull(self, terms: Mapping[str, Tensor], vector: Tensor | None, labels: Tensor) -> None:
        assert vector is not None
        part = PARTS * self.step // self.steps
        own = labels[:, self.attribute]
        labelled = own >= 0
        np.add.at(self.drawn[part], own[labelled].numpy(), 1)
        for name, term in terms.items():
            (pull,) = torch.autograd.grad(term, vector, retain_graph=True)
            norms = pull.float().norm(dim=1)
            np.add.at(self.norms[name][part], own[labelled].numpy(), norms[labelled].numpy())

    def noted(self) -> Json:
        """Shares of the batches, and mean norms for every part of the training and class."""
        images = np.where(self.drawn > 0, self.drawn, np.nan)
        shares = _rounded(self.seen / self.step).T.tolist()
        return {
            "batches": dict(zip(KINDS, shares)),
            "gradient": {name: _rounded(total / images).tolist() for name, total in self.norms.items()},
        }


class Partly(Learner):
    """A learner whose rectification counts from one share of the training to another.

    Args:
        learner: its model and method are used.
        steps: of the training.
        start, end: shares of the training.
    """

    def __init__(self, learner: Learner, steps: int, start: float, end: float) -> None:
        mean, std = learner.mean.tolist(), learner.std.tolist()
        super().__init__(learner.model, learner.method, mean, std, learner.images)
        self.steps, self.start, self.end = steps, start, end
        self.step = 0

    def forward(
        self, images: Tensor, labels: Tensor, index: Tensor, task: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        losses, facts = super().forward(images, labels, index, task)
        counts = self.start <= self.step / self.steps < self.end
        self.step += 1
        return {name: term for name, term in losses.items() if counts or name != "crl"}, facts


class Training:
    """One training of `longtail train`, without its files.

    Args:
        config: of the run; its learner is built at once.
        data: that it is trained on.
    """

    def __init__(self, config: TrainConfig, data: Data) -> None:
        fabric, folder = _fabric(config.precision), RunFolder(Path("nowhere"))
        prepared = prepare_training(fabric, config, begin(config), data, folder, Silent())
        self.run, self.feed = prepared.run, prepared.feed
        self.steps = config.planned_epochs * self.feed.sampler.steps(0)

    def train(self, learner: Learner) -> None:
        """Train the model of a learner, which is the run's or one around it."""
        run = self.run
        fit(learner, run.config, self.feed, Journal())

    def judged(self) -> Evaluation:
        """Figures on validation images by the learner's own decision."""
        run, rows = self.run, self.run.data.splits.val
        return evaluate(predictions_of(run, run.data.dataset, rows, run.scores(rows)))

    def unit_features(self, j: int, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Features at unit length and labels of the rows whose attribute j is labelled."""
        labels = self.run.data.dataset.labels[rows, j]
        rows, labels = rows[labels >= 0], labels[labels >= 0]
        found = self.run.features(rows)
        return normalize(found[:, min(j, found.shape[1] - 1)], dim=1).numpy(), labels


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    tail = {} if options.tail_ratio is None else {"tail_ratio": options.tail_ratio}
    config = TrainConfig(
        data=str(options.data),
        method="crl",
        epochs=options.epochs,
        image_size=options.image_size,
        backbone="convnet",
        precision="bf16" if options.bf16 else "32",
        data_options=DataOptions(val_share=0.15, **tail),
    )
    data = prepare_data(
        _fabric(config.precision), config, begin(config), *read_and_split(config, Silent()), Silent()
    )
    counts = data.training().class_counts
    ratios = [max(own) / min(n for n in own if n) for own in counts]
    j = ratios.index(max(ratios))
    attribute = data.dataset.schema.attributes[j]
    document: Json = {
        "command": _command(options),
        "machine": f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}",
        "data": options.data.stem,
        "attribute": attribute.name,
        "classes": list(attribute.classes),
        "counts": counts[j],
        "watched": {},
    }
    for name, (method, method_options) in WATCHED.items():
        own = replace(config, method=method, method_options=method_options)
        document["watched"][name] = found = watch(Training(own, data), j)
        print(name, found["figures"], flush=True)
    if options.sweep:
        document["sweep"] = sweep(config, options.sweep)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.output, json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
    if options.pictures:
        draw(document, options.pictures)


@cache
def _fabric(precision: str) -> Fabric:
    return launch("cpu", 1, precision)


def watch(training: Training, j: int) -> Json:
    """Train once and note what happens to the classes of attribute j."""
    data = training.run.data
    noting = Noting(training.run.learner, j, data.dataset.schema.num_classes[j], training.steps)
    training.train(noting)
    found = training.judged()
    features, labels = training.unit_features(j, data.splits.val)
    known = training.unit_features(j, data.splits.train)
    return {
        **noting.noted(),
        "figures": figures_of(found),
        "recall": _rounded(found.attributes[j].recall).tolist(),
        "nearest_mean": nearest_mean(*known, features, labels, noting.num_classes),
        "plane": plane(features, labels, data.training().class_counts[j]),
    }


def figures_of(found: Evaluation) -> dict[str, float]:
    """The figures that are shown."""
    return {name: round(float(found.mean.of(name)), 4) for name in FIGURES}


def nearest_mean(
    known: NDArray[np.float32],
    known_labels: NDArray[np.int64],
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    num_classes: int,
) -> list[float | None]:
    """Recall of the classes where the nearest mean of training images decides; None without an image."""
    classes = np.unique(known_labels)
    means = np.stack([known[known_labels == k].mean(0) for k in classes])
    decided = classes[((features[:, None] - means) ** 2).sum(2).argmin(1)]
    return [
        round(float((decided[labels == k] == k).mean()), 4) if (labels == k).any() else None
        for k in range(num_classes)
    ]


def plane(features: NDArray[np.float32], labels: NDArray[np.int64], counts: list[int]) -> Json:
    """Images of the rarest classes that have five of them, in the plane."""
    order = [k for k in np.argsort(counts, kind="stable") if (labels == k).sum() >= 5][:FEW]
    chosen = np.isin(labels, order)
    return {"labels": labels[chosen].tolist(), "points": in_the_plane(features[chosen]).round(1).tolist()}


def sweep(config: TrainConfig, seeds: int) -> Json:
    """Figures on validation images with one setting changed at a time, the same seeds for all."""
    found: Json = {change: [] for change in CHANGES}
    for seed in range(100, 100 + seeds):
        seeded = replace(config, seed=seed)
        splits = read_and_split(seeded, Silent())
        data = prepare_data(_fabric(seeded.precision), seeded, begin(seeded), *splits, Silent())
        for change, settings in CHANGES.items():
            figures = changed(seeded, data, dict(settings))
            found[change].append(figures)
            print(f"seed {seed}, {change}: {figures}", flush=True)
    return found


def changed(config: TrainConfig, data: Data, settings: Json) -> dict[str, float]:
    """Figures of one training of the recipe with some settings changed."""
    start, end = settings.pop("start", 0.0), settings.pop("end", 1.0)
    config = replace(config, batch_size=settings.pop("batch_size", config.batch_size))
    training = Training(replace(config, method_options=MethodOptions(crl=CRLOptions(**settings))), data)
    training.train(Partly(training.run.learner, training.steps, start, end))
    return figures_of(training.judged())


def draw(document: Json, folder: Path) -> None:
    """The pictures of a document, one file each: batches, gradients, features."""
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        for what, paint in (("batches", _batches), ("gradients", _gradients), ("features", _features)):
            figure = paint(document)
            figure.savefig(folder / f"diagnosis-{document['data']}-{what}.png", dpi=110)
            plt.close(figure)


def _order(document: Json) -> tuple[list[int], list[str]]:
    """Classes that have training images, the largest first, and their names with their sizes."""
    counts = document["counts"]
    order = [k for k in sorted(range(len(counts)), key=lambda k: -counts[k]) if counts[k]]
    return order, [f"{document['classes'][k]} ({counts[k]})" for k in order]


def _batches(document: Json) -> Figure:
    order, names = _order(document)
    shown = {"plain batches": "cross entropy", "square-root sampling": "recipe"}
    figure, panels = plt.subplots(
        1, 2, sharey=True, figsize=(8, 0.9 + 0.2 * len(order)), layout="constrained"
    )
    for axes, (title, name) in zip(panels, shown.items()):
        left = np.zeros(len(order))
        for kind, colour in KINDS.items():
            share = np.array(document["watched"][name]["batches"][kind])[order]
            axes.barh(range(len(order)), share, left=left, color=colour, label=KIND_NAMES[kind])
            left += share
        axes.set(title=title, xlim=(0, 1), xlabel="share of the batches", yticks=range(len(order)))
        axes.set_yticklabels(names)
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _gradients(document: Json) -> Figure:
    order, names = _order(document)
    watched = {name: found for name, found in document["watched"].items() if name != "cross entropy"}
    size = (9, 1.0 + 0.2 * len(order))
    figure, panels = plt.subplots(1, 3, sharey=True, figsize=size, layout="constrained")
    for axes, (name, found) in zip(panels, watched.items()):
        ce, crl = (np.array(found["gradient"][term], dtype=float)[:, order].T for term in ("ce", "crl"))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log10(crl / ce)
        image = axes.imshow(
            ratio, aspect="auto", cmap="PuOr_r", vmin=-2, vmax=2, extent=(0, 1, len(order), 0)
        )
        axes.set_facecolor("0.85")  # no image of that class then
        axes.set(title=name, xlabel="share of the training", yticks=np.arange(len(order)) + 0.5)
        axes.set_yticklabels(names)
    bar = figure.colorbar(image, ax=panels, label="gradient of rectification : of cross entropy")
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["≤ 0.01", "0.1", "1", "10", "≥ 100"])
    return figure


def _features(document: Json) -> Figure:
    order, names = _order(document)
    names = [name if len(name) < 24 else name[:22] + "…" for name in names]
    watched = document["watched"]
    figure = plt.figure(figsize=(9, 3.2 + 0.18 * len(order)), layout="constrained")
    grid = figure.add_gridspec(2, len(watched), height_ratios=[0.18 * len(order) + 0.5, 2.2])
    for i, (name, found) in enumerate(watched.items()):
        axes = figure.add_subplot(grid[0, i])
        values = [np.array(found[what], dtype=float)[order] for what in ("recall", "nearest_mean")]
        for y, pair in enumerate(zip(*values)):
            axes.plot(pair, (y, y), color="0.8", zorder=0)
        axes.scatter(values[0], range(len(order)), s=14, color="#c05020", label="classifier")
        axes.scatter(values[1], range(len(order)), s=14, color="#2060a0", label="nearest class mean")
        axes.set(title=name, xlim=(-0.05, 1.05), xlabel="recall", yticks=range(len(order)))
        axes.set_yticklabels(names if i == 0 else [])
        axes.invert_yaxis()
        if i == 0:
            handles = axes.get_legend_handles_labels()
        plane_axes = figure.add_subplot(grid[1, i], xticks=[], yticks=[])
        labels, points = np.array(found["plane"]["labels"]), np.array(found["plane"]["points"])
        for c, k in enumerate(sorted(set(labels.tolist()), key=lambda k: document["counts"][k])):
            own = points[labels == k]
            plane_axes.scatter(*own.T, s=6, color=f"C{c}", label=document["classes"][k])
        if i == len(watched) - 1:
            classes = plane_axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2, frameon=False)
    figure.legend(*classes, loc="outside lower center", ncols=FEW, frameon=False, markerscale=2)
    return figure


def _rounded(values: NDArray[np.float64]) -> NDArray[np.object_]:
    """Four significant digits, None for NaN."""
    return np.array([None if np.isnan(v) else float(f"{v:.4g}") for v in values.flat], object).reshape(
        values.shape
    )


def _options() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--image-size", default="32")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--tail-ratio", type=float)
    parser.add_argument("--sweep", type=int, default=0, help="seeds of the sweep")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="half precision, for processors that have it")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder")
    return parser.parse_args()


def _command(options: argparse.Namespace) -> str:
    tail = "" if options.tail_ratio is None else f" --tail-ratio {options.tail_ratio:g}"
    sweep = f" --sweep {options.sweep}" if options.sweep else ""
    return (
        f"python benchmarks/diagnosis.py {options.data.name} --image-size {options.image_size} "
        f"--epochs {options.epochs}{tail}{sweep}{' --bf16' if options.bf16 else ''}"
    )


if __name__ == "__main__":
    main()
