"""Names of the backbones, for people: no torch is needed to list them."""

from __future__ import annotations

TIMM_PREFIX = "timm:"

BACKBONES = {
    "convnet": "four convolutions, 0.24 M parameters: small images, small machines, first tries",
    "resnet32": "ResNet-32 of the CIFAR experiments, 0.46 M parameters: images up to 64 pixels",
    "resnet18": "ResNet-18, 11.2 M parameters: photos",
}


def default_backbone(height: int, width: int) -> str:
    """ResNet-32 for images of at most 64 pixels a side, ResNet-18 above."""
    return "resnet32" if max(height, width) <= 64 else "resnet18"
