"""A backbone with an attribute head, built by name."""

from __future__ import annotations

from torch import Tensor, nn

from longtail.errors import InputError
from longtail.models.backbones import BACKBONES, TIMM_PREFIX
from longtail.models.convnet import ConvNet
from longtail.models.head import AttributeHead
from longtail.models.output import ModelOutput
from longtail.models.resnet import ResNet18, ResNet32
from longtail.schema import LabelSchema

_BUILDERS: dict[str, type[ConvNet] | type[ResNet32] | type[ResNet18]] = {
    "convnet": ConvNet,
    "resnet32": ResNet32,
    "resnet18": ResNet18,
}


class Classifier(nn.Module):
    """Images in, `ModelOutput` out.

    Args:
        backbone: (N, C, H, W) -> (N, B).
        head: (N, B) -> ModelOutput.
    """

    def __init__(self, backbone: nn.Module, head: AttributeHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> ModelOutput:
        """Normalised images (N, C, H, W) -> logits and features."""
        return self.head(self.backbone(images))

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())


def build_classifier(
    backbone: str,
    schema: LabelSchema,
    *,
    channels: int = 3,
    features: int = 64,
    shared_feature: bool = False,
    pretrained: bool = True,
) -> Classifier:
    """The classifier of a backbone's name.

    Args:
        backbone: a name of `BACKBONES`, or "timm:" and the name of a timm model.
        schema: the attributes.
        channels: of the images.
        features: D, size of the feature vector of an attribute.
        shared_feature: one vector for all attributes.
        pretrained: load timm's weights; False where a checkpoint's weights follow.

    Raises:
        InputError: when the name is unknown, timm is not installed, or its weights cannot be had.
    """
    if backbone.startswith(TIMM_PREFIX):
        trunk, size = _timm_backbone(backbone.removeprefix(TIMM_PREFIX), channels, pretrained)
    elif backbone in BACKBONES:
        trunk = _BUILDERS[backbone](channels)
        size = trunk.out_features
    else:
        known = ", ".join(BACKBONES)
        raise InputError(f"--backbone: expected one of {known} or {TIMM_PREFIX}NAME, got {backbone!r}")
    return Classifier(trunk, AttributeHead(size, schema, features, shared_feature))


def _timm_backbone(name: str, channels: int, pretrained: bool) -> tuple[nn.Module, int]:
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"--backbone {TIMM_PREFIX}{name}: needs timm, install it with: pip install 'longtail[timm]'"
        ) from None
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name[:6]}*")[:3]) or "see timm.list_models()"
        raise InputError(f"--backbone {TIMM_PREFIX}{name}: timm has no such model; close names: {close}")
    try:
        trunk = timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=channels)
    except Exception as error:  # whatever the download met: no network, no such file, no room
        if not pretrained:
            raise
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"--backbone {TIMM_PREFIX}{name}: its weights cannot be had ({reason}); connect once, or start "
            "without them: --from-scratch"
        ) from None
    return trunk, int(trunk.num_features)
