"""Names of the backbones, for people: no torch is needed to list them."""

from __future__ import annotations

from typing import Literal

FeatureLayer = Literal["rectified", "linear", "neck"]
"""What follows the linear layer that makes the features of an attribute; see `AttributeHead`."""

TIMM_PREFIX = "timm:"

BACKBONES = {
    "convnet": "four convolutions, 0.24 M parameters: small images, small machines, first tries",
    "resnet32": "ResNet-32 of the CIFAR experiments, 0.46 M parameters: images up to 64 pixels",
    "resnet18": "ResNet-18, 11.2 M parameters: photos",
    "deepid2": "DeepID2 of the CelebA experiments, 1.0 M parameters: aligned faces of 55x47",
    "mtct": "network in network of the clothing experiments (MTCT), 12.9 M parameters",
}


def default_backbone(height: int, width: int) -> str:
    """ResNet-32 for images of at most 64 pixels a side, ResNet-18 above."""
    return "resnet32" if max(height, width) <= 64 else "resnet18"


def default_size(backbone: str) -> tuple[int, int] | None:
    """(height, width) that a backbone was made for, None where any will do."""
    return (55, 47) if backbone == "deepid2" else None


def default_learning_rate(backbone: str | None) -> float:
    """Peak of the learning rate: 0.1, and 0.01 for DeepID2, which has no batch normalisation."""
    return 0.01 if backbone == "deepid2" else 0.1


def default_hidden(backbone: str) -> int:
    """Size of an attribute's hidden layer, 0 for none; MTCT's 256 is our guess, the paper's is unknown."""
    return 256 if backbone == "mtct" else 0
