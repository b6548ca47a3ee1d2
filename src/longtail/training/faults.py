"""What went wrong in a training, each by one explicit rule and in one sentence. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import cast

from longtail.evaluation.results import AttributeResults, Fault, FaultName, Results
from longtail.methods.find import row_of
from longtail.training.config import TrainConfig
from longtail.training.record import EpochRecord
from longtail.words import count, listed, percent

FALLING = 0.02
"""A loss that falls by more than this share of what knowing the class shares alone gives is still falling."""

FEWEST_TO_JUDGE = 3
"""In shorter trainings there is no course of the loss to judge."""

UNFITTED = 0.5
"""From this share on of the loss that knowing the class shares alone gives, the images are not fitted."""

ACTIVE, NEAR_MARGIN = 0.98, 0.1
"""Rectification with at least this share of active comparisons, and its loss as near to the margin as this
share of it, has pulled nothing apart: both distances of its comparisons are alike."""

MEMORISED, FALLEN = 0.05, 0.03
"""A cross entropy below the first share of what knowing the class shares alone gives is near 0. The second is
how far the class-balanced accuracy on validation images has to lie below its best then."""

COLLAPSED = 0.02
"""Features that differ by less than this share of their mean square are one point."""

FEW_VALIDATION = 5
"""With fewer validation images than this, one image moves the recall of a class by more than 20 points."""

WITHOUT_EFFECT = (
    "a loss compares images by the vectors of a frozen network, which do not learn: it has no effect; "
    "--finetune last in place of --freeze lets them learn"
)
"""Said when such a training begins, and of its results."""

FEW_CLASSES = 0.1
"""Share of such classes up to which they are left to the figures of the others."""


@dataclass(frozen=True)
class Evidence:
    """What the rules look at, beside the results.

    Attributes:
        epochs: of the training, none for a model that was not trained here.
        chance: cross entropy of a model that knows only the shares of the classes that it is trained on,
            summed over the attributes; None where the loss is in another unit.
        validation: for each attribute the validation images of every class; None where not known.
        near: whether features may lie near together: batch-normalised before the classifier, which tells
            them apart, or those of a frozen network, which no training brings there.
        planned: epochs of a training that is not finished; None where it came to its end.
        leak: a sentence on near duplicates on two sides of the split; None without such.
        idle: whether a loss compares what does not learn.
    """

    epochs: Sequence[EpochRecord]
    chance: float | None
    validation: Sequence[Sequence[int]] | None
    near: bool = False
    planned: int | None = None
    leak: str | None = None
    idle: bool = False


def faults(results: Results, evidence: Evidence) -> tuple[Fault, ...]:
    """All that the rules find, the most serious first."""
    return tuple(Fault(name, text) for name, rule in RULES.items() for text in rule(results, evidence))


def unfinished(_: Results, evidence: Evidence) -> Iterator[str]:
    """A stopped training leaves a network that may not have learned anything yet."""
    if evidence.planned is not None:
        yield (
            f"the training is not finished ({len(evidence.epochs)} of {count(evidence.planned, 'epoch')}): "
            "go on with it, longtail train --resume"
        )


def leaking(_: Results, evidence: Evidence) -> Iterator[str]:
    """A figure on images that are nearly those of the training measures memory."""
    if evidence.leak is not None:
        yield evidence.leak


def collapsed(results: Results, evidence: Evidence) -> Iterator[str]:
    """A network whose features are one point, or one point a class and its rivals, cannot tell them apart."""
    mined = evidence.epochs[-1].mined if evidence.epochs and not evidence.near else None
    spread = (mined or {}).get("feature_spread") or []
    spreads = cast("list[float | None]", spread if isinstance(spread, list) else [spread])
    names = [a.name for a in results.attributes] if len(spreads) > 1 else ["all attributes"]
    low = [name for name, spread in zip(names, spreads) if spread is not None and spread < COLLAPSED]
    active, level = (cast("float | None", (mined or {}).get(n)) for n in ("active_share", "margin_share"))
    cure = "try a smaller --learning-rate, a smaller weight of that loss, or another method"
    if low:
        yield (
            f"the features have collapsed ({listed(low)}): in the last epoch they were almost the same for "
            f"all images; {cure}"
        )
    elif active is not None and level is not None and active >= ACTIVE and abs(level - 1) <= NEAR_MARGIN:
        yield (
            f"the features have collapsed: in the last epoch {percent(active)} % of the comparisons of the "
            f"rectification violated their margin, and its loss was {level:.2f} of it; {cure}"
        )


def without_effect(_: Results, evidence: Evidence) -> Iterator[str]:
    """A method that is another one, but for the time that it takes, is to say so."""
    if evidence.idle:
        yield WITHOUT_EFFECT


def no_better_than_guessing(results: Results, _: Evidence) -> Iterator[str]:
    """An interval that holds the figure of a coin says nothing for the model."""
    guessed = [a for a in results.attributes if _guessed(a)]
    if guessed:
        names = listed([a.name for a in guessed])
        yield (
            f"no better than guessing ({names}): the interval of the class-balanced accuracy covers what one "
            "class for all images would reach"
        )


def no_better_than_linear(results: Results, evidence: Evidence) -> Iterator[str]:
    """What takes seconds is to be preferred where it is as good."""
    training = results.training
    if training is None or training.linear is None or evidence.planned is not None:
        return
    found = [epoch.validation for epoch in evidence.epochs if epoch.epoch == training.judged_epoch]
    reached = found[0].class_balanced_accuracy if found and found[0] is not None else None
    if reached is not None and reached <= training.linear:
        yield (
            f"no better than a regression: {percent(reached)} % on the validation images, --method linear "
            f"reaches {percent(training.linear)} % on the vectors of the network as published, in seconds"
        )


def training_not_fitted(_: Results, evidence: Evidence) -> Iterator[str]:
    """What is not learned on the training images cannot be recognised on others."""
    loss = _cross_entropy(evidence.epochs[-1:])
    if evidence.chance and loss is not None and loss > UNFITTED * evidence.chance:
        yield (
            f"the training images are not fitted: their cross entropy is {loss:.2f} at the end, knowing only "
            f"the shares of the classes gives {evidence.chance:.2f}; train longer, with a larger network or "
            "larger images"
        )


def loss_still_falling(_: Results, evidence: Evidence) -> Iterator[str]:
    """The mean of the last tenth of the epochs against that of the tenth before it."""
    epochs, tenth = evidence.epochs, max(1, len(evidence.epochs) // 10)
    if len(epochs) < FEWEST_TO_JUDGE or not evidence.chance:
        return
    last, before = _cross_entropy(epochs[-tenth:]), _cross_entropy(epochs[-2 * tenth : -tenth])
    if last is not None and before is not None and before - last > FALLING * evidence.chance:
        part = "epoch" if tenth == 1 else f"{tenth} epochs"
        yield (
            f"the training loss was still falling at the end (from {before:.3f} to {last:.3f} in the last "
            f"{part}): train longer, --epochs or --steps"
        )


def memorised(_: Results, evidence: Evidence) -> Iterator[str]:
    """A loss near 0 while the figure on other images falls: the last tenth of the epochs against the best."""
    epochs, tenth = evidence.epochs, max(1, len(evidence.epochs) // 10)
    loss = _cross_entropy(epochs[-tenth:])
    if not evidence.chance or loss is None or loss > MEMORISED * evidence.chance:
        return
    values = [epoch.validation and epoch.validation.class_balanced_accuracy for epoch in epochs]
    known = [value for value in values if value is not None]
    if len(known) < max(len(epochs), FEWEST_TO_JUDGE):
        return
    means = [fmean(known[end - tenth : end]) for end in range(tenth, len(known) + 1)]
    best = max(means)
    if best - means[-1] > FALLEN:
        yield (
            f"the training images are memorised: their cross entropy is {loss:.3f} at the end, and the class-"
            f"balanced accuracy on validation images fell from {percent(best)} % to {percent(means[-1])} %; "
            "stop earlier (--patience), or try more augmentation, fewer steps or a pretrained network"
        )


def validation_too_small(_: Results, evidence: Evidence) -> Iterator[str]:
    """A recall of few images moves in large steps, and what is chosen by it is chosen by chance."""
    if evidence.validation is None or not any(map(sum, evidence.validation)):
        return
    few = sum(number < FEW_VALIDATION for counts in evidence.validation for number in counts)
    classes = sum(map(len, evidence.validation))
    if few > FEW_CLASSES * classes:
        of = count(classes, "class", "classes")
        yield (
            f"fewer than {FEW_VALIDATION} validation images in {few} of {of}: figures on them, and what is "
            "chosen by these, mean little; raise --val-share"
        )


RULES: dict[FaultName, Callable[[Results, Evidence], Iterator[str]]] = {
    "leak": leaking,
    "unfinished": unfinished,
    "collapsed": collapsed,
    "no-effect": without_effect,
    "guessing": no_better_than_guessing,
    "no-gain": no_better_than_linear,
    "not-fitted": training_not_fitted,
    "still-falling": loss_still_falling,
    "memorised": memorised,
    "small-validation": validation_too_small,
}


def chance(config: TrainConfig, class_counts: Sequence[Sequence[int]]) -> float | None:
    """Cross entropy of a model that knows only how often each class is drawn, summed over the attributes.

    Classes are drawn in proportion to n^p: p = 1 shuffled, ½ by the square root, 0 evened out. None where
    classes are weighed or the loss is of another form: it has another unit then.
    """
    full = config.recipe
    weighed = full.class_weights != "none" or full.mixing != "none" or full.crl.balance == "tpami"
    if weighed or full.loss not in ("softmax", "logit-adjusted"):
        return None
    in_proportion = full.sampler == "shuffled" or row_of(config.method).draws == "in proportion"
    power = 1.0 if in_proportion else 0.5 if full.sampler == "root" else 0.0
    drawn = ([n**power for n in counts if n] for counts in class_counts)
    return sum(entropy([n / sum(own) for n in own]) for own in drawn if own)


def entropy(shares: Sequence[float]) -> float:
    """-Σ p ln p of shares that sum to 1, in nats.

    Example:
        >>> round(entropy([0.5, 0.5, 0.0]), 4)
        0.6931
    """
    return -sum(p * math.log(p) for p in shares if p > 0)


def _guessed(attribute: AttributeResults) -> bool:
    balanced = attribute.metrics.class_balanced_accuracy
    tested = sum(entry.test_count > 0 for entry in attribute.classes)
    return balanced is not None and len(attribute.classes) > 1 and balanced.low <= 1 / tested


def _cross_entropy(epochs: Sequence[EpochRecord]) -> float | None:
    """Mean of the term "ce"; None where it was not a number throughout."""
    values = [epoch.loss.get("ce") for epoch in epochs]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
