"""Three ways to compare the mined positives and negatives of the anchors.

Each is a function of `HardPairs`; pairs of all attributes count alike. Where there is
nothing to compare the value is 0, connected to the graph. Each is made of sums over the pairs of all
anchors, so that processes which share the anchors add up theirs.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from longtail.rectification.share import ALONE, Share
from longtail.tensors import hinge_sums, soft_histogram


class HardPairs(NamedTuple):
    """Distances of the mined pairs of every anchor: A anchors, P positives, Q negatives at most.

    Attributes:
        positive: (J, A, P) float, d(a, +).
        negative: (J, A, Q) float, d(a, -), ascending along the last dimension.
        positive_mask: (J, A, P) bool, the pairs that exist.
        negative_mask: (J, A, Q) bool, the pairs that exist, in front of those that do not.
        positive_row: (J, A, P) int64, row of the batch of each positive; None where nobody asked for it.
        negative_row: (J, A, Q) int64, the same of each negative.
    """

    positive: Tensor
    negative: Tensor
    positive_mask: Tensor
    negative_mask: Tensor
    positive_row: Tensor | None = None
    negative_row: Tensor | None = None


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

    @property
    def sides(self) -> tuple[Tensor, Tensor]:
        """|P+| and |P-|, scalars."""
        return self.positives.sum(), self.negatives.sum()

    def mean(self) -> Compared:
        """The same, with a sum over all triplets divided by their number."""
        return self._replace(loss=self.loss / self.triplets.sum().clamp(min=1))


def hinges(pairs: HardPairs, margin: Tensor) -> Compared:
    """Triplet ranking: every positive should be nearer than every negative by the margin.

        l = 1/|T| Σ_{(a,+,-) ∈ T} max(0, m_j + d(a,+) - d(a,-))

    T is each anchor with each of its positives and each of its negatives; |T| counts them all,
    not only the active ones. What is given has the sum in place of l, and `mean` divides it by |T|: where
    processes share the anchors, each number is summed before.

    Args:
        pairs: the mined pairs.
        margin: m_j, shape (J,).

    Source: the ICCV 2017 poster, on relative comparison; TPAMI 2019, eq. 9 as reviewed.
    """
    sums, active = hinge_sums(*pairs[:4], margin)
    positives, negatives = pairs.positive_mask.sum(2), pairs.negative_mask.sum(2)
    triplets = positives * negatives
    anchors = (triplets > 0).sum(1)
    counts = positives.sum(1), negatives.sum(1), triplets.sum(1), active.sum(1)
    return Compared(sums.sum(), anchors, *counts)


def absolute(
    pairs: HardPairs, margin: Tensor, power: int, sides: tuple[Tensor, Tensor], share: Share = ALONE
) -> Tensor:
    """Contrast: positives near, negatives beyond the margin, each side averaged on its own.

        l = ½ ( Σ_{P+} d(a,+)^q / |P+|  +  Σ_{P-} max(m_j - d(a,-), 0)² / |P-| )

    Args:
        pairs: the mined pairs.
        margin: m_j, shape (J,).
        power: q; the ICCV poster prints 1, TPAMI 2.
        sides: |P+| and |P-| of all anchors, see `Compared.sides`.
        share: which of the anchors these are.

    Source: the ICCV 2017 poster, on absolute comparison; TPAMI 2019, eq. 13 as reviewed.
    """
    shortfall = (margin[:, None, None] - pairs.negative).clamp(min=0).square()
    near = (pairs.positive**power * pairs.positive_mask).sum() / sides[0].clamp(min=1)
    far = (shortfall * pairs.negative_mask).sum() / sides[1].clamp(min=1)
    (loss,) = share.totals(0.5 * (near + far))
    return loss


def distribution(
    pairs: HardPairs,
    low: Tensor,
    high: Tensor,
    nodes: int,
    sides: tuple[Tensor, Tensor],
    share: Share = ALONE,
) -> Tensor:
    """Histograms: the probability that a negative pair is no farther apart than a positive pair.

        l = Σ_t h_t⁺ Σ_{k ≤ t} h_k⁻  ≈  P(d₋ ≤ d₊)

    h⁺ and h⁻ are the distances of all positive and all negative pairs on τ nodes over
    [low, high], each distance shared linearly between its two neighbouring nodes, so that a
    histogram sums to 1. A pair has a gradient only where the other histogram has mass beside it; low and high
    have none, also where high is the largest distance that was mined.

    Args:
        pairs: the mined pairs.
        low: first node, scalar.
        high: last node, scalar; distances outside are counted at the ends.
        nodes: τ.
        sides: |P+| and |P-| of all anchors, see `Compared.sides`.
        share: which of the anchors these are.

    Source: the ICCV 2017 poster, on distribution comparison, whose kernel ς lacks 1/Δ, so that the printed
    value is Δ² of this one; TPAMI 2019, eq. 14-16 as reviewed, after Ustinova and Lempitsky, NIPS 2016.
    """
    distances = (pairs.positive, pairs.positive_mask), (pairs.negative, pairs.negative_mask)
    positive, negative = share.totals(
        *(
            soft_histogram(values.flatten(), mask.flatten(), low, high, nodes, count)
            for (values, mask), count in zip(distances, sides)
        )
    )
    return (positive * negative.cumsum(0)).sum()
