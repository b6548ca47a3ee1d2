"""A backbone with an attribute head, built by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from longtail.errors import InputError
from longtail.models.backbones import BACKBONES, SIZED, TIMM_PREFIX, FeatureLayer, Tuning
from longtail.models.convnet import ConvNet
from longtail.models.cut import Cut, fixed_part
from longtail.models.deepid2 import DeepID2
from longtail.models.head import AttributeHead
from longtail.models.lite0 import Lite0
from longtail.models.mtct import NINTrunk
from longtail.models.output import ModelOutput
from longtail.models.reading import Reading
from longtail.models.resnet import ResNet, resnet18, resnet32
from longtail.models.timm_models import build_model
from longtail.models.weights import Weights
from longtail.schema import LabelSchema

_Trunk = ConvNet | ResNet | DeepID2 | NINTrunk | Lite0

_BUILDERS: dict[str, Callable[..., _Trunk]] = {
    "convnet": ConvNet,
    "resnet32": resnet32,
    "resnet18": resnet18,
    "deepid2": DeepID2,
    "mtct": NINTrunk,
}


class Classifier(nn.Module):
    """Images in, `ModelOutput` out.

    Args:
        backbone: (N, C, H, W) -> (N, B).
        head: (N, B) -> ModelOutput.
        looks: how many of the last numbers of a vector say how an image looks, see `Reading`.

    Attributes:
        reading: what a head reads of the vectors of a backbone that is known.
        tuning: what learns of a backbone that is known, None where it is trained like any other.
    """

    def __init__(self, backbone: nn.Module, head: AttributeHead, looks: int = 0) -> None:
        super().__init__()
        # Convolutions and above all poolings over pixels that hold their channels side by side are faster.
        self.backbone = backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.head = head
        self.reading = Reading(looks)
        self.frozen = False
        self.tuning: Tuning | None = None
        self._cut: Cut | None = None

    def tune(self, tuning: Tuning, *, cut: Cut | None = None, adapters: Sequence[nn.Module] = ()) -> None:
        """Take the backbone as known: running means and variances stay, and what does not learn stays too.

        Args:
            tuning: what learns.
            cut: the parts of the backbone, where its last stage alone learns.
            adapters: parts of the backbone that learn, where they alone do.
        """
        self.tuning, self._cut = tuning, cut
        self.backbone.requires_grad_(tuning == "all").eval()
        for part in adapters if cut is None else (cut.tail,):
            part.requires_grad_(True)

    @property
    def fixed_part(self) -> tuple[nn.Module, int]:
        """What of the backbone stays, images -> rows of numbers, and how many of them an image has."""
        return fixed_part(self.backbone, self.head.in_features, self._cut)

    def freeze(self) -> None:
        """Fix all but the last layer, running means and variances included."""
        self.frozen = True
        self.requires_grad_(False)
        self.head.weight.requires_grad_(True)
        self.head.bias.requires_grad_(not self.head.cosine)
        self.eval()

    def train(self, mode: bool = True) -> Classifier:
        """As of any module; a network that is fixed stays in evaluation mode."""
        super().train(mode and not self.frozen)
        if self.tuning is not None:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> ModelOutput:
        """Normalised images (N, C, H, W), or what the fixed part gave for them (N, numbers)."""
        return self.head(self.read(self.vectors(images)))

    def read(self, vectors: Tensor) -> Tensor:
        """What the head reads of vectors of the backbone; both (N, B)."""
        return vectors if self.tuning is None else self.reading(vectors)

    def vectors(self, images: Tensor) -> Tensor:
        """What the backbone makes of images, or of what its fixed part gave for them: (N, B)."""
        if images.dim() > 2:
            return self.backbone(images)
        return images if self._cut is None else self._cut.vectors(images)

    @property
    def num_parameters(self) -> int:
        """Parameters of backbone and head, fixed ones included."""
        return sum(parameter.numel() for parameter in self.parameters())


def build_classifier(
    backbone: str,
    schema: LabelSchema,
    *,
    channels: int = 3,
    features: int = 64,
    shared_feature: bool = False,
    image_size: tuple[int, int] | None = None,
    weights: Weights | None = None,
    hidden: int = 0,
    layer: FeatureLayer = "rectified",
    cosine: bool = False,
) -> Classifier:
    """The classifier of a backbone's name.

    Args:
        backbone: a name of `BACKBONES`, or "timm:" and the name of a timm model.
        schema: the attributes.
        channels: of the images.
        features: D, size of the feature vector of an attribute.
        shared_feature: one vector for all attributes.
        image_size: (height, width) of the images, for backbones whose layers depend on it; None
            is the size that they were made for.
        weights: of the backbone; None leaves it as it was initialised.
        hidden, layer, cosine: arguments of `AttributeHead`.

    Raises:
        InputError: when the name is unknown, the backbone does not take images of that size, timm is
            not installed, or the weights are those of another network.
    """
    trunk, size = build_backbone(backbone, channels, image_size, weights)
    head = AttributeHead(size, schema, features, shared_feature, hidden=hidden, layer=layer, cosine=cosine)
    return Classifier(trunk, head, trunk.looks if isinstance(trunk, Lite0) else 0)


def build_backbone(
    backbone: str,
    channels: int = 3,
    image_size: tuple[int, int] | None = None,
    weights: Weights | None = None,
) -> tuple[nn.Module, int]:
    """Images -> vectors, and the size of a vector; arguments and mistakes as of `build_classifier`."""
    if backbone.startswith(TIMM_PREFIX):
        return build_model(backbone.removeprefix(TIMM_PREFIX), channels, image_size, weights)
    trunk = _own(backbone, channels, image_size)
    if weights is not None:
        weights.load_into(trunk, backbone)
    return trunk, trunk.out_features


def _own(backbone: str, channels: int, image_size: tuple[int, int] | None) -> _Trunk:
    if backbone == "lite0":
        return Lite0()  # shows grey images in all three channels
    if backbone not in _BUILDERS:
        known = ", ".join(BACKBONES)
        raise InputError(f"--backbone: expected one of {known} or {TIMM_PREFIX}NAME, got {backbone!r}")
    size = (image_size,) if image_size and backbone in SIZED else ()
    return _BUILDERS[backbone](channels, *size)
