"""Folders of runs that were never trained: a model with random weights, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize

from longtail.methods.options import KNNOptions, LMLEOptions, MethodOptions
from longtail.methods.recipe import recipe
from longtail.models.classifier import Classifier
from longtail.runs.calibration import Calibration
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard, weights_of, write_model
from longtail.training.learner import Learner

ONE = LabelSchema.single("kind", ("a", "b", "c"))
TWO = LabelSchema((Attribute("kind", ("a", "b")), Attribute("size", ("s", "m", "l"))))
COUNTS = {ONE: [[60, 30, 9]], TWO: [[84, 15], [60, 30, 9]]}
SMALL = MethodOptions(knn=KNNOptions(k=5, references=60), lmle=LMLEOptions(cluster_size=10, k=3))


def card(backbone: str = "convnet", schema: LabelSchema = TWO, **changes: Any) -> ModelCard:
    """A card of small images; `decision` and `loss` go into the options of its method."""
    parts = {name: changes.pop(name) for name in ("decision", "loss") if name in changes}
    method = changes.pop("method", "ce")
    options = replace(SMALL, **parts)
    known: dict[str, Any] = {
        "schema": schema,
        "class_counts": COUNTS[schema],
        "images": 99,
        "backbone": backbone,
        "features": 6,
        "hidden": 0,
        "shared_feature": False,
        "image_size": (24, 20),
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.25),
        "method": method,
        "method_options": options,
        "feature_layer": recipe(method, options).feature_layer,
    }
    return ModelCard(**(known | changes))


def learner(of: ModelCard) -> Learner:
    """Random weights under which images differ, and a decision that knows something of the data."""
    torch.manual_seed(0)
    built = of.build()
    _spread(built.model, of.image_size)
    counts = built.eval().method.counts
    built.method.shares.copy_(counts / counts.sum(1, keepdim=True))
    for name, tensor in built.method.decision.state_dict().items():
        if name in ("references", "centroids"):
            tensor.copy_(normalize(torch.randn_like(tensor), dim=2))
        elif name in ("reference_labels", "classes"):
            tensor.random_(0, 2)
        else:
            tensor.uniform_(0.5, 1)
    return built


def _spread(model: Classifier, size: tuple[int, int]) -> None:
    """Weights that keep the size of what passes them, norms that know its mean: fresh ones often do not."""
    for parameter in model.backbone.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        model.train()(torch.randn(16, 3, *size) + torch.randn(16, 3, 1, 1))


def write_run(folder: Path, of: ModelCard) -> Path:
    """A folder that can be opened to predict."""
    folder.mkdir()
    write_model(folder / "model.safetensors", weights_of(learner(of)), of)
    return folder


def calibration(*temperature: float) -> Calibration:
    """What validation images said, as far as scores depend on it."""
    nothing, known = torch.zeros(0, len(temperature)), torch.tensor(temperature)
    return Calibration(nothing.long(), known, known, nothing, nothing)
