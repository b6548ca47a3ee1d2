"""What a method is made of: its row with the choices of the user laid over it. No torch here."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from longtail.errors import InputError
from longtail.methods.options import CRL_FORMS, TABLES, CRLForm, MethodOptions
from longtail.methods.rows import METHODS, METRIC, OWN, DecisionName, LossName, MixingName, WeightsName
from longtail.models.backbones import FeatureLayer

LOSS_TABLES = {
    "focal": "focal",
    "logit-adjusted": "adjustment",
    "vector-scaling": "vs",
    "ldam": "ldam",
    "asymmetric": "asl",
}
"""Which of them belongs to which form of cross entropy."""

VIEWS = 40.0
"""Draws of an image in the whole training from which root sampling holds it back; docs/decisions.md."""


@dataclass(frozen=True)
class Parts:
    """What a method is made of, with nothing left open.

    Attributes:
        sampler: how batches are drawn; "own" where the method alone knows.
        replicate: whether over-sampling lengthens the epoch.
        views: draws of an image in the whole training from which root sampling holds it back.
        class_weights: of cross entropy.
        defer_weights: share of the epochs before they begin.
        loss: the form of cross entropy.
        mixing: whether images are mixed.
        decision: how it decides.
        feature_layer: what follows the linear layer that makes the features.
        detached: whether the classifier on top of them learns without changing them.
    """

    sampler: str
    replicate: bool
    views: float
    class_weights: WeightsName
    defer_weights: float
    loss: LossName
    mixing: MixingName
    decision: DecisionName
    feature_layer: FeatureLayer
    detached: bool


def parts_of(method: str, options: MethodOptions) -> Parts:
    """The parts of a method of `METHODS` with the user's choices laid over its row.

    Raises:
        InputError: when parts do not go together, with the reason.
    """
    row = METHODS[method]
    beside = row.objective in METRIC and options.metric.beside
    layer = options.feature_layer or ("rectified" if beside else row.feature_layer)
    parts = Parts(
        sampler=options.sampler or row.sampler,
        replicate=options.replicate,
        views=VIEWS if options.views is None else options.views or math.inf,
        class_weights=options.class_weights or row.class_weights,
        defer_weights=row.defer_weights if options.defer_weights is None else options.defer_weights,
        loss=options.loss or row.loss,
        mixing=options.mixing or row.mixing,
        decision=options.decision or ("argmax" if beside else row.decision),
        feature_layer=layer,
        detached=row.objective == "lmle" or (row.objective in METRIC and not beside),
    )
    _check_parts(method, parts, options)
    return parts


def _check_parts(method: str, parts: Parts, options: MethodOptions) -> None:
    row = METHODS[method]
    if row.sampler == OWN and options.sampler is not None:
        raise InputError(
            f"--sampler {options.sampler}: {method} draws its own batches, which its loss needs; leave it out"
        )
    if parts.replicate and parts.sampler != "over":
        raise InputError("--replicate: goes with over-sampling, add --sampler over")
    if options.views is not None and parts.sampler != "root":
        raise InputError("--views: goes with root sampling, add --sampler root")
    if options.views is not None and not 0 <= options.views < math.inf:
        raise InputError(f"--views: expected a number from 0 up, got {options.views}")
    if not 0 <= parts.defer_weights < 1:
        raise InputError(f"--defer-weights: expected a share from 0 up to 1, got {parts.defer_weights}")
    if options.defer_weights and parts.class_weights == "none":
        raise InputError("--defer-weights: there are no weights to defer, add --class-weights")
    if not 0 <= options.effective_beta < 1:
        raise InputError(f"--effective-beta: expected a number from 0 up to 1, got {options.effective_beta}")
    if parts.loss == "asymmetric" and parts.class_weights != "none":
        raise InputError(
            f"--class-weights {parts.class_weights}: the asymmetric loss has weights of its own; leave it out"
        )
    if parts.decision == "tau-norm":
        raise InputError(
            "--decision tau-norm: is chosen on validation images after training; train without it, then: "
            "longtail evaluate RUN --decision tau-norm"
        )
    if parts.mixing != "none" and row.objective != "cross-entropy":
        raise InputError(
            f"--mixing {parts.mixing}: {method} compares images of one class, and a mixed image has two"
        )
    if parts.mixing == "remix" and parts.loss != "softmax":
        raise InputError(f"--mixing remix: mixes labels of plain cross entropy, got --loss {parts.loss}")
    check_decision(method, parts.decision, options)


def check_decision(method: str, decision: str, options: MethodOptions) -> None:
    """Refuse a decision rule that a trained method has no use for.

    Raises:
        InputError: with the reason.
    """
    is_lmle = METHODS[method].objective == "lmle"
    if decision == "clusters" and not is_lmle:
        raise InputError(f"--decision clusters: needs the clusters that lmle learns, {method} has none")
    if decision == "prior" and is_lmle:
        raise InputError("--decision prior: lmle trains on every class alike, there is no prior to divide by")
    if decision == "tau-norm" and method == "lws":
        raise InputError("--decision tau-norm: lws has a learned factor for each class already")
    if decision == "tau-norm" and (options.loss or METHODS[method].loss) == "ldam":
        raise InputError(
            "--decision tau-norm: the class vectors of ldam have no length, its logits are cosines"
        )


def crl_form(method: str, options: MethodOptions) -> CRLForm:
    """The form of the Class Rectification Loss: the method's with the user's choices laid over it."""
    chosen = {field.name: getattr(options.crl, field.name) for field in dataclasses.fields(CRLForm)}
    return dataclasses.replace(
        CRL_FORMS[method], **{name: value for name, value in chosen.items() if value is not None}
    )


def tables_of(method: str, options: MethodOptions) -> tuple[str, ...]:
    """The fields of `MethodOptions` that hold options of this method or of its decision."""
    objective, parts = METHODS[method].objective, parts_of(method, options)
    own = "metric" if objective in METRIC else objective
    found = (
        own if own in TABLES else None,
        LOSS_TABLES.get(parts.loss),
        "mix" if parts.mixing != "none" else None,
        "knn" if parts.decision == "knn" else None,
    )
    return tuple(name for name in found if name is not None)


def own_options(method: str, options: MethodOptions) -> dict[str, Any]:
    """The parts and options that shape this method, for results."""
    parts = parts_of(method, options)
    used: dict[str, Any] = {
        "sampler": parts.sampler,
        "class_weights": parts.class_weights,
        "loss": parts.loss,
    }
    if options.replicate:
        used["replicate"] = True
    if parts.sampler == "root":
        used["views"] = VIEWS if options.views is None else options.views
    if parts.defer_weights:
        used["defer_weights"] = parts.defer_weights
    if parts.class_weights == "effective-number":
        used["effective_beta"] = options.effective_beta
    if parts.mixing != "none":
        used["mixing"] = parts.mixing
    if parts.feature_layer != "rectified":
        used["feature_layer"] = parts.feature_layer
    for table in tables_of(method, options):
        used |= dataclasses.asdict(getattr(options, table))
        if table == "crl":
            used |= dataclasses.asdict(crl_form(method, options))
    return used
