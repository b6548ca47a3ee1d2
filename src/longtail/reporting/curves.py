"""Figures over the epochs of a training: how it learned, and what was mined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from markupsafe import Markup

from longtail.evaluation.results import Results
from longtail.methods.rows import LINEAR
from longtail.reporting import charts
from longtail.reporting.charts import Level, Marks, Series
from longtail.reporting.wording import METRIC_NAMES, guessing, verdict_words
from longtail.training.record import EpochRecord
from longtail.words import shown

Chart = tuple[str, Markup]
"""A picture's caption and its `<svg>`."""

VALIDATED = ("class_balanced_accuracy", "few_recall")


def learning_curves(results: Results, epochs: Sequence[EpochRecord]) -> list[Chart]:
    """The terms of the loss, and figures on the validation images beside what guessing reaches."""
    numbers = [e.epoch for e in epochs]
    terms = dict.fromkeys(term for e in epochs for term in e.loss)
    losses = [Series(shown(term), [e.loss.get(term) for e in epochs]) for term in terms]
    validation = [
        Series(METRIC_NAMES[m], [e.validation.of(m) if e.validation else None for e in epochs])
        for m in VALIDATED
    ]
    used = results.training.judged_epoch if results.training and len(epochs) > 1 else None
    marked = f" Upright line: epoch {used}, whose network is used." if used in numbers else ""
    of_loss = "Loss, mean of each epoch, by term." + marked
    levels = [Level("guessing", guessing(results.attributes))]
    if results.training and results.training.linear is not None:
        levels.append(Level(LINEAR, results.training.linear))
    dotted = " and ".join(level.name for level in levels)
    of_validation = f"Figures on the validation images; dotted: {dotted}." + marked
    title = "Validation figures over epochs"
    in_loss, in_validation = Marks(used, verdict_words(results)), Marks(used, levels=levels)
    return [
        *_lines("loss", "Loss over epochs", of_loss, numbers, losses, in_loss),
        *_lines("validation", title, of_validation, numbers, validation, in_validation, shares=True),
    ]


def mining_curves(epochs: Sequence[EpochRecord]) -> list[Chart]:
    """Pairs that were mined, and how many comparisons still added to the loss."""
    numbers = [e.epoch for e in epochs if e.mined is not None]
    records = [e.mined for e in epochs if e.mined is not None]
    amounts = {"anchors": "anchors", "positive_pairs": "positive pairs", "negative_pairs": "negative pairs"}
    shares = {"active_share": "active comparisons", "empty_share": "batches without a pair"}
    pairs, parts = (
        [Series(name, [cast("float | None", m.get(key)) for m in records]) for key, name in names.items()]
        for names in (amounts, shares)
    )
    of_pairs = "Mean per batch: images of rare classes that were rectified (anchors), and pairs with others."
    of_parts = "Comparisons that still added to the loss; batches in which no rare class had two images."
    return [
        *_lines("pairs", "Mined pairs over epochs", of_pairs, numbers, pairs, logarithmic=True),
        *_lines("mined-shares", "Mining over epochs", of_parts, numbers, parts, shares=True),
    ]


def _lines(
    ident: str,
    title: str,
    caption: str,
    numbers: Sequence[int],
    lines: Sequence[Series],
    marks: Marks | None = None,
    **scale: bool,
) -> list[Chart]:
    """A picture of the lines that have a value; none where there is no such line."""
    present = [line for line in lines if any(value is not None for value in line.values)]
    if not present:
        return []
    return [(caption, charts.line_chart(ident, title, numbers, present, marks or Marks(), **scale))]
