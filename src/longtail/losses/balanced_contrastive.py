"""Balanced contrastive loss: every class pushes alike, however many images of it a batch holds."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.rectification.share import ALONE, Share
from longtail.schema import as_features, as_labels, expect_classes
from longtail.tensors import masked_mean, unit_vectors


def balanced_contrastive(
    features: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    present: Tensor,
    temperature: float = 0.1,
    *,
    share: Share = ALONE,
) -> Tensor:
    """Pull every image to its class and its prototype, and away from the mean of every other class.

        l_i = - 1/|A_y \\ i| Σ_{p ∈ A_y \\ i} log  e^{s_ip} / Σ_c 1/|A_c \\ i| Σ_{a ∈ A_c \\ i} e^{s_ia}

        A_c = B_c ∪ {prototype of c},     s_ia = cos(f_i, f_a) / T,     y = a_ij

    B_c are the labelled images of class c in the batch. Prototypes are compared with, but are no
    anchors. The value is Σ_j of the mean of l_i over the labelled images that have anything of
    their class to be near to; 0, connected to the graph, without any. For two views of each image
    give both as images of one batch.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes; brought to
            unit length here.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        prototypes: (J, K, D) float, one vector a class; brought to unit length here.
        present: (J, K) bool, which prototypes exist; the others may hold anything, NaN too.
        temperature: T, above 0; 0.1 as in the authors' released code.
        share: which rows are anchors here, where processes share them.

    Raises:
        TypeError, ValueError: when types or shapes do not fit, or the temperature is not positive.

    Memory: O(J·N·(N + K)), divided by W with a share of W.

    Source: Zhu, Wang, Chen, Chen, Jiang, "Balanced Contrastive Learning for Long-Tailed Visual
    Recognition", CVPR 2022: class-averaging and class-complement. The anchor is left out of the
    mean over its own class, as in the authors' released code; not checked against the paper's text.

    Example:
        >>> features, prototypes = torch.eye(2), torch.eye(2)[None]
        >>> labels, present = torch.tensor([0, 1]), torch.ones(1, 2, dtype=torch.bool)
        >>> balanced_contrastive(features, labels, prototypes, present, temperature=1.0)  # log(1 + 1/e)
        tensor(0.3133)
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    labels = as_labels(labels)
    features = as_features(features, labels)
    _check_prototypes(prototypes, present, labels.shape[1], features.shape[2])
    expect_classes(labels, prototypes.shape[1])
    prototypes = prototypes.masked_fill(~present[..., None], 0)
    own = slice(share.rank, None, share.processes)
    similarity = _similarities(features, prototypes, own) / temperature  # (J, N, N + K), or fewer rows
    same, others, counts = _samples(labels, present, own)
    # a mean is a sum of e^(s - log count); an anchor without any sample stays finite
    exponents = similarity - counts.to(similarity.dtype).log()
    exponents = exponents.masked_fill(~others, torch.finfo(similarity.dtype).min)
    positive = same & others
    cost = exponents.logsumexp(2) - masked_mean(similarity, positive, 2)
    pulled = positive.any(2)
    total, count = share.totals((cost * pulled).sum(1), pulled.sum(1))
    return (total / count.clamp(min=1)).sum()


def _similarities(features: Tensor, prototypes: Tensor, own: slice) -> Tensor:
    """Cosines of own images with all images and prototypes: (N, J or 1, D), (J, K, D) -> (J, N, N + K)."""
    images = unit_vectors(features).transpose(0, 1).expand(prototypes.shape[0], -1, -1)
    samples = torch.cat([images, unit_vectors(prototypes).to(images.dtype)], 1)
    with torch.autocast(images.device.type, enabled=False):
        return images[:, own] @ samples.transpose(1, 2)


def _samples(labels: Tensor, present: Tensor, own: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Three (J, N, N + K) tables of an anchor and a sample, which is an image or a prototype.

    Whether they share a class; whether the sample counts; how many others its class has, at least 1.
    """
    anchors = labels.t()
    images, (attributes, classes) = labels.shape[0], present.shape
    prototypes = torch.arange(classes, device=labels.device).expand(attributes, classes)
    class_of = torch.cat([anchors.clamp(min=0), prototypes], 1)  # (J, N + K)
    exists = torch.cat([anchors >= 0, present], 1)
    members = torch.zeros_like(prototypes).scatter_add(1, class_of, exists.long())  # |A_c|
    place = torch.arange(images + classes, device=labels.device)
    itself = place[:images][own, None] == place
    same = anchors[:, own, None] == class_of[:, None, :]
    counts = (members.gather(1, class_of)[:, None, :] - same.long()).clamp(min=1)
    return same, exists[:, None, :] & ~itself, counts


def _check_prototypes(prototypes: Tensor, present: Tensor, attributes: int, size: int) -> None:
    if prototypes.ndim != 3 or prototypes.shape[0] != attributes or prototypes.shape[2] != size:
        raise ValueError(
            f"prototypes: expected shape ({attributes}, K, {size}), got {tuple(prototypes.shape)}"
        )
    if present.shape != prototypes.shape[:2]:
        raise ValueError(f"present: expected shape {tuple(prototypes.shape[:2])}, got {tuple(present.shape)}")
