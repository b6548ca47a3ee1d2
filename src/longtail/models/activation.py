"""Where a network looked: class activation maps, where a vector begins with the mean over the last map."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.models.classifier import Classifier
from longtail.models.convnet import ConvNet
from longtail.models.lite0 import Lite0
from longtail.models.resnet import ResNet
from longtail.tensors import full_precision


def has_maps(model: Classifier) -> bool:
    """Whether the vector of its backbone begins with the mean over a map."""
    return isinstance(model.backbone, ConvNet | ResNet | Lite0)


def class_activation(
    model: Classifier, images: Tensor, of: Tensor, attributes: Tensor, classes: Tensor
) -> Tensor:
    """How much each place of an image speaks for a class.

        A_hw = Σ_b w_b M_bhw,     w = ∂ logit_jk / ∂ v

    M is the map before its mean, v the vector that the head reads. Where the head is linear, w is the class
    vector V_jk; where it has a rectified layer, w is what that layer is made of at v.

    Args:
        model: with `has_maps`, in evaluation mode.
        images: (N, C, H, W), normalised; each goes through the network once.
        of: (M,) int64, the image that each result is of.
        attributes: (M,) int64, j of each.
        classes: (M,) int64, k of each.

    Returns:
        (M, H', W') float, at least 0 and at most 1: what speaks against the class is 0, and the largest of
        an image is 1, unless all of it speaks against.

    Source: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016; for heads of
    more than one layer Selvaraju et al., "Grad-CAM", ICCV 2017.
    """
    if not isinstance(model.backbone, ConvNet | ResNet | Lite0):
        raise ValueError("model: expected a backbone whose vector begins with the mean over a map")
    with torch.no_grad():
        vectors, maps = map(full_precision, model.backbone.mapped(images))
        vectors, maps = model.read(vectors)[of], maps[of]
    with torch.enable_grad():
        read = vectors.requires_grad_()
        logits = model.head(read).logits
        of_class = logits[torch.arange(len(of), device=logits.device), attributes, classes]
        (weights,) = torch.autograd.grad(of_class.sum(), read)
    found = torch.einsum("mb,mbhw->mhw", weights[:, : maps.shape[1]], maps).clamp(min=0)
    return found / found.amax((1, 2), keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
