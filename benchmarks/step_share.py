"""What rectification adds to a training step, measured side by side in one run.

    python benchmarks/step_share.py [--threads 1] [--repeats 15] [--output benchmarks/results/step_share.json]

For each shape, whole steps (forward, loss, backward, update) with cross entropy and with CRL at both
levels take turns on the same network and the same random images; reported is the median of each and
its ratio to cross entropy. Absolute times mean little; the ratios are what to read.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from longtail.data.dataset import Batch
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard

SHAPES = {
    "resnet32, 1 attribute of 10 classes, 32x32": ("resnet32", [10], (32, 32)),
    "convnet, 1 attribute of 12 classes, 40x24": ("convnet", [12], (40, 24)),
    "convnet, 7 attributes of 3 to 61 classes, 48x48": ("convnet", [5, 3, 23, 61, 42, 4, 6], (48, 48)),
    "resnet18, 40 attributes of 2 classes, 64x64": ("resnet18", [2] * 40, (64, 64)),
}
METHODS = {
    "ce": ("ce", CRLOptions()),
    "crl-class": ("crl", CRLOptions(level="class")),
    "crl-instance": ("crl", CRLOptions(level="instance")),
}
BATCH = 128
RATIO = 100


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shapes = {name: measure(*shape, options.repeats) for name, shape in SHAPES.items()}
    for name, medians in shapes.items():
        ratios = ", ".join(f"{method} {medians[method] / medians['ce']:.3f}" for method in METHODS)
        print(f"{name}: step of {BATCH} images, relative to cross entropy: {ratios}")
    if options.output:
        content = {
            "command": f"python benchmarks/step_share.py --repeats {options.repeats}",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} threads",
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "median_seconds": shapes,
        }
        options.output.write_text(json.dumps(content, indent=2) + "\n")


def measure(backbone: str, classes: list[int], size: tuple[int, int], repeats: int) -> dict[str, float]:
    """Median seconds of a step with each method; the methods take turns."""
    steps = {name: make_step(backbone, classes, size, *method) for name, method in METHODS.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if repeat >= 2:  # the first two warm up
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def make_step(
    backbone: str, classes: list[int], size: tuple[int, int], name: str, crl: CRLOptions
) -> Callable[[], None]:
    """One training step on long-tailed random labels."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    schema = LabelSchema(tuple(Attribute(f"a{j}", tuple(map(str, range(k)))) for j, k in enumerate(classes)))
    tails = [RATIO ** (-np.arange(k) / (k - 1)) for k in classes]
    labels = np.stack([generator.choice(k, BATCH, p=tail / tail.sum()) for k, tail in zip(classes, tails)], 1)
    counts = [np.bincount(column, minlength=k).tolist() for column, k in zip(labels.T, classes)]
    learner = ModelCard(
        schema=schema,
        class_counts=counts,
        images=BATCH,
        backbone=backbone,
        features=64,
        hidden=0,
        shared_feature=False,
        image_size=size,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        method=name,
        method_options=MethodOptions(crl=crl),
    ).build()
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.01, momentum=0.9)
    batch = Batch(torch.randn(BATCH, 3, *size), torch.from_numpy(labels), torch.arange(BATCH))

    def step() -> None:
        terms, _ = learner(batch.images, batch.labels, batch.index)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
