"""Names, summaries and options of the methods, for people and configuration files: no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

METHODS = {
    "ce": "cross entropy on shuffled batches, the baseline",
    "crl": "cross entropy and the Class Rectification Loss",
}


@dataclass(frozen=True)
class CRLOptions:
    """Class Rectification Loss."""

    level: Literal["class", "instance"] = "class"
    """Mine hard pairs on predicted probabilities ("class") or on feature distances ("instance")."""

    comparison: Literal["relative", "absolute", "distribution"] = "relative"
    """Compare the pairs by triplet ranking, by contrast, or by their histograms."""

    kappa: int = 25
    """Hard positives and hard negatives that are mined for each minority class or image."""

    rho: float = 0.5
    """Share of a batch that its minority classes hold together at most."""

    margin: float | None = None
    """Margin of the comparison; by default 0.5, or 2 pi / classes with --crl.raw-features."""

    power: Literal[1, 2] = 1
    """Power of the positive distances in the absolute comparison."""

    raw_features: bool = False
    """Take distances between features as they are, not at unit length (instance level)."""

    nodes: int = 21
    """Nodes of the histograms of the distribution comparison."""

    balance: Literal["sum", "tpami"] = "sum"
    """Add the loss to cross entropy ("sum"), or mix them by the imbalance of the training data ("tpami")."""

    weight: float = 1.0
    """Weight of the loss in the sum."""

    alpha: float | None = None
    """Share of the loss in the "tpami" mix; by default eta times the imbalance of the training data."""

    eta: float = 0.01
    """Factor from the imbalance in percent to alpha."""
