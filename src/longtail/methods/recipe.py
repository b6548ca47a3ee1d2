"""What a method is made of: the user's options first, then its row's, then the usual ones. No torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from longtail.errors import InputError
from longtail.methods.find import row_of
from longtail.methods.options import (
    DECISIONS,
    LOSSES,
    CRLOptions,
    DecisionName,
    LossName,
    MethodOptions,
    MixingName,
    SamplerName,
    WeightsName,
)
from longtail.methods.rows import Compares, Row
from longtail.models.backbones import FeatureLayer

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe(MethodOptions):
    """A method's options with nothing left open; here as they are where neither user nor row says otherwise.

    `sampler` is None for a method that draws its own batches.
    """

    sampler: SamplerName | None = "shuffled"
    views: float = 40.0  # docs/decisions.md says why
    class_weights: WeightsName = "none"
    defer_weights: float = 0.0
    loss: LossName = "softmax"
    mixing: MixingName = "none"
    feature_layer: FeatureLayer = "rectified"
    decision: DecisionName = "argmax"
    crl: CRLOptions = field(default_factory=lambda: CRLOptions("class", balance="sum", weight=1.0))

    @property
    def cosine(self) -> bool:
        """Whether its logits are cosines, to which the length of a class vector means nothing."""
        return LOSSES[self.loss].cosine


def recipe(method: str, options: MethodOptions) -> Recipe:
    """What a method is made of when the user gives these options.

    Raises:
        InputError: when the method is unknown, or parts do not go together, with the reason.
    """
    row = row_of(method)
    usual = Recipe() if options.metric.beside else _over(row.alone, Recipe())
    full = _over(options, _over(row.options, usual))
    if row.draws:
        full = replace(full, sampler=None)
    _check_batches(method, row, options, full)
    _check_loss(row, options, full)
    check_decision(method, full.decision, full)
    if DECISIONS[full.decision].afterwards:
        raise InputError(
            f"--decision {full.decision}: is chosen on validation images after training; train without it, "
            f"then: longtail evaluate RUN --decision {full.decision}"
        )
    return full


def reads(method: str, full: Recipe) -> tuple[str, ...]:
    """The fields of `MethodOptions` that hold options of this method or of its parts."""
    found = (
        *row_of(method).reads,
        LOSSES[full.loss].table,
        "mix" if full.mixing != "none" else None,
        DECISIONS[full.decision].table,
    )
    return tuple(dict.fromkeys(name for name in found if name is not None))


def compared(method: str, full: Recipe) -> Compares | None:
    """What of the images a loss compares: what the classifier reads, or the backbone's vectors below it."""
    row = row_of(method)
    on_probabilities = "crl" in row.reads and full.crl.level == "class"
    return None if on_probabilities else row.compares


def stacked(method: str, full: Recipe) -> bool:
    """Whether cross entropy teaches a linear layer and the classifier on it, with nothing in between."""
    taught = "metric" not in row_of(method).reads or full.metric.beside
    return full.feature_layer == "linear" and taught


def shown(method: str, options: MethodOptions) -> dict[str, Any]:
    """The options that shape a method, for results; those of a table as their flags: "crl.kappa"."""
    full = recipe(method, options)
    parts: dict[str, Any] = {
        "sampler": full.sampler or "own",
        "class_weights": full.class_weights,
        "loss": full.loss,
    }
    shaping = {
        "replicate": full.replicate,
        "views": full.sampler == "root",
        "defer_weights": full.defer_weights > 0,
        "effective_beta": full.class_weights == "effective-number",
        "mixing": full.mixing != "none",
        "feature_layer": full.feature_layer != "rectified",
    }
    parts |= {name: getattr(full, name) for name, counts in shaping.items() if counts}
    for table in reads(method, full):
        parts |= {f"{table}.{name}": value for name, value in asdict(getattr(full, table)).items()}
    return parts


def check_decision(method: str, decision: str, full: Recipe) -> None:
    """Refuse an unknown decision, and one that the method cannot use.

    Raises:
        InputError: with the reason.
    """
    if decision not in DECISIONS:
        raise InputError(f"--decision: expected one of {', '.join(DECISIONS)}, got {decision!r}")
    row, facts = row_of(method), DECISIONS[decision]
    if facts.learned and facts.table not in row.reads:
        raise InputError(
            f"--decision {decision}: needs the {decision} that {facts.table} learns, {method} has none"
        )
    if decision in row.refuses:
        raise InputError(f"--decision {decision}: {row.refuses[decision]}")
    if facts.lengths and full.cosine:
        raise InputError(
            f"--decision {decision}: the class vectors of {full.loss} have no length, its logits are cosines"
        )


def _over(upper: MethodOptions, lower: T) -> T:
    """`lower`, in its place `upper` where that says something; tables of options likewise."""

    def laid(above: Any, below: Any) -> Any:
        if not is_dataclass(below) or isinstance(below, type):
            return below if above is None else above
        names = [f.name for f in fields(below)]
        return replace(below, **{name: laid(getattr(above, name), getattr(below, name)) for name in names})

    return laid(upper, lower)


def _check_batches(method: str, row: Row, options: MethodOptions, full: Recipe) -> None:
    if row.draws is not None and options.sampler is not None:
        raise InputError(
            f"--sampler {options.sampler}: {method} draws its own batches, which its loss needs; leave it out"
        )
    if full.replicate and full.sampler != "over":
        raise InputError("--replicate: goes with over-sampling, add --sampler over")
    if options.views is not None and full.sampler != "root":
        raise InputError("--views: goes with root sampling, add --sampler root")
    if full.mixing != "none" and row.second_stage:
        raise InputError(f"--mixing {full.mixing}: {method} trains on the images as they are; leave it out")
    if full.mixing != "none" and row.compares is not None:
        raise InputError(
            f"--mixing {full.mixing}: {method} compares images of one class, and a mixed image has two"
        )


def _check_loss(row: Row, options: MethodOptions, full: Recipe) -> None:
    facts = LOSSES[full.loss]
    if options.defer_weights and full.class_weights == "none":
        raise InputError("--defer-weights: there are no weights to defer, add --class-weights")
    if full.class_weights != "none" and not facts.takes_weights:
        raise InputError(
            f"--class-weights {full.class_weights}: the {full.loss} loss has weights of its own; leave it out"
        )
    if full.mixing == "remix" and not facts.mixes_by_label:
        raise InputError(f"--mixing remix: mixes labels of plain cross entropy, got --loss {full.loss}")
    if "crl" not in row.reads:
        return
    if full.crl.comparison == "log-odds" and full.crl.level != "class":
        raise InputError("--crl.comparison log-odds: compares scores of classes, add --crl.level class")
    if full.crl.balance != "tpami" and full.crl.alpha is not None:
        raise InputError("--crl.alpha: goes with --crl.balance tpami; a sum takes --crl.weight")
    if full.crl.balance == "tpami" and options.crl.weight is not None:
        raise InputError(
            "--crl.weight: goes with --crl.balance sum or attributes; the tpami mix takes --crl.alpha"
        )
