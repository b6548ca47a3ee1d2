"""Three ways to compare the mined positives and negatives of the anchors.

Each is a pure function of `HardPairs`; pairs of all attributes count alike. Where there is
nothing to compare the value is 0, connected to the graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from longtail.rectification.mining import HardPairs


class Compared(NamedTuple):
    """The relative comparison and what it counted.

    Attributes:
        loss: scalar.
        triplets: |T|, scalar int64.
        active: triplets with a positive hinge, scalar int64.
    """

    loss: Tensor
    triplets: Tensor
    active: Tensor


def relative(pairs: HardPairs, margin: Tensor) -> Compared:
    """Triplet ranking: every positive should be nearer than every negative by the margin.

        l = 1/|T| Σ_{(a,+,-) ∈ T} max(0, m_j + d(a,+) - d(a,-))

    T is each anchor with each of its positives and each of its negatives; |T| counts them all,
    not only the active ones. The negatives lie in ascending order, so for one positive the sum
    over them is r·(m + d₊) - Σ_{i ≤ r} d₋ᵢ with r = #{d₋ < m + d₊}: a search and a prefix sum
    instead of a κ × κ table.

    Args:
        pairs: the mined pairs.
        margin: m_j, shape (J,).

    Source: ICCV 2017, eq. 9.
    """
    reach = margin[:, None, None] + pairs.positive  # (J, A, P)
    ascending = pairs.negative.detach().masked_fill(~pairs.negative_mask, float("inf")).contiguous()
    beaten = torch.searchsorted(ascending, reach.detach().contiguous())  # r, (J, A, P)
    prefix = pad((pairs.negative * pairs.negative_mask).cumsum(2), (1, 0))
    hinges = beaten * reach - prefix.gather(2, beaten)

    triplets = (pairs.positive_mask.sum(2) * pairs.negative_mask.sum(2)).sum()
    active = (beaten * pairs.positive_mask).sum()
    return Compared((hinges * pairs.positive_mask).sum() / triplets.clamp(min=1), triplets, active)


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
    near = _mean(pairs.positive**power, pairs.positive_mask)
    return 0.5 * (near + _mean(shortfall, pairs.negative_mask))


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
    positive = _histogram(pairs.positive, pairs.positive_mask, low, high, nodes)
    negative = _histogram(pairs.negative, pairs.negative_mask, low, high, nodes)
    return (positive * negative.cumsum(0)).sum()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _histogram(distances: Tensor, mask: Tensor, low: Tensor, high: Tensor, nodes: int) -> Tensor:
    """Shares of the distances at `nodes` nodes, with a triangular kernel; sums to 1, or 0 if empty."""
    spacing = ((high - low) / (nodes - 1)).clamp(min=torch.finfo(distances.dtype).tiny)
    position = ((distances.clamp(low, high) - low) / spacing).flatten()
    lower = position.detach().floor().clamp(max=nodes - 2)  # a value on the last node keeps its mass
    upper_share = position - lower
    weight = mask.flatten().to(distances.dtype) / mask.sum().clamp(min=1)
    index = lower.to(torch.int64)
    histogram = distances.new_zeros(nodes).index_add(0, index, (1 - upper_share) * weight)
    return histogram.index_add(0, index + 1, upper_share * weight)
