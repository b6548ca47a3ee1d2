"""Cross entropy of images that were mixed from two, and how much each of their labels counts."""

from __future__ import annotations

from torch import Tensor

from longtail.losses.cross_entropy import costs
from longtail.ranks import batch_ratio
from longtail.schema import as_labels, as_logits, expect_classes
from longtail.tables import at_labels, expect_table, weighed
from longtail.tensors import full_precision


def mixed_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    partner_labels: Tensor,
    share: Tensor,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Cross entropy with both labels of an image, each by its share.

        l = - Σ_j 1/n_j Σ_i [ λ_ij w_y log p(y) + (1 - λ_ij) w_y' log p(y') ]

    A label that is unknown is left out with its share, and n_j is the sum of the shares of the
    known ones, at least 1: when labels are missing at random the value estimates that of the
    complete labels. λ = 1 is `cross_entropy` of the labels, λ = 0 that of the partner's.

    Args:
        logits: of the mixed images, (N, J, K) float, -inf where an attribute lacks a class;
            (N, K) for J = 1.
        labels: y, (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        partner_labels: y', of the images they were mixed with, like the labels.
        share: λ, of the label, in [0, 1]; (N, J) float, or (N,) or (N, 1) for all attributes alike.
        class_weights: w, (J, K) float; None: 1.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup", ICLR 2018.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[0.0, 1.0]])
        >>> mixed_cross_entropy(logits, torch.tensor([0]), torch.tensor([1]), torch.tensor([0.25]))
        tensor(0.5633)
    """
    labels, partner_labels = _pair(labels, partner_labels)
    logits = full_precision(as_logits(logits, labels))
    expect_classes(partner_labels, logits.shape[2])
    share = _as_share(share.to(logits.dtype), labels)
    own, other = (
        weighed(costs(logits, given), logits, given, class_weights) for given in (labels, partner_labels)
    )
    cost = share * own + (1 - share) * other
    known = share * (labels >= 0) + (1 - share) * (partner_labels >= 0)
    return batch_ratio(cost.sum(0), known.sum(0)).sum()


def remix_share(
    share: Tensor,
    labels: Tensor,
    partner_labels: Tensor,
    counts: Tensor,
    kappa: float = 3.0,
    tau: float = 0.5,
) -> Tensor:
    """The label's share of a mixed image, all of it to the label that is much rarer.

        λ_y = 0   where n_y / n_y' ≥ κ    and  λ < τ
            = 1   where n_y / n_y' ≤ 1/κ  and  1 - λ < τ
            = λ   otherwise, and where either label is unknown

    Args:
        share: λ, (N,) float, of the image itself in the mixed image; (N, 1) or (N, J) too.
        labels: y, (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        partner_labels: y', of the images they were mixed with, like the labels.
        counts: n, (J, K), the training images of each class, on the device of the labels; a class
            without any counts as one.
        kappa: κ, at least 1; 3 is the paper's value, as its public implementations report it.
        tau: τ; 0.5 likewise.

    Returns:
        λ_y, (N, J), of the type of the share.

    Raises:
        TypeError, ValueError: when types or shapes do not fit, or kappa is below 1.

    Source: Chou, Chang, Pan, Wei, Juan, "Remix: Rebalanced Mixup", ECCV Workshops 2020.

    Example:
        >>> import torch
        >>> share, counts = torch.tensor([0.4, 0.6]), torch.tensor([[30, 10]])
        >>> remix_share(share, torch.tensor([0, 0]), torch.tensor([1, 1]), counts)
        tensor([[0.0000],
                [0.6000]])
    """
    if not kappa >= 1:
        raise ValueError(f"kappa: expected a number of at least 1, got {kappa}")
    labels, partner_labels = _pair(labels, partner_labels)
    share = _as_share(share, labels)
    counts = expect_table("counts", counts, labels.shape[1], counts.shape[-1]).clamp(min=1)
    for given in (labels, partner_labels):
        expect_classes(given, counts.shape[1])
    own, partner = at_labels(counts, labels), at_labels(counts, partner_labels)
    known = (labels >= 0) & (partner_labels >= 0)
    to_partner = known & (own >= kappa * partner) & (share < tau)
    to_own = known & (kappa * own <= partner) & (1 - share < tau)
    return share.masked_fill(to_own, 1).masked_fill(to_partner, 0)


def _pair(labels: Tensor, partner_labels: Tensor) -> tuple[Tensor, Tensor]:
    labels, partner_labels = as_labels(labels), as_labels(partner_labels)
    if partner_labels.shape != labels.shape:
        expected, got = tuple(labels.shape), tuple(partner_labels.shape)
        raise ValueError(f"partner_labels: expected shape {expected}, got {got}")
    return labels, partner_labels


def _as_share(share: Tensor, labels: Tensor) -> Tensor:
    """The share as (N, J)."""
    column = share[:, None] if share.ndim == 1 else share
    images, attributes = labels.shape
    if column.ndim != 2 or column.shape[0] != images or column.shape[1] not in (1, attributes):
        raise ValueError(
            f"share: expected shape ({images}, {attributes}) or ({images},), got {tuple(share.shape)}"
        )
    return column.expand(images, attributes)
