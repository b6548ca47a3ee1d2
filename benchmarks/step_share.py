"""What rectification adds to a training step, measured side by side in one run.

    python benchmarks/step_share.py [--threads 1] [--repeats 15] [--quick] [--device cuda]
                                    [--output benchmarks/results/step_share.json]

For each network, whole steps (forward, loss, backward, update) with CRL ("ours") and with cross entropy take
turns on the same random images and long-tailed random labels. Read how many times as long the step with cross
entropy takes: 0.98 means that rectification adds two per cent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import OURS, case, results, show, take_turns, write

from longtail.data.dataset import Batch
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.methods.recipe import recipe
from longtail.runs.device import keep_freed_memory
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard

SHAPES = {
    "resnet32, 1 attribute of 100 classes, 32x32": ("resnet32", [100], (32, 32)),
    "convnet, 1 attribute of 12 classes, 40x24": ("convnet", [12], (40, 24)),
    "convnet, 7 attributes of 3 to 61 classes, 48x48": ("convnet", [5, 3, 23, 61, 42, 4, 6], (48, 48)),
    "resnet18, 40 attributes of 2 classes, 64x64": ("resnet18", [2] * 40, (64, 64)),
}
QUICK = "convnet, 1 attribute of 12 classes, 40x24"
CE = "cross entropy"
BATCH = 128
RATIO = 100


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="one network")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.device == "cpu":
        keep_freed_memory()  # as training on a CPU does it
    cases = []
    for name in [QUICK] if options.quick else SHAPES:
        ce = make_step(*SHAPES[name], "ce", CRLOptions(), options.device)
        others = {
            "class level": make_step(*SHAPES[name], "crl-iccv", CRLOptions(level="class"), options.device),
            "instance level": make_step(
                *SHAPES[name], "crl-iccv", CRLOptions(level="instance"), options.device
            ),
            "recommended": make_step(*SHAPES[name], "crl", CRLOptions(), options.device),
        }
        for what, crl in others.items():
            times = take_turns({OURS: crl, CE: ce}, options.repeats)
            cases.append(case(f"{name}, {what}", times))
    command = f"python benchmarks/step_share.py --threads {options.threads} --repeats {options.repeats}"
    command += f" --device {options.device}"
    document = results("step_share", command + (" --quick" if options.quick else ""), cases, options.repeats)
    show(document)
    if options.output:
        write(options.output, document)


def make_step(
    backbone: str, classes: list[int], size: tuple[int, int], name: str, crl: CRLOptions, device: str = "cpu"
) -> Callable[[], None]:
    """One training step on long-tailed random labels."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    schema = LabelSchema(tuple(Attribute(f"a{j}", tuple(map(str, range(k)))) for j, k in enumerate(classes)))
    tails = [RATIO ** (-np.arange(k) / (k - 1)) for k in classes]
    labels = np.stack([generator.choice(k, BATCH, p=tail / tail.sum()) for k, tail in zip(classes, tails)], 1)
    counts = [np.bincount(column, minlength=k).tolist() for column, k in zip(labels.T, classes)]
    method_options = MethodOptions(crl=crl)
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
        method_options=method_options,
        feature_layer=recipe(name, method_options).feature_layer,
    ).build()
    learner = learner.to(device)
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.01, momentum=0.9)
    tensors = torch.randn(BATCH, 3, *size), torch.from_numpy(labels), torch.arange(BATCH)
    batch = Batch(*(tensor.to(device) for tensor in tensors))

    def step() -> None:
        terms, _ = learner(batch.images, batch.labels, batch.index)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
