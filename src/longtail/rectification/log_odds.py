"""The log-odds comparison of class level: hard images of a class against hard images of others, by soft-plus.

It has no anchors: each minority class has one table of pairs. Ours; it is in neither paper.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from longtail.rectification.comparison import Compared, HardPairs
from longtail.rectification.profiling import MinorityProfile
from longtail.tensors import full_precision, log_miss, masked_mean

DEFAULT_MARGIN = 1.0
"""Between log-odds; docs/decisions.md has what was measured."""


def log_odds(logits: Tensor) -> Tensor:
    """z(c) = log p(c) - log(1 - p(c)) with p the softmax, in at least float32: (..., K) -> (..., K).

    From logits, never from probabilities, so that it is finite and exact where p rounds to 0 or to 1. With
    two classes it is the difference of the logits. -inf where an attribute lacks a class.
    """
    logits = full_precision(logits)
    return logits.log_softmax(-1) - log_miss(logits)


def mine_log_odds(
    logits: Tensor, labels: Tensor, profile: MinorityProfile, kappa: int, capacity: int
) -> HardPairs:
    """For each minority class c, the κ of its images with the lowest z(c) and the κ others with the highest.

    Args:
        logits: (N, J, K) float.
        labels: (J, N) int64, -1 = unlabelled.
        profile: minority classes of the batch.
        kappa: κ; with fewer candidates, all are used.
        capacity: the most images of minority classes, see `anchor_capacity`.

    Returns:
        Pairs with M classes in place of anchors and z(c) in place of distances; 0 where no image was mined.
    """
    # a kept class has at least two images, and the largest class is never a minority
    slots = max(1, min(profile.kept.shape[1] - 1, capacity // 2))
    kept, slot_class = profile.kept.to(torch.uint8).sort(dim=1, descending=True, stable=True)
    slot_class = slot_class[:, :slots]
    z = log_odds(logits).permute(1, 2, 0)  # (J, K, N)
    z = z.gather(1, slot_class[:, :, None].expand(-1, -1, z.shape[2]))  # (J, M, N)
    in_class = labels[:, None, :] == slot_class[:, :, None]
    used = kept[:, :slots, None].bool()
    own, other = used & in_class, used & ~in_class & (labels >= 0)[:, None, :]
    positive_row, positive_mask = _extreme(z, own, kappa, largest=False)
    negative_row, negative_mask = _extreme(z, other, kappa, largest=True)
    return HardPairs(
        # z of a class that an attribute lacks is -inf, which no mask multiplies away
        positive=z.gather(2, positive_row).masked_fill(~positive_mask, 0),
        negative=z.gather(2, negative_row).masked_fill(~negative_mask, 0),
        positive_mask=positive_mask,
        negative_mask=negative_mask,
        positive_row=positive_row,
        negative_row=negative_row,
    )


def log_odds_margins(margin: float | None, logits: Tensor) -> Tensor:
    """The given margin or the default, of every attribute: (J,), in at least float32."""
    value = DEFAULT_MARGIN if margin is None else margin
    return full_precision(logits).new_full((logits.shape[1],), value)


def compare_log_odds(pairs: HardPairs, margin: Tensor, profile: MinorityProfile) -> Compared:
    """Pairwise logistic loss: every hard image of a class should score above every hard image of others.

        l = 1/|C| Σ_{c ∈ C} 1/|T_c| Σ_{(+,-) ∈ T_c} log(1 + exp(m_j - (z_+(c) - z_-(c))))

    C are the minority classes of all attributes, which count alike, however few pairs they have; T_c is each
    hard positive of c with each of its hard negatives. The slope of a pair is at least ½ where it is in the
    wrong order, whatever p is; that of a hinge on probabilities vanishes with p (1 - p).

    Args:
        pairs: of `mine_log_odds`.
        margin: m_j, shape (J,).
        profile: of the same batch.
    """
    gap = pairs.positive[..., :, None] - pairs.negative[..., None, :]  # (J, M, P, Q)
    pair = pairs.positive_mask[..., :, None] & pairs.negative_mask[..., None, :]
    short = margin[:, None, None, None] - gap
    triplets, active = pair.sum((1, 2, 3)), (pair & (short > 0)).sum((1, 2, 3))
    of_class = masked_mean(-logsigmoid(-short), pair, (2, 3))  # (J, M), 0 where there is no pair
    return Compared(
        masked_mean(of_class, pair.any(3).any(2)),
        (profile.counts * profile.kept).sum(1),
        pairs.positive_mask.sum((1, 2)),
        pairs.negative_mask.sum((1, 2)),
        triplets,
        active,
    )


def _extreme(z: Tensor, candidates: Tensor, k: int, *, largest: bool) -> tuple[Tensor, Tensor]:
    """Columns (J, M, k) of the k smallest or largest candidates, and which of them are candidates."""
    worst = -torch.inf if largest else torch.inf
    k = min(k, z.shape[2])
    columns = z.detach().masked_fill(~candidates, worst).topk(k, largest=largest).indices
    return columns, candidates.gather(2, columns)
