"""Names of the backbones, for people: no torch is needed to list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FeatureLayer = Literal["rectified", "linear", "neck", "vector"]
"""What follows the linear layer that makes the features of an attribute; see `AttributeHead`."""

Tuning = Literal["head", "last", "all", "adapters"]
"""What learns of a network whose weights are known: what stands on the backbone, its last stage too, all of
it, or adapters inside it."""

COMPUTED_ONCE: tuple[Tuning, ...] = ("head", "last")
"""Those under which part of the backbone stays: its output is computed once per image, and kept."""

TIMM_PREFIX = "timm:"

IN_FOLDER, ON_HUB = f"{TIMM_PREFIX}local-dir:", f"{TIMM_PREFIX}hf-hub:"
"""What a backbone's name begins with where a config.json describes it, beside its weights."""

BACKBONES = {
    "convnet": "four convolutions, 0.25 M parameters: small images, small machines, first tries",
    "resnet32": "ResNet-32 of the CIFAR experiments, 0.47 M parameters: images up to 64 pixels",
    "resnet18": "ResNet-18, 11.2 M parameters: photos",
    "deepid2": "DeepID2 of the CelebA experiments, 1.0 M parameters: aligned faces of 55x47",
    "mtct": "network in network of the clothing experiments (MTCT), 12.9 M parameters",
    "lite0": "EfficientNet-Lite0, 3.4 M parameters, pretrained on ImageNet: photos, with --freeze or without",
}


SIZED = ("deepid2", "mtct")
"""Backbones whose layers depend on the size of the images; so do some of timm."""


@dataclass(frozen=True)
class Expected:
    """What the weights of a backbone expect of images.

    Attributes:
        mean, std: of each channel, of pixels in [0, 1].
        size: (height, width) that they were trained with.
        fixed: whether the layers depend on that size.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]
    fixed: bool = False


EXPECTED: Mapping[str, Expected] = {"lite0": Expected((127 / 255,) * 3, (128 / 255,) * 3, (224, 224))}
"""Backbones of our own with published weights; those of timm say themselves what they expect."""

LICENCES: Mapping[str, str] = {"lite0": "Apache-2.0"}
"""Licences of published weights, where we know them; those of timm differ from one to the next."""

VECTOR_LENGTH = 10.0
"""Length of the vector of a known backbone as a head reads it: heads learn at the usual rates then."""

STRENGTH = 10.0
"""C, one over the weight of the squared norm, of a head on vectors of unit length; nothing chooses it."""

LEAST_SEEN, MOST_SEEN = 64, 128
"""Pixels of small images that a frozen network is shown, see `enlarged`; docs/decisions.md."""

PRETRAINED = "lite0"
"""The backbone that is frozen unless another is named: its weights need no network."""


def default_backbone(height: int, width: int) -> str:
    """ResNet-32 for images of at most 64 pixels a side, ResNet-18 above."""
    return "resnet32" if max(height, width) <= 64 else "resnet18"


def default_size(backbone: str) -> tuple[int, int] | None:
    """(height, width) that a backbone was made for, None where any will do."""
    return (55, 47) if backbone == "deepid2" else None


def enlarged(height: int, width: int) -> tuple[int, int]:
    """What a frozen network sees of small images: enlarged until the shorter side has `LEAST_SEEN` pixels.

    It halves its map five times, so that little is left of small images. The longer side has at most
    `MOST_SEEN` pixels then.

    Example:
        >>> enlarged(8, 8), enlarged(40, 24), enlarged(128, 96), enlarged(8, 120)
        ((64, 64), (107, 64), (128, 96), (9, 128))
    """
    scale = max(1.0, min(LEAST_SEEN / min(height, width), MOST_SEEN / max(height, width)))
    return round(height * scale), round(width * scale)


def default_learning_rate(backbone: str | None) -> float:
    """Peak of the learning rate: 0.1, and 0.01 for DeepID2, which has no batch normalisation."""
    return 0.01 if backbone == "deepid2" else 0.1


def default_hidden(backbone: str) -> int:
    """Size of an attribute's hidden layer, 0 for none; MTCT's 256 is our guess, the paper's is unknown."""
    return 256 if backbone == "mtct" else 0
