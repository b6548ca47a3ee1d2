"""The Class Rectification Loss, and its balance with cross entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from longtail.rectification import fast_cpu
from longtail.rectification.choices import times_chosen
from longtail.rectification.comparison import Compared, absolute, distribution, hinges
from longtail.rectification.levels import ClassLevel, InstanceLevel
from longtail.rectification.log_odds import compare_log_odds, log_odds_margins, mine_log_odds
from longtail.rectification.mining import minority_anchors
from longtail.rectification.profiling import MinorityProfile, anchor_capacity, profile_minorities
from longtail.rectification.share import ALONE, Share
from longtail.schema import as_labels, as_logits

LevelName = Literal["class", "instance"]
Comparison = Literal["relative", "absolute", "distribution", "log-odds"]


class Rectification(NamedTuple):
    """The loss of a batch and what it did there; all but `loss` are detached and stay on the device.

    Attributes:
        loss: scalar, connected to the graph.
        classes_kept: (J, K) bool, minority classes that were rectified.
        classes_skipped: (J, K) bool, minority classes with a single image in the batch.
        anchors: (J,) int64, images of rectified classes that have a positive and a negative pair.
        positive_pairs: scalar int64.
        negative_pairs: scalar int64.
        triplets: scalar int64, anchor × positive × negative.
        active_share: scalar float, share of the triplets that violate the margin; 0 without triplets.
        chosen: (2, N) int64, in how many pairs each image is the hard positive, and the hard negative; None
            where nobody asked for it.
    """

    loss: Tensor
    classes_kept: Tensor
    classes_skipped: Tensor
    anchors: Tensor
    positive_pairs: Tensor
    negative_pairs: Tensor
    triplets: Tensor
    active_share: Tensor
    chosen: Tensor | None = None


class ClassRectificationLoss(nn.Module):
    """Batch-wise rectification of minority classes, l_crl, for any number of attributes at once.

    In every batch: profile which classes are minorities, mine hard positives and negatives for
    each of their images, and compare the two. Add it to cross entropy: l_bln = l_crl + l_ce.

    Args:
        level: "class" mines on predicted probabilities, once a class; "instance" mines on
            distances between features, once an image.
        comparison: "relative" (triplet ranking), "absolute" (contrastive), "distribution"
            (histogram), or "log-odds" (pairwise logistic; class level only, in neither paper).
        kappa: κ, how many positives and how many negatives are mined.
        rho: ρ, the share of the batch that minority classes hold together at most.
        margin: m of the relative and the absolute comparison, the same for every attribute. None:
            0.5 at class level and on features of unit length, 2π/|Z_j| (TPAMI 2019, eq. 12 as reviewed) on
            other features; at
            class level 2π/|Z_j| could never be met by an attribute of six or fewer classes. Of log-odds 1.
        power: q of the absolute comparison; 1 as the ICCV poster prints, or 2 as in TPAMI.
        normalize: bring features to unit length first (instance level). Raw features can all fall
            together under a large learning rate; the loss then stays at the margin.
        nodes: τ, nodes of the histograms; 10 to 25 suit the few pairs of a batch, since a pair
            has a gradient only where the other histogram has mass beside it.

    Raises:
        ValueError: when an argument is out of its range.

    Memory beyond the inputs, forward and backward in float32, with A = ⌊ρN⌋ anchors an attribute: at
    instance level at most 12·A·N·J + 4·N·J·D bytes, three tables of distances and the features, or
    4·A·N·J + 20·N·J·D where that is more, and A/W in place of A with a share of W; at class level
    48·A·J·κ + 16·N·J·K, for log-odds with M minority classes an attribute at most 28·M·J·(κ² + N) + 36·N·J·K.
    On a CPU 1.5 MB more to sort in.

    Source: Dong, Gong, Zhu, "Class Rectification Hard Mining for Imbalanced Deep Learning", ICCV 2017, by
    the authors' poster; "Imbalanced Deep Learning by Minority Class Incremental Rectification", TPAMI 2019,
    by reviews that list its equations. `docs/methods.md` has every symbol and its name here.

    Example:
        >>> crl = ClassRectificationLoss(level="instance")
        >>> logits, features = torch.randn(8, 3), torch.randn(8, 16)
        >>> labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
        >>> loss = nn.functional.cross_entropy(logits, labels) + crl(logits, labels, features)
    """

    def __init__(
        self,
        level: LevelName = "class",
        comparison: Comparison = "relative",
        kappa: int = 25,
        rho: float = 0.5,
        margin: float | None = None,
        power: int = 1,
        normalize: bool = False,
        nodes: int = 21,
    ) -> None:
        super().__init__()
        _one_of("level", level, get_args(LevelName))
        _one_of("comparison", comparison, get_args(Comparison))
        _one_of("power", power, (1, 2))
        if comparison == "log-odds" and level != "class":
            raise ValueError(
                f"comparison: 'log-odds' compares scores and goes with level 'class', got {level!r}"
            )
        if kappa < 1 or not float(kappa).is_integer():
            raise ValueError(f"kappa: expected a whole number from 1, got {kappa}")
        if not 0 < rho < 1:
            raise ValueError(f"rho: expected a share between 0 and 1, got {rho}")
        if margin is not None and not (margin > 0 and math.isfinite(margin)):
            raise ValueError(f"margin: expected a positive number or None, got {margin}")
        if nodes < 2 or not float(nodes).is_integer():
            raise ValueError(f"nodes: expected a whole number from 2, got {nodes}")
        self.level: LevelName = level
        self.comparison: Comparison = comparison
        self.kappa = int(kappa)
        self.rho = rho
        self.margin = margin
        self.power = power
        self.normalize = normalize
        self.nodes = int(nodes)

    def forward(self, logits: Tensor, labels: Tensor, features: Tensor | None = None) -> Tensor:
        """l_crl of a batch, a scalar; 0 and still connected to the graph where nothing is mined.

        Args:
            logits: (N, J, K) float, -inf where an attribute lacks a class; (N, K) for J = 1.
            labels: (N, J) int64, -1 = unlabelled; (N,) for J = 1.
            features: (N, J, D), or (N, 1, D) or (N, D) shared by all attributes; used at
                instance level.

        Raises:
            TypeError, ValueError: when types or shapes do not fit, or features are missing.
        """
        return self.rectify(logits, labels, features).loss

    def rectify(
        self,
        logits: Tensor,
        labels: Tensor,
        features: Tensor | None = None,
        *,
        choices: bool = False,
        share: Share = ALONE,
    ) -> Rectification:
        """The loss of a batch together with what was mined; arguments as in `forward`.

        Args:
            logits, labels, features: of the batch; of all processes, where they share the anchors.
            choices: whether to count how often each image was chosen.
            share: at instance level, which of the anchors this process mines; by itself all of them. The
                figures are those of all anchors, in every process.

        Raises:
            TypeError, ValueError: as `forward`, and when anchors are to be shared at class level.
        """
        if share.processes > 1 and self.level == "class":
            raise ValueError("share: expected all anchors at class level, where they are mined once a class")
        labels = as_labels(labels)
        logits = as_logits(logits, labels)
        with torch.autocast(logits.device.type, enabled=False):  # mined scores stay in full precision
            profile = profile_minorities(labels, logits.shape[2], self.rho)
            loss, triplet, chosen = self._compare(logits, labels, features, profile, choices, share)
        triplets = triplet.triplets.sum()
        return Rectification(
            loss=loss,
            classes_kept=profile.kept,
            classes_skipped=profile.skipped,
            anchors=triplet.anchors,
            positive_pairs=triplet.positives.sum(),
            negative_pairs=triplet.negatives.sum(),
            triplets=triplets,
            active_share=triplet.active.sum() / triplets.clamp(min=1),
            chosen=chosen if choices else None,
        )

    def extra_repr(self) -> str:
        """The settings, for print(module)."""
        names = "level", "comparison", "kappa", "rho", "margin", "power", "normalize", "nodes"
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def _compare(
        self,
        logits: Tensor,
        labels: Tensor,
        features: Tensor | None,
        profile: MinorityProfile,
        choices: bool,
        share: Share,
    ) -> tuple[Tensor, Compared, Tensor | None]:
        """The loss, what the relative comparison counts, and how often each image was chosen."""
        if self.comparison == "log-odds":
            return self._compare_log_odds(logits, labels, profile, choices)
        level = (
            ClassLevel(self.margin) if self.level == "class" else InstanceLevel(self.margin, self.normalize)
        )
        margin = level.margins(logits)
        scores = level.scores(logits, labels, features)
        if self.comparison == "relative" and level.once_a_class and fast_cpu.serves(scores):
            triplet, chosen = fast_cpu.relative_at_class_level(scores, labels, profile, margin, self.kappa)
            return triplet.loss, triplet, chosen
        columns = labels.t()
        anchors = minority_anchors(columns, profile, anchor_capacity(labels.shape[0], self.rho), share)
        pairs = level.mine(scores, columns, profile, anchors, self.kappa, choices)
        counted = [times_chosen(pairs, len(labels))] if choices else []
        found = share.totals(*hinges(pairs, margin), *counted)
        triplet, chosen = Compared(*found[:6]).mean(), found[6] if choices else None
        if self.comparison == "absolute":
            return absolute(pairs, margin, self.power, triplet.sides, share), triplet, chosen
        if self.comparison == "distribution":
            span = level.span(pairs, share)
            return distribution(pairs, *span, self.nodes, triplet.sides, share), triplet, chosen
        return triplet.loss, triplet, chosen

    def _compare_log_odds(
        self, logits: Tensor, labels: Tensor, profile: MinorityProfile, choices: bool
    ) -> tuple[Tensor, Compared, Tensor | None]:
        capacity = anchor_capacity(len(labels), self.rho)
        pairs = mine_log_odds(logits, labels.t(), profile, self.kappa, capacity)
        compared = compare_log_odds(pairs, log_odds_margins(self.margin, logits), profile)
        return compared.loss, compared, times_chosen(pairs, len(labels)) if choices else None


def training_imbalance(class_counts: Sequence[Sequence[int]]) -> list[float]:
    """Ω_j of every attribute: the share of images that would have to change class for balance.

        Ω_j = 100 · ½ Σ_c | share_c - 1/|Z_j| |     in percent, 0 on balanced data

    Args:
        class_counts: for each attribute the training images of each of its |Z_j| classes.

    Source: TPAMI 2019, as reviewed: Ω_imb is described in words there, the formula is ours.

    Example:
        >>> training_imbalance([[90, 10], [50, 50]])
        [40.0, 0.0]
    """
    return [_imbalance(counts) for counts in class_counts]


def tpami_alpha(class_counts: Sequence[Sequence[int]], eta: float = 0.01) -> float:
    """α = η · mean_j Ω_j, the weight of l_crl in the TPAMI form; fixed for a whole training.

    Args:
        class_counts: as in `training_imbalance`, of the training data, not of a batch.
        eta: η.

    Raises:
        ValueError: when the training data are balanced, since α = 0 would switch l_crl off, or there are no
            attributes with a row each.

    Source: TPAMI 2019, eq. 8 as reviewed.
    """
    if len(class_counts) == 0 or any(np.ndim(counts) == 0 for counts in class_counts):
        raise ValueError("class_counts: expected a row for every attribute; [[90, 10]] for one")
    omegas = training_imbalance(class_counts)
    alpha = eta * sum(omegas) / len(omegas)
    if not alpha > 0:
        raise ValueError("alpha: the training data are balanced, so η·Ω is 0; give an explicit alpha")
    return min(alpha, 1.0)


def balanced_loss(l_crl: Tensor, l_ce: Tensor, alpha: float | None = None) -> Tensor:
    """l_bln: rectification and cross entropy together.

    l_bln = l_crl + l_ce without α (ICCV 2017 poster), α l_crl + (1 - α) l_ce with it
    (TPAMI 2019, eq. 8 as reviewed).

    Raises:
        ValueError: when alpha is not within [0, 1].
    """
    if alpha is None:
        return l_crl + l_ce
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha: expected a share between 0 and 1, got {alpha}")
    return alpha * l_crl + (1 - alpha) * l_ce


def _imbalance(counts: Sequence[int]) -> float:
    total = sum(counts)
    if total == 0:
        return 0.0
    return 100 * 0.5 * sum(abs(count / total - 1 / len(counts)) for count in counts)


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
