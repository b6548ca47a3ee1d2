"""Where a decision promises more than a training gives: a clause that stands beside its figures."""

from __future__ import annotations

from collections.abc import Sequence

from longtail.losses.asymmetric import asymmetric_ceiling
from longtail.methods.find import row_of
from longtail.methods.recipe import Recipe


def caveat(
    decision: str, method: str, full: Recipe, shares: Sequence[Sequence[float]], tagged: bool
) -> str | None:
    """Why a decision is only near to what it promises, or None where it holds.

    The assumptions are those of docs/methods.md: the logits minimise the loss, and what was drawn of a
    class looks as the class does.

    Args:
        decision: its name.
        method: its name.
        full: what the method is made of.
        shares: for each attribute the share of each class in what was trained on, as `Method.shares`.
        tagged: whether the training knew identities or domains, by which some methods draw their batches.
    """
    if decision == "prior":
        return _of_prior(method, full, shares, tagged)
    if decision == "argmax" and full.loss == "vector-scaling" and full.vs.gamma > 0:
        return "vector scaling does not fix a constant that decides which plain logit is the largest"
    return None


def _of_prior(method: str, full: Recipe, shares: Sequence[Sequence[float]], tagged: bool) -> str | None:
    row = row_of(method)
    if full.mixing != "none":
        return "mixed images teach the probabilities of mixtures, so dividing by shares is approximate"
    if "crl" in row.reads and full.crl.level != "instance":
        return "rectification at class level moves the probabilities, so dividing by shares is approximate"
    if len(shares) > 1 and full.sampler not in (None, "shuffled"):
        return (
            "drawing by several attributes changes what the images of a class look like, which dividing by "
            "shares cannot undo"
        )
    if row.draws and tagged:
        return "batches are drawn by more than the class, so dividing by shares is approximate"
    return _of_asymmetric(full, shares) if full.loss == "asymmetric" else None


def _of_asymmetric(full: Recipe, shares: Sequence[Sequence[float]]) -> str | None:
    asl = full.asl
    ceiling = asymmetric_ceiling(asl.gamma_pos, asl.gamma_neg, asl.clip)
    if max(own[1] for own in shares) < ceiling:
        return None
    return (
        f"the asymmetric loss cannot tell probabilities above {ceiling:.3f} apart (--asl.clip), so a second "
        "class that is more frequent is never chosen"
    )
