"""Every backbone with every decision as an ONNX file: what differs from torch, in a Markdown table.

    python benchmarks/exports.py [BACKBONE...]

Whole networks with random weights that spread images apart, one file for each backbone with all decisions in
it; 64 images of noise in sixteen sizes. A cell holds the largest difference of a probability, and how many
of the 128 decisions (two attributes) differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from longtail.exporting.onnx_file import FileCard, Runner, onnx_bytes
from longtail.exporting.resize import Resize
from longtail.methods.decisions import RULES
from longtail.methods.options import KNNOptions, MethodOptions
from longtail.methods.recipe import recipe
from longtail.models.backbones import Tuning
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard
from longtail.training.learner import Learner

SCHEMA = LabelSchema((Attribute("kind", ("a", "b")), Attribute("size", ("s", "m", "l"))))
COUNTS = [[84, 15], [60, 30, 9]]
BACKBONES: dict[str, tuple[str, tuple[int, int], Tuning | None]] = {
    "convnet": ("convnet", (64, 64), None),
    "resnet32": ("resnet32", (32, 32), None),
    "resnet18": ("resnet18", (96, 96), None),
    "deepid2": ("deepid2", (55, 47), None),
    "mtct": ("mtct", (96, 96), None),
    "lite0": ("lite0", (96, 96), None),
    "lite0, frozen": ("lite0", (96, 96), "head"),
    "lite0, last stage": ("lite0", (96, 96), "last"),
    "resnet18, last stage": ("resnet18", (96, 96), "last"),
}
SIZES, IMAGES = 16, 4


class AllDecisions(nn.Module):
    """A learner that decides by each rule in turn: probabilities (N, rules, J, K)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        backbone, size, tuning = BACKBONES[name]
        card = ModelCard(
            schema=SCHEMA,
            class_counts=COUNTS,
            images=99,
            backbone=backbone,
            features=16,
            hidden=0,
            shared_feature=False,
            image_size=size,
            mean=(0.5, 0.5, 0.5),
            std=(0.3, 0.3, 0.3),
            method="lmle",
            method_options=MethodOptions(knn=KNNOptions(references=500)),
            tuning=tuning,
        )
        self.size, self.resize, self.learner = size, Resize(size), card.build()
        _spread(self.learner, size)
        full, setting = recipe(card.method, card.method_options), card.setting(self.learner.model)
        self.rules = nn.ModuleDict({name: RULES[name](full, setting) for name in RULES})
        for rule in self.rules.values():
            for key, kept in rule.state_dict().items():
                kept.copy_(_filled(key, kept))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images as they are stored."""
        resized = self.resize(images)
        output, method = self.learner.output(resized), self.learner.method
        found = [rule.scores(output, method.criterion, method.shares) for rule in self.rules.values()]
        scores = torch.stack(found, 1)
        return scores, scores.argmax(3)


def _spread(learner: Learner, size: tuple[int, int]) -> None:
    """Weights that keep images apart, and norms that have seen some."""
    counts = learner.method.counts
    learner.method.shares.copy_(counts / counts.sum(1, keepdim=True))
    for parameter in learner.model.backbone.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    for module in learner.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        learner.model.backbone.train()(torch.randn(16, 3, *size) + torch.randn(16, 3, 1, 1))
    learner.eval()


def _filled(key: str, kept: Tensor) -> Tensor:
    if key in ("references", "centroids"):
        return normalize(torch.randn_like(kept).abs(), dim=2)
    if key in ("reference_labels", "classes"):
        return torch.randint_like(kept, 0, 2)
    return torch.empty_like(kept).uniform_(0.5, 1)


def _batches() -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(SIZES):
        height, width = np.exp(random.uniform(np.log(16), np.log(300), 2)).astype(int)
        level = random.integers(0, 200, (IMAGES, 1, 1, 3))
        yield (level + random.integers(0, 56, (IMAGES, height, width, 3))).astype(np.uint8)


def compared(name: str) -> list[str]:
    """A cell for each decision."""
    torch.manual_seed(0)
    network = AllDecisions(name).eval()
    card = FileCard(1, "0", "lmle", "all", network.size, SCHEMA.attributes)
    runner, largest, other = Runner(onnx_bytes(network, card, name)), np.zeros(len(RULES)), 0
    for images in _batches():
        found = runner(images)
        scores, decided = found.probabilities, found.decision
        with torch.no_grad():
            expected, decision = network(torch.from_numpy(images))
        largest = np.maximum(largest, np.abs(scores - expected.numpy()).max((0, 2, 3)))
        other = other + (decided != decision.numpy()).sum((0, 2))
    return [f"{difference:.0e}, {number}" for difference, number in zip(largest, np.asarray(other))]


def main(names: list[str]) -> None:
    """Print the table, a row as soon as it is known."""
    print(f"| | {' | '.join(RULES)} |\n|{'---|' * (len(RULES) + 1)}")
    for name in names or BACKBONES:
        print(f"| {name} | {' | '.join(compared(name))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
