"""Losses on all pairs of a batch: triplet, contrastive and histogram loss."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.rectification.share import ALONE, Share
from longtail.schema import as_features, as_labels
from longtail.tensors import hinge_sums, soft_histogram, unit_vectors


def triplet(features: Tensor, labels: Tensor, margin: float = 0.2, *, share: Share = ALONE) -> Tensor:
    """Images of one class should be nearer to each other than to other classes, by a margin.

        l = Σ_j 1/|T_j| Σ_{(a,p,n) ∈ T_j} max(0, m + ‖f_a - f_p‖² - ‖f_a - f_n‖²),     ‖f‖ = 1

    T_j is every labelled image with every other image of its class and every image of another
    class; |T_j| counts them all, also those that cost nothing. An attribute without triplets adds
    0, connected to the graph.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes; brought to
            unit length here.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        margin: m, on squared distances, which reach 4; 0.2 as in FaceNet.
        share: which rows are anchors here, where processes share them.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Memory: O(J·N²), although there are O(N³) triplets; O(J·N²/W) with a share of W.

    Source: Schroff, Kalenichenko, Philbin, "FaceNet", CVPR 2015, section 3.1; the
    paper mines semi-hard triplets, here all of a batch count.
    """
    cosines, same, other = _compared(features, labels, share)
    squared = (2 - 2 * cosines).expand_as(same)
    order = squared.detach().masked_fill(~other, float("inf")).argsort(2)
    m = squared.new_full(same.shape[:1], margin)
    hinges, _ = hinge_sums(squared, squared.gather(2, order), same, other.gather(2, order), m)
    total, triplets = share.totals(hinges.sum(1), (same.sum(2) * other.sum(2)).sum(1))  # |T_j|
    return (total / triplets.clamp(min=1)).sum()


def contrastive(features: Tensor, labels: Tensor, margin: float = 1.0, *, share: Share = ALONE) -> Tensor:
    """Pull images of one class together and push two classes apart; each side is averaged on its own.

        l = Σ_j ½ ( 1/|P+| Σ_{P+} d²  +  1/|P-| Σ_{P-} max(m - d, 0)² ),     d = ‖f_a - f_b‖₂, ‖f‖ = 1

    P+ and P- are the pairs of two labelled images of attribute j. A side without pairs adds 0,
    connected to the graph. Two images at the same point are not pushed apart: there is no
    direction to push them.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes; brought to
            unit length here.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        margin: m, on plain distances, which reach 2; 1.0 is the customary value.
        share: as in `triplet`.

    Raises:
        TypeError, ValueError: when types or shapes do not fit.

    Source: Hadsell, Chopra, LeCun, CVPR 2006, eq. 4, with the two means of Dong, Gong, Zhu,
    TPAMI 2019, eq. 13 as reviewed.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.875, 0.484123]])  # half a unit apart
        >>> contrastive(features, torch.tensor([0, 1]))
        tensor(0.1250)
    """
    cosines, same, other = _compared(features, labels, share)
    squared = 2 - 2 * cosines
    # √ has no gradient at 0, and the clamp gives none to what rounding left at or below it
    distance = squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
    shortfall = (margin - distance).clamp(min=0).square()
    sums = (squared * same).sum((1, 2)), (shortfall * other).sum((1, 2))
    near, far, positives, negatives = share.totals(*sums, same.sum((1, 2)), other.sum((1, 2)))
    return 0.5 * (near / positives.clamp(min=1) + far / negatives.clamp(min=1)).sum()


def histogram(features: Tensor, labels: Tensor, nodes: int = 201, *, share: Share = ALONE) -> Tensor:
    """The probability that a pair of two classes is at least as similar as a pair of one class.

        l = Σ_j Σ_r h_r⁻ φ_r⁺,     φ_r⁺ = Σ_{q ≤ r} h_q⁺     ≈  Σ_j P(s₊ ≤ s₋)

    h⁺ and h⁻ are the cosine similarities of the pairs of one class and of two classes, on R nodes
    over [-1, 1]. φ⁺ includes its own node, so that two equal histograms h cost ½ + ½ Σ h_r², not
    ½. A pair has a gradient only where the other histogram has mass beside it: if both lie apart
    in the wrong order the loss is 1 and flat. An attribute without pairs on either side adds 0,
    connected to the graph.

    Args:
        features: (N, J, D) float, or (N, 1, D) or (N, D) shared by all attributes.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        nodes: R; 201 as in the authors' released network, for batches of 128 or 256. With few
            pairs of a kind take fewer: of 16 random ones each, 86 % have no gradient at 201 nodes
            and 21 % at 21.
        share: as in `triplet`.

    Raises:
        TypeError, ValueError: when types or shapes do not fit, or there are fewer than two nodes.

    Source: Ustinova and Lempitsky, "Learning Deep Embeddings with Histogram Loss", NIPS 2016,
    section 3.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> histogram(features, torch.tensor([0, 0, 1])), histogram(features, torch.tensor([0, 1, 0]))
        (tensor(0.), tensor(1.))
    """
    if nodes < 2:
        raise ValueError(f"nodes: expected at least 2, got {nodes}")
    similarity, same, other = (table.flatten(1) for table in _compared(features, labels, share))  # (J, N²)
    similarity = similarity.expand_as(same)
    zero = similarity.new_zeros(())
    counts = share.totals(same.sum(1, keepdim=True), other.sum(1, keepdim=True))
    positive, negative = share.totals(
        *(
            soft_histogram(similarity, side, zero - 1, zero + 1, nodes, count)
            for side, count in zip((same, other), counts, strict=True)
        )
    )
    return (negative * positive.cumsum(1)).sum()


def _compared(features: Tensor, labels: Tensor, share: Share) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines of all images with each other, and which labelled ones share a class, and which do not.

    (J or 1, N, N) float, which rounding may take a little beyond ±1, and two (J, N, N) bool; with a share
    only its rows.
    """
    labels, own = as_labels(labels), slice(share.rank, None, share.processes)
    unit = unit_vectors(as_features(features, labels)).transpose(0, 1)
    with torch.autocast(unit.device.type, enabled=False):
        cosines = unit[:, own] @ unit.transpose(1, 2)
    columns, place = labels.t(), torch.arange(len(labels), device=labels.device)
    equal = columns[:, own, None] == columns[:, None, :]
    labelled = (columns[:, own, None] >= 0) & (columns[:, None, :] >= 0)
    itself = place[own, None] == place
    return cosines, equal & labelled & ~itself, ~equal & labelled
