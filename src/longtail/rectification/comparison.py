"""Three ways to compare the mined positives and negatives of the anchors.

Each is a pure function of `HardPairs`; pairs of all attributes count alike. Where there is
nothing to compare the value is 0, connected to the graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from longtail.rectification.mining import HardPairs


class Compared(NamedTuple):
    """The relative comparison and what it counted.

    Attributes:
        loss: scalar.
        anchors: images with a positive and a negative pair, (J,) int64.
        positives, negatives: pairs, (J,) int64.
        triplets: anchor × positive × negative, (J,) int64; |T| is the sum.
        active: triplets with a positive hinge, (J,) int64.
    """

    loss: Tensor
    anchors: Tensor
    positives: Tensor
    negatives: Tensor
    triplets: Tensor
    active: Tensor


def relative(pairs: HardPairs, margin: Tensor) -> Compared:
    """Triplet ranking: every positive should be nearer than every negative by the margin.

        l = 1/|T| Σ_{(a,+,-) ∈ T} max(0, m_j + d(a,+) - d(a,-))

    T is each anchor with each of its positives and each of its negatives; |T| counts them all,
    not only the active ones.

    Args:
        pairs: the mined pairs.
        margin: m_j, shape (J,).

    Source: ICCV 2017, eq. 9.
    """
    hinges, active = hinge_sums(pairs, margin)
    positives, negatives = pairs.positive_mask.sum(2), pairs.negative_mask.sum(2)
    triplets = positives * negatives
    loss = hinges.sum() / triplets.sum().clamp(min=1)
    anchors = (triplets > 0).sum(1)
    return Compared(loss, anchors, positives.sum(1), negatives.sum(1), triplets.sum(1), active.sum(1))


def hinge_sums(pairs: HardPairs, margin: Tensor) -> tuple[Tensor, Tensor]:
    """Of every anchor the sum of its hinges over all its triplets; no κ × κ table.

        Σ_+ Σ_- max(0, m_j + d₊ - d₋) = Σ_+ r₊ (m_j + d₊) - Σ_- c₋ d₋

    r₊ = #{d₋ < m_j + d₊} and c₋ = #{m_j + d₊ > d₋} count the hinges that are positive. The negatives
    lie in ascending order, so that r is a search, and c follows from how often each r occurs.

    Args:
        pairs: A anchors with P positives and Q negatives each.
        margin: m_j, shape (J,).

    Returns:
        The sums, (J, A) float, and how many hinges are positive, (J, A) int64.
    """
    reach = margin[:, None, None] + pairs.positive  # (J, A, P)
    with torch.no_grad():
        ascending = torch.where(pairs.negative_mask, pairs.negative, float("inf"))
        beaten = torch.searchsorted(ascending, reach.contiguous()) * pairs.positive_mask  # r
        r = beaten.to(reach.dtype)
        at = reach.new_zeros(*ascending.shape[:2], ascending.shape[2] + 1)
        at.scatter_add_(2, beaten, torch.ones_like(r))
        c = r.shape[2] - at.cumsum(2)[:, :, :-1]  # the reaches that beat more than q negatives
    sums = (r * reach).sum(2) - (c * pairs.negative).sum(2)
    return sums, r.sum(2).to(torch.int64)


def absolute(pairs: HardPairs, margin: Tensor, power: int) -> Tensor:
    """Contrast: positives near, negatives beyond the margin, each side averaged on its own.

        l = ½ ( Σ_{P+} d(a,+)^q / |P+|  +  Σ_{P-} max(m_j - d(a,-), 0)² / |P-| )

    Args:
        pairs: the mined pairs.
        margin: m_j, shape (J,).
        power: q; the ICCV poster prints 1, TPAMI 2.

    Source: ICCV 2017, eq. 13; TPAMI 2019, eq. 13.
    """
    shortfall = (margin[:, None, None] - pairs.negative).clamp(min=0).square()
    near = masked_mean(pairs.positive**power, pairs.positive_mask)
    return 0.5 * (near + masked_mean(shortfall, pairs.negative_mask))


def distribution(pairs: HardPairs, low: Tensor, high: Tensor, nodes: int) -> Tensor:
    """Histograms: the probability that a negative pair is no farther apart than a positive pair.

        l = Σ_t h_t⁺ Σ_{k ≤ t} h_k⁻  ≈  P(d₋ ≤ d₊)

    h⁺ and h⁻ are the distances of all positive and all negative pairs on τ nodes over
    [low, high], each distance shared linearly between its two neighbouring nodes, so that a
    histogram sums to 1. A pair has a gradient only where the other histogram has mass beside it.

    Args:
        pairs: the mined pairs.
        low: first node, scalar.
        high: last node, scalar; distances outside are counted at the ends.
        nodes: τ.

    Source: ICCV 2017, eq. 14-16, after Ustinova and Lempitsky, NIPS 2016.
    """
    positive = soft_histogram(pairs.positive.flatten(), pairs.positive_mask.flatten(), low, high, nodes)
    negative = soft_histogram(pairs.negative.flatten(), pairs.negative_mask.flatten(), low, high, nodes)
    return (positive * negative.cumsum(0)).sum()


def masked_mean(values: Tensor, mask: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Mean of the finite values where the mask holds; 0, connected to the graph, where it never does."""
    return (values * mask).sum(dim) / mask.sum(dim).clamp(min=1)


def soft_histogram(values: Tensor, mask: Tensor, low: Tensor, high: Tensor, nodes: int) -> Tensor:
    """Shares of the values at τ nodes over [low, high], each value split between its two neighbours.

        h_t = 1/|M| Σ_{i ∈ M} max(0, 1 - |x_i - low - tΔ| / Δ),     Δ = (high - low) / (τ - 1)

    Args:
        values: (..., P) float; outside of [low, high] they count at the ends, without gradient.
        mask: (..., P) bool, M.
        low: first node, scalar.
        high: last node, scalar.
        nodes: τ, at least 2.

    Returns:
        (..., τ) float, which sums to 1, or is 0 where M is empty.

    Source: Ustinova and Lempitsky, NIPS 2016, section 3.
    """
    spacing = ((high - low) / (nodes - 1)).clamp(min=torch.finfo(values.dtype).tiny)
    position = (values.clamp(low, high) - low) / spacing
    # a value on the last node keeps its mass; clamped as an integer, so that NaN is no wild index
    lower = position.detach().floor().to(torch.int64).clamp(0, nodes - 2)
    upper_share = position - lower
    weight = mask.to(values.dtype) / mask.sum(-1, keepdim=True).clamp(min=1)
    histogram = values.new_zeros(*mask.shape[:-1], nodes)
    histogram = histogram.scatter_add(-1, lower, (1 - upper_share) * weight)
    return histogram.scatter_add(-1, lower + 1, upper_share * weight)
