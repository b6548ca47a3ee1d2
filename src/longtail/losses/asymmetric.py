"""Asymmetric loss for attributes that are present or absent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtail.losses.focal import log_slope, modulated
from longtail.ranks import batch_mean
from longtail.schema import as_labels, as_logits
from longtail.tensors import full_precision

_NEVER = -1e30  # the log odds of η = 0; not -inf, so that the only class in training keeps a score


def asymmetric(
    logits: Tensor, labels: Tensor, gamma_pos: float = 0.0, gamma_neg: float = 4.0, clip: float = 0.05
) -> Tensor:
    """Focal loss whose negatives fade faster than its positives, and count nothing once they are easy.

        l = - Σ_j 1/n_j Σ_i  (1 - p)^γ₊ log p            where class 1 is the label,
                             p_m^γ₋ log(1 - p_m)         where class 0 is,     p_m = max(p - m, 0)

    p is the softmax probability of class 1. γ₊ = γ₋ and m = 0 is `focal`. n_j counts the labelled
    images; an attribute without any adds 0, connected to the graph. The gradient is that of the
    whole formula; the authors' training script takes the factors before the logarithms as constants.

    Args:
        logits: (N, J, 2) float; (N, 2) for J = 1. Class 1 is the positive.
        labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
        gamma_pos: γ₊, at least 0; 0 as in the authors' training script.
        gamma_neg: γ₋, at least 0; 4 as there.
        clip: m, in [0, 1); 0.05 as there: a negative with p ≤ m costs nothing.

    Raises:
        TypeError, ValueError: when types or shapes do not fit, attributes have other than two
            classes, or a parameter is out of range.

    Source: Ridnik et al., "Asymmetric Loss for Multi-Label Classification", ICCV 2021, with a
    softmax over two classes in place of the sigmoid of one logit, and means in place of sums.

    Example:
        >>> logits = torch.zeros(1, 2)
        >>> asymmetric(logits, torch.tensor([1])), asymmetric(logits, torch.tensor([0]))
        (tensor(0.6931), tensor(0.0245))
    """
    if not (gamma_pos >= 0 and gamma_neg >= 0 and 0 <= clip < 1):
        raise ValueError(
            "gamma_pos, gamma_neg, clip: expected at least 0, at least 0 and from 0 to below 1, "
            f"got {gamma_pos}, {gamma_neg}, {clip}"
        )
    labels = as_labels(labels)
    logits = full_precision(as_logits(logits, labels))
    if logits.shape[2] != 2:
        raise ValueError(f"logits: expected two classes, absent and present, got {logits.shape[2]}")
    log_absent, log_present = logits.log_softmax(2).unbind(2)
    log_clip = logits.new_full((), math.log(clip) if clip else -math.inf)
    log_shifted = torch.logaddexp(log_absent, log_clip).clamp(max=0)  # log(1 - p_m) = log min(1 - p + m, 1)
    positive = labels == 1
    cost = -torch.where(positive, log_present, log_shifted)
    gamma = torch.where(positive, logits.new_full((), gamma_pos), logits.new_full((), gamma_neg))
    return batch_mean(modulated(cost, gamma), labels >= 0, 0).sum()


def asymmetric_posterior(
    logits: Tensor, gamma_pos: float = 0.0, gamma_neg: float = 4.0, clip: float = 0.05
) -> Tensor:
    """Logits of the posterior that the asymmetric loss learned: its own softmax is not that posterior.

        η / (1 - η) = L₋'(p) / -L₊'(p),     L₊(p) = -(1 - p)^γ₊ log p,     L₋(p) = -p_m^γ₋ log(1 - p_m)

    with p the softmax probability and η the posterior of class 1: at the minimum of η L₊ + (1 - η) L₋.
    p ≤ m stands for η = 0, whichever p it is, since a negative costs nothing there. Where m > 0 and
    γ₊ = 0, p goes to 1 already at η = `asymmetric_ceiling`, and nothing tells what is above.

    Args:
        logits: (N, J, 2) float.
        gamma_pos, gamma_neg, clip: γ₊, γ₋ and m, of the training.

    Returns:
        (N, J, 2), at least float32 and finite: 0 and log η / (1 - η), a large negative number where η = 0.

    Example:
        >>> logits = torch.tensor([[[0.5, 0.5]]]).log()
        >>> asymmetric_posterior(logits).softmax(2)
        tensor([[[0.8724, 0.1276]]])
    """
    log_absent, log_present = full_precision(logits).log_softmax(2).unbind(2)
    log_clip = log_present.new_full((), math.log(clip) if clip else -math.inf)
    log_shifted = torch.logaddexp(log_absent, log_clip).clamp(max=0)  # log(1 - p_m)
    counts = log_present > log_clip
    log_p_m = log_present + torch.log1p(-torch.where(counts, log_clip - log_present, -torch.inf).exp())
    odds = log_slope(log_shifted, log_p_m, gamma_neg) - log_slope(log_present, log_absent, gamma_pos)
    return torch.stack([torch.zeros_like(odds), torch.where(counts, odds, _NEVER)], 2)


def asymmetric_ceiling(gamma_pos: float = 0.0, gamma_neg: float = 4.0, clip: float = 0.05) -> float:
    """The posterior of class 1 from which on the minimiser is p = 1, so that none above can be told.

    Args:
        gamma_pos, gamma_neg, clip: γ₊, γ₋ and m, of the training.

    Returns:
        1 where γ₊ > 0 or m = 0: p = 1 then stands for certainty alone.

    Example:
        >>> round(asymmetric_ceiling(), 3)
        0.964
    """
    if gamma_pos > 0 or clip == 0:
        return 1.0
    surest = torch.tensor([[[-torch.inf, 0.0]]])
    return float(asymmetric_posterior(surest, gamma_pos, gamma_neg, clip).softmax(2)[0, 0, 1])
