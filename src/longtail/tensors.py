"""What the losses share: precision, unit vectors, means under a mask, soft histograms, sums of hinges."""

from __future__ import annotations

import torch
from torch import Tensor

_SHORTEST = 1e-12  # below this length a vector has no direction
_NO_MISS = -1e30  # log(1 - p) of the only class that there is


def full_precision(values: Tensor) -> Tensor:
    """Half precision brought to float32; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def unit_vectors(vectors: Tensor) -> Tensor:
    """x / ‖x‖₂ along the last dimension, in at least float32.

    A vector without a direction becomes 0 and has no gradient: dividing by a small constant
    instead would multiply its gradient by the inverse of that constant.
    """
    vectors = full_precision(vectors)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.masked_fill(length < _SHORTEST, float("inf"))


def log_miss(logits: Tensor) -> Tensor:
    """log(1 - p_k) with p the softmax, exact next to p = 1, with finite slopes: (..., K) -> (..., K)."""
    log_p = logits.log_softmax(-1)
    top = logits.argmax(-1, keepdim=True)
    of_top = log_p.scatter(-1, top, _NO_MISS).logsumexp(-1, keepdim=True)  # 1 - p of the largest
    others = log_p.scatter(-1, top, -torch.inf).exp()  # at most ½: log(1 - p) has a bounded slope there
    return torch.log1p(-others).scatter(-1, top, of_top)


def masked_mean(values: Tensor, mask: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Mean of the finite values where the mask holds; 0, connected to the graph, where it never does."""
    return (values * mask).sum(dim) / mask.sum(dim).clamp(min=1)


def soft_histogram(
    values: Tensor, mask: Tensor, low: Tensor, high: Tensor, nodes: int, count: Tensor | None = None
) -> Tensor:
    """Shares of the values at τ nodes over [low, high], each value split between its two neighbours.

        h_t = 1/|M| Σ_{i ∈ M} max(0, 1 - |x_i - low - tΔ| / Δ),     Δ = (high - low) / (τ - 1)

    Args:
        values: (..., P) float; outside of [low, high] they count at the ends, without gradient.
        mask: (..., P) bool, M.
        low: first node, scalar.
        high: last node, scalar.
        nodes: τ, at least 2.
        count: takes the place of |M| where M is a part of what is counted.

    Returns:
        (..., τ) float, which sums to 1 without `count`, or is 0 where M is empty.

    Source: Ustinova and Lempitsky, NIPS 2016, section 3.
    """
    spacing = ((high - low) / (nodes - 1)).clamp(min=torch.finfo(values.dtype).tiny)
    position = (values.clamp(low, high) - low) / spacing
    # a value on the last node keeps its mass; clamped as an integer, so that NaN is no wild index
    lower = position.detach().floor().to(torch.int64).clamp(0, nodes - 2)
    upper_share = position - lower
    count = mask.sum(-1, keepdim=True) if count is None else count
    weight = mask.to(values.dtype) / count.clamp(min=1)
    histogram = values.new_zeros(*mask.shape[:-1], nodes)
    histogram = histogram.scatter_add(-1, lower, (1 - upper_share) * weight)
    return histogram.scatter_add(-1, lower + 1, upper_share * weight)


def hinge_sums(
    positive: Tensor, negative: Tensor, positive_mask: Tensor, negative_mask: Tensor, margin: Tensor
) -> tuple[Tensor, Tensor]:
    """Of every anchor the sum of its hinges over all its triplets; no κ × κ table.

        Σ_+ Σ_- max(0, m_j + d₊ - d₋) = Σ_+ r₊ (m_j + d₊) - Σ_- c₋ d₋

    r₊ = #{d₋ < m_j + d₊} and c₋ = #{m_j + d₊ > d₋} count the hinges that are positive. The negatives
    lie in ascending order, so that r is a search, and c follows from how often each r occurs.

    Args:
        positive: d₊, (J, A, P) float.
        negative: d₋, (J, A, Q) float, ascending along the last dimension.
        positive_mask: (J, A, P) bool, the positives that exist.
        negative_mask: (J, A, Q) bool, the negatives that exist, in front of those that do not.
        margin: m_j, shape (J,).

    Returns:
        The sums, (J, A) float, and how many hinges are positive, (J, A) int64.
    """
    reach = margin[:, None, None] + positive  # (J, A, P)
    with torch.no_grad():
        ascending = torch.where(negative_mask, negative, float("inf"))
        beaten = torch.searchsorted(ascending, reach.contiguous()) * positive_mask  # r
        r = beaten.to(reach.dtype)
        at = reach.new_zeros(*ascending.shape[:2], ascending.shape[2] + 1)
        at.scatter_add_(2, beaten, torch.ones_like(r))
        c = r.shape[2] - at.cumsum(2)[:, :, :-1]  # the reaches that beat more than q negatives
    sums = (r * reach).sum(2) - (c * negative).sum(2)
    return sums, r.sum(2).to(torch.int64)
