"""Which parameters learn, each group of them at its own rate."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn

from longtail.training.checkpoint import BACKBONE, NETWORK
from longtail.training.config import TrainConfig
from longtail.training.learner import Learner
from longtail.training.schedule import learning_rate

HEAD_FIRST = 0.2
"""Share of a fine-tuning in which the head learns alone, so that it does not spoil what is known."""


def build_optimizer(learner: Learner, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW whose norms and biases do not decay.

    In fine-tuning, the peak of a layer's rate is the head's times `layer_decay` to the power of its depth
    below the head, and the head learns alone for the first `HEAD_FIRST` of the steps.
    """
    if config.descent == "sgd":
        return torch.optim.SGD(
            _groups(learner, config),
            lr=config.peak_rate,
            momentum=config.momentum,
            weight_decay=config.decay(learner.images),
            nesterov=config.momentum > 0,
        )
    return torch.optim.AdamW(
        _groups(learner, config),
        lr=config.peak_rate,
        betas=(config.momentum, 0.999),
        weight_decay=config.decay(learner.images),
    )


def set_rates(optimizer: torch.optim.Optimizer, step: int, steps: int, warmup: float) -> None:
    """Every group's rate at a step, from its own peak; 0 as long as it waits for the head."""
    for group in optimizer.param_groups:
        waits = step < group["waits"] * steps
        group["lr"] = 0.0 if waits else learning_rate(step, steps, group["peak"], warmup)


def depths(backbone: nn.Module) -> dict[str, int]:
    """The depth of every parameter below the head by name: 1 in the last layer, most in the first.

    A layer is what bears one number, such as a block or a stage; one without weights, such as a norm, goes
    with the layer before it.

    Example:
        >>> depths(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2, bias=False)))
        {'0.weight': 2, '0.bias': 2, '1.weight': 2, '1.bias': 2, '2.weight': 1}
    """
    layers: list[list[str]] = []
    for _, found in itertools.groupby(backbone.named_parameters(), key=lambda named: _layer(named[0])):
        parameters = dict(found)
        if layers and not any(_decays(*named) for named in parameters.items()):
            layers[-1] += parameters
        else:
            layers.append([*parameters])
    return {name: len(layers) - place for place, names in enumerate(layers) for name in names}


def _layer(name: str) -> str:
    """A parameter's name up to its first number: blocks.5 of blocks.5.norm1.weight."""
    parts = name.split(".")
    number = next((place for place, part in enumerate(parts) if part.isdecimal()), 0)
    return ".".join(parts[: number + 1])


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether it is a weight, and not a bias or the scale of a norm."""
    return parameter.dim() > 1 and not name.endswith("bias")


def _groups(learner: Learner, config: TrainConfig) -> list[dict[str, Any]]:
    """Groups of parameters, each with its peak rate, decay, and the share of the training that it waits."""
    if config.finetune is None and config.descent == "sgd":
        return [{"params": list(learner.parameters()), "peak": config.peak_rate, "waits": 0.0}]
    depth = depths(learner.model.backbone) if config.finetune in ("last", "all") else {}
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in learner.named_parameters():
        if parameter.requires_grad:
            key = depth.get(name.removeprefix(NETWORK + BACKBONE), 0), _decays(name, parameter)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": config.peak_rate * config.falling_rate**below,
            "weight_decay": config.decay(learner.images) if decays else 0.0,
            "waits": HEAD_FIRST if below else 0.0,
        }
        for (below, decays), parameters in groups.items()
    ]
