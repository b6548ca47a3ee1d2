"""The page of a run, from results.json and metrics.jsonl: figures as text, pictures as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from longtail.errors import InputError
from longtail.evaluation.results import (
    AttributeResults,
    Bounds,
    ClassResults,
    DataInfo,
    Results,
    TrainingInfo,
)
from longtail.reporting import charts, confusion, trust
from longtail.reporting.class_chart import MOST_NAMED, Mined, class_chart
from longtail.reporting.curves import Chart, learning_curves, mining_curves
from longtail.reporting.gallery import Gallery
from longtail.reporting.html import render
from longtail.reporting.panels import GROUPS
from longtail.reporting.wording import (
    METRIC_NAMES,
    by_frequency,
    cautions,
    group_meaning,
    headline,
    interval,
    limits,
    named_by_data,
    only_some,
    options_said,
    recall_interval,
    sentence,
    value,
    verdict,
)
from longtail.training.record import EpochRecord
from longtail.words import NOTHING, count, percent

MANY_ATTRIBUTES = 12
"""With more attributes than this, they share one picture and each is folded away."""

NUMBERED = 12
"""A drawn confusion matrix of more classes has no figures in its cells, so the largest are listed."""

SMALL = 4
"""A confusion matrix of at most this many classes is shown as plain counts when attributes are many."""


def render_report(
    results: Results,
    epochs: Sequence[EpochRecord],
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    gallery: Gallery | None = None,
) -> str:
    """The report of one run as one HTML page: no scripts, fonts or pictures from elsewhere.

    The page is a function of its arguments: the same input gives the same text.

    Args:
        results: what was measured.
        epochs: of its training, empty where the model was not trained here.
        title: heading of the page.
        facts: further lines for the foot of the page, for instance the command that was run.
        gallery: images to show; None shows none.

    Raises:
        InputError: when the lines of metrics.jsonl belong to other classes than results.json.
    """
    results = named_by_data(results)
    attributes = results.attributes
    mined = _mean_mined(attributes, epochs)
    crowded = len(attributes) > MANY_ATTRIBUTES
    several = len(attributes) > 1
    values = {
        "title": title,
        "split": results.split,
        "headline": headline(results),
        "cards": _cards(results),
        "facts": _run_facts(results),
        "faults": [sentence(fault.text) for fault in results.faults],
        "cautions": cautions(results),
        "groups": {g: group_meaning(results.groups, g) for g in GROUPS},
        "crowded": crowded,
        "overview": _overview(attributes, mined) if several else None,
        "summary": [_summary_row(i, a) for i, a in enumerate(attributes)] if several else [],
        "attributes": [
            _attribute(i, a, results.groups, mined[i] if mined else None, crowded)
            for i, a in enumerate(attributes)
        ],
        "trust": _trust(results),
        "gallery": gallery,
        "limits": None if gallery is None else limits(gallery, results),
        "verdict": verdict(results),
        "curves": learning_curves(results, epochs),
        "mining": mining_curves(epochs),
        "origin": {**(facts or {}), "longtail": results.longtail_version, "evaluated": results.created},
    }
    return render("report.html", values)


def _trust(results: Results) -> list[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """Sentence, heads and rows of each table on how far scores can be trusted."""
    own = results.attributes
    tables = (
        (trust.calibration_sentence(results), trust.CALIBRATION_HEADS, trust.calibration_rows(own)),
        (trust.threshold_sentence(own), trust.THRESHOLD_HEADS, trust.threshold_rows(own)),
        (trust.set_sentence(results), trust.SET_HEADS, trust.set_rows(own)),
    )
    found = [(sentence or "", heads, list(rows)) for sentence, heads, rows in tables]
    return [(sentence, heads, rows) for sentence, heads, rows in found if rows]


def _cards(results: Results) -> list[tuple[str, str, str]]:
    """Name, value and interval of the figures a reader should see first."""
    over = "mean over attributes: " if len(results.attributes) > 1 else ""
    shown_first = {
        "class_balanced_accuracy": "class-balanced accuracy",
        "few_recall": f"recall of rare classes ({group_meaning(results.groups, 'few')} training images)",
        "accuracy": "plain accuracy",
    }

    return [
        (over + name, f"{value(m)} %", f"95 % interval {interval(m)}{only_some(results.attributes, metric)}")
        if (m := results.mean.of(metric))
        else (over + name, NOTHING, "not defined: no such class was tested")
        for metric, name in shown_first.items()
    ]


def data_facts(data: DataInfo) -> dict[str, str]:
    """What was recognised, and how many images of it there were."""
    return {
        "data": f"{data.name}, {' × '.join(map(str, data.image_size))} pixels",
        "images": ", ".join(f"{split} {number:,}" for split, number in data.images.items()),
    }


def _run_facts(results: Results) -> dict[str, str]:
    model, method, training = results.model, results.method, results.training
    options = options_said(method.options)
    facts = {
        **data_facts(results.data),
        "method": f"{method.name} ({options})" if options else method.name,
        "backbone": f"{model.backbone}, {model.parameters:,} parameters",
        "seed": str(results.seed),
        "measured on": f"{results.split}, decision: {results.decision}",
    }
    return facts | (_training_facts(training) if training else {})


def _training_facts(training: TrainingInfo) -> dict[str, str]:
    shares = {name: share for name, share in training.step_shares.items() if share is not None}
    spent = [f"{name} {percent(shares[name])} %" for name in sorted(shares, key=lambda name: -shares[name])]
    speed = f"{count(training.epochs, 'epoch')} in {training.seconds:.0f} s"
    if training.judged_epoch < training.epochs:
        speed += f", used: epoch {training.judged_epoch}, the best on the validation images"
    if training.images_per_second is not None:
        speed += f", {training.images_per_second:.0f} images per second"
    return {"training": speed} | ({"time of a step": ", ".join(spent)} if spent else {})


def _overview(attributes: Sequence[AttributeResults], mined: Sequence[Mined] | None) -> Chart:
    caption = (
        "A stroke for each class: at its number of training images, and at the share of its test images that "
        "were recognised. Rarer groups have taller and thicker strokes. Grey boxes: 95 % interval of the "
        "class-balanced accuracy; grey strokes: guessing."
    )
    if mined:
        caption += " Right: batches in which the class was rectified, mean over the epochs."
    return caption, charts.overview_chart("overview", attributes, mined)


def _summary_row(index: int, attribute: AttributeResults) -> dict[str, object]:
    metrics = attribute.metrics
    balanced = metrics.class_balanced_accuracy
    figures = [
        len(attribute.classes),
        attribute.train_labelled,
        _ratio(attribute),
        value(balanced),
        interval(balanced),
        value(metrics.accuracy),
        value(metrics.few_recall),
    ]
    return {"name": attribute.name, "anchor": f"a{index}", "cells": figures}


def _attribute(
    index: int, attribute: AttributeResults, groups: Bounds, mined: Mined | None, crowded: bool
) -> dict[str, object]:
    order = by_frequency(attribute.classes)
    metrics = attribute.metrics
    small = crowded and len(order) <= SMALL
    heads = ["class", "training images", "test images", "group", "recall, %", "95 % interval", "precision, %"]
    heads += ["F1, %", "average precision, %", *(["rectified, %", "skipped, %"] if mined else [])]
    return {
        "name": attribute.name,
        "anchor": f"a{index}",
        "facts": _attribute_facts(attribute),
        "metrics": [
            (name, value(metrics.of(m)), interval(metrics.of(m)))
            for m, name in METRIC_NAMES.items()
            if m != "rare_average_precision" or len(order) == 2
        ],
        "classes": None if small else _class_picture(f"a{index}-classes", attribute, groups, mined),
        "sure": None if crowded else _reliability_picture(f"a{index}-sure", attribute),
        "matrix": None if crowded else _matrix_picture(f"a{index}-confusion", attribute),
        "counts": confusion.readable(attribute) if small else None,
        "mixups": confusion.most_frequent(attribute, 10)
        if len(order) > NUMBERED or (crowded and not small)
        else [],
        "heads": heads,
        "rows": [_class_row(attribute.classes[k], k, mined) for k in order],
        "folded": len(order) > confusion.READABLE,
    }


def _class_picture(ident: str, attribute: AttributeResults, groups: Bounds, mined: Mined | None) -> Chart:
    caption = (
        "Training images of every class on a logarithmic scale, and the share of its test images that "
        "were recognised (recall). Dotted: limits of the groups, and what guessing "
        "recognises; dashed: class-balanced accuracy."
    )
    if mined and len(attribute.classes) <= MOST_NAMED:
        caption += " Right: batches in which the class was rectified or skipped, mean over the epochs."
    return caption, class_chart(ident, attribute, groups, mined)


def _reliability_picture(ident: str, attribute: AttributeResults) -> Chart | None:
    found = attribute.calibration
    if found is None or not found.after.bins:
        return None
    caption = (
        "How often decisions of a score are right, with classes as frequent as the scores take them to be. "
        f"Calibration error {percent(found.after.error)} % ({percent(found.before.error)} % before a "
        f"temperature of {found.temperature:.3g})."
    )
    return caption, charts.reliability_chart(ident, attribute.name, found)


def _matrix_picture(ident: str, attribute: AttributeResults) -> Chart:
    matrix = confusion.readable(attribute)
    caption = "Where the test images of each class went, in percent of the class. Blue: right; orange: wrong."
    if matrix.reduced:
        caption += (
            " Only the rarest tested classes and those they are most often taken for; grey: all others."
        )
    return caption, charts.confusion_chart(ident, attribute.name, matrix)


def _attribute_facts(attribute: AttributeResults) -> str:
    return (
        f"{count(len(attribute.classes), 'class', 'classes')}; labelled images: "
        f"{attribute.train_labelled:,} for training, {attribute.test_labelled:,} for testing; "
        f"most frequent to rarest class: {_ratio(attribute)} to 1"
    )


def _class_row(entry: ClassResults, index: int, mined: Mined | None) -> dict[str, object]:
    recall = percent(entry.recall), recall_interval(entry)
    figures = [entry.precision, entry.f1, entry.average_precision]
    figures += [mined.kept[index], mined.skipped[index]] if mined else []
    cells = [entry.train_count, entry.test_count, entry.frequency_group, *recall, *map(percent, figures)]
    return {"name": entry.name, "cells": cells}


def _mean_mined(attributes: Sequence[AttributeResults], epochs: Sequence[EpochRecord]) -> list[Mined] | None:
    """Mean over epochs of how often each class was rectified and skipped; None if nothing was mined."""
    records = [e.mined for e in epochs if e.mined and "kept_share" in e.mined]
    if not records:
        return None
    sizes = [len(a.classes) for a in attributes]
    kept, skipped = (
        [_trimmed(cast("Sequence[Sequence[float]]", mined[key]), sizes, key) for mined in records]
        for key in ("kept_share", "skipped_share")
    )
    by_attribute = zip(zip(*kept, strict=True), zip(*skipped, strict=True), strict=True)
    return [Mined(_mean(rows), _mean(skipped_rows)) for rows, skipped_rows in by_attribute]


def _trimmed(rows: Sequence[Sequence[float]], sizes: Sequence[int], key: str) -> list[Sequence[float]]:
    """The rows without the zeros that fill them up to the most classes of any attribute."""
    fits = len(rows) == len(sizes) and all(
        len(row) in (size, max(sizes)) and not any(row[size:]) for row, size in zip(rows, sizes, strict=True)
    )
    if not fits:
        got = [len(row) for row in rows]
        raise InputError(
            f"metrics.jsonl: {key}: expected {sizes} classes per attribute as in results.json, got {got}; "
            "give the two files of the same run"
        )
    return [row[:size] for row, size in zip(rows, sizes, strict=True)]


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _ratio(attribute: AttributeResults) -> str:
    ratio = attribute.imbalance_ratio
    return NOTHING if ratio is None else f"{ratio:,.1f}".removesuffix(".0")
