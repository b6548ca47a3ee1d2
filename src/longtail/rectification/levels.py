"""The two levels of mining: on predicted probabilities, once a class, or on features, once an image.

Each has the scores that are mined on, the margins, a way to mine, and the span of the histograms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from longtail.rectification.comparison import HardPairs
from longtail.rectification.mining import mine_class_level, mine_instance_level
from longtail.rectification.share import ALONE, Share
from longtail.schema import as_features
from longtail.tensors import full_precision, unit_vectors

DEFAULT_MARGIN = 0.5
"""On probabilities and on features of unit length."""

FEW_CLASSES = 32
"""Softmax over shorter rows than this does not fill vector registers."""


@final
@dataclass(frozen=True)
class ClassLevel:
    """On the predicted probability of each minority class; no features are needed.

    Attributes:
        margin: of every attribute; None: 0.5, because an attribute of six or fewer classes could never meet
            2π/|Z_j| on probabilities.
    """

    margin: float | None
    once_a_class = True  # all anchors of a class share their positives and negatives
    mine = staticmethod(mine_class_level)

    def scores(self, logits: Tensor, labels: Tensor, features: Tensor | None) -> Tensor:  # noqa: ARG002
        """Probabilities of all classes, (N, J, K)."""
        logits = full_precision(logits)
        if logits.shape[2] > FEW_CLASSES:
            return logits.softmax(2)
        # Few classes each lie in one piece, which is faster on a CPU.
        return logits.movedim(2, 0).contiguous().softmax(0).movedim(0, 2)

    def margins(self, logits: Tensor) -> Tensor:
        """The given margin, or 0.5."""
        return _same_margin(self.margin, logits)

    def span(self, pairs: HardPairs, share: Share = ALONE) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """[-1, 1], since the distance to a negative keeps its sign."""
        zero = pairs.positive.new_zeros(())
        return zero - 1, zero + 1


@final
@dataclass(frozen=True)
class InstanceLevel:
    """On distances between the features of two images.

    Attributes:
        margin: of every attribute; None: 0.5 on features of unit length, 2π/|Z_j| on others.
        normalize: bring features to unit length first.
    """

    margin: float | None
    normalize: bool
    once_a_class = False
    mine = staticmethod(mine_instance_level)

    def scores(self, logits: Tensor, labels: Tensor, features: Tensor | None) -> Tensor:  # noqa: ARG002
        """Features, (N, J, D) or (N, 1, D); ValueError without them."""
        if features is None:
            raise ValueError("features: expected a tensor at instance level, got None")
        features = as_features(features, labels)
        return unit_vectors(features) if self.normalize else full_precision(features)

    def margins(self, logits: Tensor) -> Tensor:
        """The same for every attribute, or by its number of classes |Z_j|."""
        if self.normalize or self.margin is not None:
            return _same_margin(self.margin, logits)
        num_classes = (logits.detach()[:1] > -math.inf).any(0).sum(1)  # |Z_j|, in every row the same
        return 2 * math.pi / num_classes.clamp(min=1).to(_margin_type(logits))

    def span(self, pairs: HardPairs, share: Share = ALONE) -> tuple[Tensor, Tensor]:
        """[0, 2] for features of unit length; for others up to the largest distance that was mined."""
        zero = pairs.positive.new_zeros(())
        if self.normalize:
            return zero, zero + 2
        positive = pairs.positive.detach().mul(pairs.positive_mask).flatten()
        negative = pairs.negative.detach().mul(pairs.negative_mask).flatten()
        return zero, share.largest(torch.cat([zero[None], positive, negative]).amax())


def _same_margin(margin: float | None, logits: Tensor) -> Tensor:
    """One margin for all attributes, (J,)."""
    value = DEFAULT_MARGIN if margin is None else margin
    return torch.full((logits.shape[1],), value, dtype=_margin_type(logits), device=logits.device)


def _margin_type(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)
