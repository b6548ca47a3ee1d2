"""From one vector an image to features and logits of every attribute."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, normalize

from longtail.models.backbones import FeatureLayer
from longtail.models.output import ModelOutput
from longtail.ranks import processes_together
from longtail.schema import LabelSchema
from longtail.tables import present_classes
from longtail.tensors import full_precision


class AttributeHead(nn.Module):
    """A feature layer and a linear classifier for each attribute, all attributes in one product.

        h_j = relu(U_j x + a_j),  or x itself when `hidden` is 0
        f_j = relu(W_j h_j + b_j),  without relu unless `layer` is "rectified"
        logits_j = V_j g_j + c_j,  -inf where attribute j has no such class
        g_j = f_j,  or f_j batch-normalised without scale and shift when `layer` is "neck"

    Args:
        in_features: size of the backbone's vector x.
        schema: the attributes.
        features: D, size of f_j.
        shared: one feature vector for all attributes instead of one each.
        hidden: size of h_j, one a feature vector; 0 is none. With it a branch has the three fully
            connected layers of MTCT.
        layer: "rectified"; "linear", features of either sign, as metric learning wants them; or "neck",
            linear features that are compared as they are and classified batch-normalised, so that a loss of
            distances and cross entropy do not fight over their scale and place. "vector": no feature layer,
            f_j = x for all attributes.
        cosine: logits are cosines between features and class vectors, without bias.

    Attributes:
        detached: whether the logits read the features and teach them nothing (a linear probe).

    Source: Dong, Gong and Zhu, WACV 2017 (branches of three layers); Luo et al., "Bag of Tricks and a
    Strong Baseline for Deep Person Re-Identification", CVPR workshops 2019 (the neck).
    """

    absent: Tensor

    def __init__(
        self,
        in_features: int,
        schema: LabelSchema,
        features: int = 64,
        shared: bool = False,
        *,
        hidden: int = 0,
        layer: FeatureLayer = "rectified",
        cosine: bool = False,
    ) -> None:
        super().__init__()
        j, k = schema.num_attributes, schema.max_classes
        self.in_features = in_features
        if layer == "vector":
            shared, hidden, features = True, 0, in_features
        self.vectors = vectors = 1 if shared else j
        self.features = features
        self.layer = layer
        self.detached = False
        self.cosine = cosine
        self.hidden = nn.Linear(in_features, vectors * hidden) if hidden else None
        size = vectors * features
        if layer == "vector":
            self.feature = nn.Identity()
        else:
            self.feature = BranchLinear(vectors, hidden, features) if hidden else nn.Linear(in_features, size)
        self.neck = nn.BatchNorm1d(size, affine=False) if layer == "neck" else None
        self.weight, self.bias = _branch_parameters(j, features, k)
        self.bias.requires_grad_(not cosine)
        self.register_buffer("absent", ~present_classes(schema)[None], persistent=False)

    def reset_classifier(self) -> None:
        """A new V_j and c_j, as at first."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            self.bias.zero_()

    def forward(self, x: Tensor) -> ModelOutput:
        """(N, in_features) -> logits (N, J, K), features (N, J, D) or (N, 1, D), and x."""
        features = self._features(x)
        read = self._necked(features.detach() if self.detached else features)
        weight = self.weight
        if self.cosine:
            read, weight = normalize(read, dim=2), normalize(weight, dim=1)
        logits = (
            _of_one(read, weight, self.bias) if self.vectors == 1 else _each_branch(read, weight, self.bias)
        )
        return ModelOutput(logits.masked_fill(self.absent, -math.inf), features, x)

    def _features(self, x: Tensor) -> Tensor:
        if self.hidden is not None:
            x = torch.relu(self.hidden(x))
        features = self.feature(x).unflatten(1, (self.vectors, -1))
        return torch.relu(features) if self.layer == "rectified" else features

    def _necked(self, features: Tensor) -> Tensor:
        if self.neck is None:
            return features
        flat = features.flatten(1)
        normed = batch_norm(
            full_precision(flat),
            self.neck.running_mean,
            self.neck.running_var,
            training=self.training and len(flat) * processes_together() > 1,  # one image has no variance
        )
        return normed.to(flat.dtype).view_as(features)


class BranchLinear(nn.Module):
    """A linear layer for each of V branches, in one batched product.

    Args:
        branches: V.
        in_features, out_features: of one branch.
    """

    def __init__(self, branches: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight, self.bias = _branch_parameters(branches, in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, V·in_features) -> (N, V·out_features), branch after branch."""
        return _each_branch(x.unflatten(1, (len(self.weight), -1)), self.weight, self.bias).flatten(1)


def _branch_parameters(branches: int, rows: int, columns: int) -> tuple[nn.Parameter, nn.Parameter]:
    bound = 1 / math.sqrt(rows)
    weight = nn.Parameter(torch.empty(branches, rows, columns).uniform_(-bound, bound))
    return weight, nn.Parameter(torch.zeros(branches, 1, columns))


def _of_one(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, 1, I) -> (N, V, O): x weight_v + bias_v, in one product that holds no copy of x for each v."""
    product = torch.addmm(bias.flatten().to(x.dtype), x[:, 0], weight.transpose(0, 1).flatten(1).to(x.dtype))
    return product.unflatten(1, (len(weight), -1))


def _each_branch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, V, I) -> (N, V, O): x_v weight_v + bias_v."""
    product = torch.baddbmm(bias.to(x.dtype), x.transpose(0, 1), weight.to(x.dtype))
    return product.transpose(0, 1)
