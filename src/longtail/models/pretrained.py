"""Which published weights there are for a backbone, and what they expect of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from longtail.models.backbones import EXPECTED, TIMM_PREFIX, Expected
from longtail.models.lite0 import named_as_here, published_tensors
from longtail.models.timm_sources import find_model
from longtail.models.weights import CLASSIFIERS, Weights

_RELEASED = "_conv_stem.weight"
"""A tensor that Lite0 has under this name in its release alone."""


@dataclass(frozen=True)
class Pretrained:
    """A backbone and its published weights, which are not read yet.

    Attributes:
        backbone: a name that builds the network again from nothing else.
        expected: what its weights expect of images, None where there are none.
        read: brings the weights, None where there are none.
        classifiers: names of the layers on top of the backbone, in files of its weights.
    """

    backbone: str
    expected: Expected | None = None
    read: Callable[[], Weights] | None = None
    classifiers: tuple[str, ...] = CLASSIFIERS

    def take(self, tensors: Mapping[str, Tensor], source: str) -> Weights:
        """Tensors of a file as weights of this backbone; see `Weights` for the rest."""
        if self.backbone == "lite0" and _RELEASED in tensors:
            tensors = named_as_here(tensors, source)
        size = None if self.expected is None else self.expected.size
        return Weights(tensors, source, size, self.classifiers)


def find_pretrained(backbone: str) -> Pretrained:
    """What there is for a backbone's name, as `build_backbone` takes it or with a place of timm.

    Raises:
        InputError: when the place does not hold a network of timm, or timm has none of that name.
    """
    if backbone.startswith(TIMM_PREFIX):
        found = find_model(backbone)
        said = found.described
        return Pretrained(TIMM_PREFIX + found.name, said.expected, found.weights, said.classifiers)
    if backbone in EXPECTED:
        return Pretrained(backbone, EXPECTED[backbone], of_lite0)
    return Pretrained(backbone)


def of_lite0() -> Weights:
    """The published weights of lite0.

    Raises:
        InputError: when their package is not there, or they are not those of this network.
    """
    source = "--backbone lite0"
    return Weights(named_as_here(published_tensors(), source), source)
