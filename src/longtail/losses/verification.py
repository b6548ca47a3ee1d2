"""Verification of DeepID2: whether two images show the same person."""

from __future__ import annotations

import torch
from torch import Tensor

from longtail.ranks import batch_mean
from longtail.tensors import full_precision


def verification(first: Tensor, second: Tensor, same: Tensor, valid: Tensor, margin: Tensor) -> Tensor:
    """Pairs of one identity together, pairs of two identities apart by the margin.

        Verif = ½ d²               for one identity,      d = ‖f_i - f_j‖₂
              = ½ max(0, m - d)²   for two identities

    The vectors are not brought to unit length. The value is the mean over all valid pairs; 0,
    connected to the graph, without any.

    Args:
        first: f_i, (P, D) float.
        second: f_j, (P, D) float.
        same: (P,) bool, of one identity.
        valid: (P,) bool, pairs that count.
        margin: m, scalar; see `best_margin`.

    Source: Sun, Chen, Wang, Tang, NIPS 2014, eq. 2, after Hadsell, Chopra, LeCun, CVPR 2006.

    Example:
        >>> first, second = torch.tensor([[0.0], [0.0]]), torch.tensor([[0.5], [0.5]])
        >>> same, valid = torch.tensor([True, False]), torch.tensor([True, True])
        >>> verification(first, second, same, valid, torch.tensor(1.5))  # ½ (½·0.25 + ½·1.0)
        tensor(0.3125)
    """
    difference = full_precision(first) - full_precision(second)
    distance = torch.linalg.vector_norm(difference, dim=1)  # its gradient at 0 is 0
    shortfall = (margin - distance).clamp(min=0)
    return batch_mean(0.5 * torch.where(same, distance, shortfall).square(), valid)


def best_margin(distances: Tensor, same: Tensor, valid: Tensor) -> Tensor:
    """The cut between distances of one and of two identities with the smallest balanced error.

        m = argmin_m  #{same, d > m} / #{same}  +  #{different, d ≤ m} / #{different}

    Both errors are shares of their own kind, since with few same pairs the plain number of errors
    is smallest at a cut near 0. m is tried half-way between neighbouring distances and at the
    largest of them; the smallest of equally good cuts is taken, so that separable distances give
    the middle of the gap. Where one kind has no valid pair the largest valid distance is returned,
    and 0 without any valid pair.

    Args:
        distances: (P,) float, at least 0, finite where valid; P ≥ 1.
        same: (P,) bool, pairs of one identity.
        valid: (P,) bool, pairs that count.

    Returns:
        m, scalar, without gradient.

    Source: Sun, Chen, Wang, Tang, NIPS 2014: m is set again from recent training pairs;
    balancing the two errors is an addition.

    Example:
        >>> same = torch.tensor([True, False, False, False])
        >>> best_margin(torch.tensor([1.0, 2.0, 3.0, 4.0]), same, torch.ones(4, dtype=torch.bool))
        tensor(1.5000)
    """
    ascending, order = distances.detach().masked_fill(~valid, float("inf")).sort()
    following = torch.cat([ascending[1:], ascending[-1:]])
    cut = (ascending + torch.where(following < float("inf"), following, ascending)) / 2
    below = torch.searchsorted(ascending, cut, right=True) - 1
    same_below = (same & valid)[order].cumsum(0)
    different_below = (~same & valid)[order].cumsum(0)
    # times both numbers of pairs, so that equal errors are equal integers; invalid pairs make
    # infinite cuts, whose error is that of the largest distance, which comes first
    misses = (same_below[-1] - same_below[below]) * different_below[-1]
    error = misses + different_below[below] * same_below[-1]
    best = cut.gather(0, error.argmin(0, keepdim=True)).squeeze(0)  # cut[i] would wait for the device
    largest = distances.detach().masked_fill(~valid, 0).amax()
    return torch.where((same_below[-1] > 0) & (different_below[-1] > 0), best, largest)
