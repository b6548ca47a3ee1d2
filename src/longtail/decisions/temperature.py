"""One number that makes scores as sure as they are right, found on validation images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RANGE = 0.05, 20.0
"""Temperatures that are tried."""

BELIEVED = 10.0
"""Images, in effect, that are as right as their scores say: what few images alone would say too strongly."""

SMALLEST = 1e-12
"""Score of the true class that counts for smaller ones too: none of k votes is not impossible."""


def tempered(scores: Tensor, temperature: Tensor) -> Tensor:
    """Scores made flatter (T > 1) or sharper (T < 1); which of them is the largest stays.

        q'_k = q_k^(1/T) / Σ_k' q_k'^(1/T)

    Of a softmax that is the softmax of z / T.

    Args:
        scores: q, (..., J, K) float, from 0.
        temperature: T, (J,) above 0.

    Returns:
        (..., J, K), sum 1; where all scores are 0, as neighbours give them without a reference, they stay.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.

    Example:
        >>> import torch
        >>> tempered(torch.tensor([[[0.2, 0.8]]]), torch.tensor([2.0]))
        tensor([[[0.3333, 0.6667]]])
    """
    found = (scores.log() / temperature[:, None]).softmax(-1)
    return torch.where((scores > 0).any(-1, keepdim=True), found, scores)


def best_temperature(scores: Tensor, labels: Tensor, weights: Tensor) -> float:
    """The temperature with the smallest log loss on some images, in `RANGE`.

        argmin_T  - Σ_i w_i (log q'_{i, y_i} + m / n Σ_k q_ik log q'_ik),     n = (Σ_i w_i)² / Σ_i w_i²

    The second term stands for m = `BELIEVED` images that are as right as their scores say. Without it the
    scores of an easy attribute, whose few validation images are all right, would be made as sure as can be.
    The loss is convex in 1 / T, so that its slope tells the side: bisection of log T.

    Args:
        scores: q, (n, K) float, of one attribute.
        labels: y, (n,) int64.
        weights: w, (n,) float, from 0.

    Example:
        >>> import torch
        >>> q = torch.tensor([[0.9, 0.1]] * 400)  # as sure as .9, right in 3 of 4
        >>> T = best_temperature(q, torch.tensor([0, 0, 0, 1] * 100), torch.ones(400))
        >>> tempered(q[:1, None], torch.tensor([T]))[0, 0, 0].round(decimals=3)
        tensor(0.7540)
    """
    logs = scores.double().clamp(min=SMALLEST).log()
    true, own = logs.gather(1, labels[:, None])[:, 0], (logs.exp() * logs).sum(1)
    believed = BELIEVED * weights.square().sum() / weights.sum().square()  # m / n
    low, high = map(math.log, RANGE)
    for _ in range(50):
        middle = (low + high) / 2
        mean = ((logs / math.exp(middle)).softmax(1) * logs).sum(1)
        slope = (weights * (true - mean + believed * (own - mean))).sum()  # of minus the loss in 1 / T
        sharper = bool(slope > 0)
        low, high = (low, middle) if sharper else (middle, high)
    return math.exp((low + high) / 2)
