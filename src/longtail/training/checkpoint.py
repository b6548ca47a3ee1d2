"""model.safetensors: weights, and the card that says what they belong to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longtail import __version__
from longtail.documents import Count, Form
from longtail.errors import InputError
from longtail.methods.base import build_method
from longtail.methods.context import Setting
from longtail.methods.find import allowed_again
from longtail.methods.options import MethodOptions
from longtail.methods.recipe import Recipe, compared, recipe
from longtail.models.adapters import add_adapters
from longtail.models.backbones import FeatureLayer, Tuning
from longtail.models.classifier import Classifier, build_classifier
from longtail.models.cut import cut
from longtail.models.weights import Weights
from longtail.schema import LabelSchema
from longtail.settings import MOST_BITS
from longtail.training.learner import Learner
from longtail.training.sealed import is_whole, read_content, unpacked, write_sealed

FORMAT = "longtail-model"
FORMAT_VERSION = 4

Size = Annotated[int, Meta(ge=1)]
Mean = Annotated[float, Meta(ge=-1e6, le=1e6)]
Deviation = Annotated[float, Meta(ge=1e-6, le=1e6)]  # float32 still divides by it

NETWORK = "model."
"""What the names of the classifier's tensors begin with."""

BACKBONE = "backbone."
"""What the names of the backbone's tensors begin with, among those of the classifier."""


@dataclass(frozen=True)
class ModelCard:
    """What must be known to build a learner again and to feed it, stored beside the weights.

    Attributes:
        schema: attributes and class names.
        class_counts: for each attribute the training images of each class.
        images: training images.
        backbone, features, hidden, shared_feature: arguments of `build_classifier`.
        image_size: (height, width) that images are brought to.
        mean, std: per channel, of pixels in [0, 1]; images are normalised by them.
        method: its name.
        method_options: its parts and options.
        identities: how many the training images show, 0 where that is not used.
        domains: that the training images come from.
        feature_layer: argument of `AttributeHead`: the method's, or that of the run it goes on from.
        tuning: what learned of a backbone that was known, None where it was trained like any other.
        bits: that the values of images of 16 bits use.
    """

    schema: LabelSchema
    class_counts: list[list[Count]]
    images: Count
    backbone: str
    features: Size
    hidden: Count
    shared_feature: bool
    image_size: tuple[Size, Size]
    mean: tuple[Mean, ...]
    std: tuple[Deviation, ...]
    method: str
    method_options: MethodOptions
    identities: Count = 0
    domains: tuple[str, ...] = ()
    feature_layer: FeatureLayer = "rectified"
    tuning: Tuning | None = None
    bits: Annotated[int, Meta(ge=8, le=16)] = MOST_BITS

    @property
    def recipe(self) -> Recipe:
        """What the method is made of, with nothing left open."""
        return recipe(self.method, self.method_options)

    @property
    def fixed_features(self) -> bool:
        """Whether no training moves the features: they are the vectors of a frozen network."""
        return self.tuning == "head" and self.feature_layer == "vector"

    @property
    def without_effect(self) -> bool:
        """Whether a loss compares what does not learn: vectors of a frozen network."""
        what = compared(self.method, self.recipe)
        return self.fixed_features if what == "features" else what == "vectors" and self.tuning == "head"

    def build(self, weights: Weights | None = None) -> Learner:
        """A learner with fresh weights, or with those of a backbone in it."""
        model = build_classifier(
            self.backbone,
            self.schema,
            channels=len(self.mean),
            features=self.features,
            shared_feature=self.shared_feature,
            image_size=self.image_size,
            weights=weights,
            hidden=self.hidden,
            layer=self.feature_layer,
            cosine=self.recipe.cosine,
        )
        if self.tuning is not None:
            self._tune(model, self.tuning)
        method = build_method(self.method, self.method_options, self.setting(model), model)
        return Learner(model, method, self.mean, self.std, self.images)

    def _tune(self, model: Classifier, tuning: Tuning) -> None:
        image, name = (len(self.mean), *self.image_size), self.backbone
        model.tune(
            tuning,
            cut=cut(model.backbone, image, name) if tuning == "last" else None,
            adapters=add_adapters(model.backbone, name) if tuning == "adapters" else (),
        )

    def setting(self, model: Classifier) -> Setting:
        """What a method of this model is built for."""
        return Setting(
            schema=self.schema,
            class_counts=self.class_counts,
            images=self.images,
            vectors=model.head.vectors,
            features=model.head.features,
            vector=model.head.in_features,
            identities=self.identities,
            domains=self.domains,
        )


CARD = Form(ModelCard, "model card", source="a model that longtail wrote", anew="train again", indent=0)


def weights_of(learner: Learner) -> dict[str, Tensor]:
    """Weights and buffers as they are now, on the CPU; they stay so when the learner goes on learning."""
    tensors = learner.state_dict().items()
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors}


def write_model(path: Path, weights: dict[str, Tensor], card: ModelCard) -> None:
    """Write weights and card as one safetensors file; equal ones have equal bytes."""
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "longtail_version": __version__,
        "card": CARD.encode(card),
    }
    write_sealed(path, weights, metadata)


def load_model(path: Path, method: str | None = None) -> tuple[Learner, ModelCard]:
    """The learner that `write_model` wrote, on the CPU and in evaluation mode.

    A method of the user's own that it was trained with is imported only if it is named as `method`.

    Raises:
        InputError: when the file is missing, damaged, of another format or version, does not hold the
            weights its card asks for, holds weights that are not finite, or needs a method that is not named.
    """
    tensors, card = _read_model(path)
    card = replace(card, method=allowed_again(card.method, method))
    try:
        learner = card.build()
        learner.load_state_dict(tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        found = _mismatch(error)
        raise InputError(f"{path}: expected weights that fit their model card, got {found}") from None
    return learner.eval(), card


def _mismatch(error: Exception) -> str:
    """The first of what does not fit, and what to do where torch names a tensor."""
    first, *more = (line.strip() for line in str(error).strip().splitlines())
    if not more:
        return first
    return f"{more[0].rstrip('.')}; if an earlier longtail wrote it, train again"


def load_network(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    """The weights of the `Classifier` that `write_model` wrote, whatever method trained it.

    Raises:
        InputError: when the file is missing, damaged, of another format or version, or holds weights that
            are not finite.
    """
    tensors, card = _read_model(path)
    return {name.removeprefix(NETWORK): x for name, x in tensors.items() if name.startswith(NETWORK)}, card


def is_model(path: Path) -> bool:
    """Whether a file is one that `write_model` wrote, of any version."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError, ValueError):
        return False


def _read_model(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    content = read_content(path, "expected a run folder with a trained model in it")
    tensors, metadata = unpacked(path, content)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: expected a model that longtail wrote, got another safetensors file")
    if metadata.get("format_version") != str(FORMAT_VERSION):
        found = metadata.get("format_version")
        raise InputError(
            f"{path}: expected model format {FORMAT_VERSION}, got {found}; written by longtail "
            f"{metadata.get('longtail_version')}, this is {__version__}"
        )
    if not is_whole(content):
        raise InputError(f"{path}: damaged, its checksum is wrong; take a copy of it, or train again")
    card = CARD.decode(metadata.get("card", ""), str(path))
    wrong = next((name for name, x in tensors.items() if not _may_hold(name, x)), None)
    if wrong is not None:
        raise InputError(
            f"{path}: expected finite weights, got NaN or infinity in {wrong}; the training diverged or the "
            "file is damaged: train again"
        )
    return tensors, card


def _may_hold(name: str, tensor: Tensor) -> bool:
    """Whether the values are finite; what a method keeps may have infinities, but no NaN."""
    if name.startswith(NETWORK):
        return bool(tensor.isfinite().all())
    return not bool(tensor.isnan().any())
