"""From one vector an image to features and logits of every attribute."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from longtail.models.output import ModelOutput
from longtail.schema import LabelSchema


class AttributeHead(nn.Module):
    """A feature layer and a linear classifier for each attribute, all attributes in one product.

    f_j = relu(W_j x + b_j),    logits_j = V_j f_j + c_j,    -inf where attribute j has no such class

    Args:
        in_features: size of the backbone's vector x.
        schema: the attributes.
        features: D, size of f_j.
        shared: one feature vector for all attributes instead of one each.
    """

    absent: Tensor

    def __init__(
        self, in_features: int, schema: LabelSchema, features: int = 64, shared: bool = False
    ) -> None:
        super().__init__()
        j, k = schema.num_attributes, schema.max_classes
        self.vectors = 1 if shared else j
        self.feature = nn.Linear(in_features, self.vectors * features)
        bound = 1 / math.sqrt(features)
        self.weight = nn.Parameter(torch.empty(j, features, k).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(j, 1, k))
        present = torch.arange(k) < torch.tensor(schema.num_classes)[:, None]
        self.register_buffer("absent", ~present[None], persistent=False)

    def forward(self, x: Tensor) -> ModelOutput:
        """(N, in_features) -> logits (N, J, K) and features (N, J, D) or (N, 1, D)."""
        features = torch.relu(self.feature(x)).unflatten(1, (self.vectors, -1))
        by_attribute = features.transpose(0, 1).expand(self.weight.shape[0], -1, -1)
        logits = torch.baddbmm(
            self.bias.to(by_attribute.dtype), by_attribute, self.weight.to(by_attribute.dtype)
        )
        return ModelOutput(logits.transpose(0, 1).masked_fill(self.absent, -math.inf), features)
