"""From which score on the rarer of two classes is decided, for an aim other than the mean recall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from longtail.errors import InputError

AimName = Literal["balanced", "f1", "precision", "recall"]

FEWEST_POSITIVES = {"balanced": 500, "f1": 10, "precision": 50, "recall": 50}
"""Validation images of the rarer class below which a threshold is not tuned; docs/decisions.md says why."""

EXPECTED = "balanced, f1, precision=SHARE or recall=SHARE"


@dataclass(frozen=True)
class Aim:
    """What a threshold is tuned for.

    balanced: the mean of both recalls. f1: of the rarer class. precision, recall: at least `share`, and the
    other one as high as that allows; all of the rarer class.
    """

    name: AimName
    share: float | None = None

    @classmethod
    def of(cls, text: str) -> Aim:
        """The aim that a user wrote.

        Raises:
            InputError: when it is none.

        Example:
            >>> Aim.of("recall=.9")
            Aim(name='recall', share=0.9)
        """
        name, _, given = str(text).partition("=")
        try:
            share = float(given) if given else None
        except ValueError:
            share = -1.0
        if name not in FEWEST_POSITIVES or (share is not None) != (name in ("precision", "recall")):
            raise InputError(f"--threshold: expected {EXPECTED}, got {text!r}")
        if share is not None and not 0 < share < 1:
            raise InputError(f"--threshold {name}: expected a share between 0 and 1, got {given!r}")
        return cls(cast(AimName, name), share)

    @property
    def fewest(self) -> int:
        """Validation images of the rarer class that are needed."""
        return FEWEST_POSITIVES[self.name]

    def __str__(self) -> str:
        return self.name if self.share is None else f"{self.name}={self.share:g}"


ANALYTIC = 0.5
"""The threshold where classes are as frequent as the scores assume."""


@dataclass(frozen=True)
class Threshold:
    """From which score on the rarer of two classes is decided.

    Attributes:
        rare: that class.
        value: of its score.
        positives: validation images of it.
        kept: why it is the analytic one; empty where it was tuned.
    """

    rare: int
    value: float
    positives: int
    kept: str = ""


def tuned_threshold(scores: Tensor, positive: Tensor, aim: Aim) -> float | None:
    """The threshold t with the best decisions [q ≥ t] on some images, None where the aim is not reached.

    Tried are the middles between neighbouring scores; of equals the highest.

    Args:
        scores: q, (n,) float, of the rarer class.
        positive: (n,) bool, whether an image is of it.
        aim: what is best.

    Example:
        >>> q, yes = torch.tensor([0.1, 0.2, 0.6, 0.8]), torch.tensor([False, True, False, True])
        >>> round(tuned_threshold(q, yes, Aim("recall", 0.9)), 2)
        0.15
        >>> round(tuned_threshold(q, yes, Aim("precision", 0.9)), 2)
        0.7
    """
    values, order = scores.double().sort(descending=True)
    hit = positive[order].double()
    hits, chosen = hit.cumsum(0), torch.arange(1, len(hit) + 1, dtype=torch.float64)
    good = _GOOD[aim.name](hits, chosen, aim.share or 0.0)
    last = torch.cat([values[1:] < values[:-1], values.new_ones(1, dtype=torch.bool)])  # of equal scores
    good = torch.where(last, good, -torch.inf)
    best = int(good.argmax())
    if good[best] == -torch.inf:
        return None
    return float((values[best] + torch.cat([values[1:], values.new_zeros(1)])[best]) / 2)


def _balanced(hits: Tensor, chosen: Tensor, _: float) -> Tensor:
    others = len(hits) - hits[-1]
    return hits / hits[-1] - (chosen - hits) / others


def _f1(hits: Tensor, chosen: Tensor, _: float) -> Tensor:
    return 2 * hits / (chosen + hits[-1])


def _precision(hits: Tensor, chosen: Tensor, least: float) -> Tensor:
    return torch.where(hits / chosen >= least, hits, -torch.inf)


def _recall(hits: Tensor, chosen: Tensor, least: float) -> Tensor:
    return torch.where(hits / hits[-1] >= least, -chosen, -torch.inf)


_GOOD: dict[AimName, Callable[[Tensor, Tensor, float], Tensor]] = {
    "balanced": _balanced,
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
}
"""How good the decision for the first scores is, of hits among them, their number and the least share."""
