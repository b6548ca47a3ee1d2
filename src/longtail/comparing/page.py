"""One HTML page from comparison.json, to be opened anywhere, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from statistics import fmean

from msgspec import structs

from longtail.comparing import charts
from longtail.comparing.document import AttributeFacts, ComparisonDocument
from longtail.comparing.figures import Claim, Figures, Standing, claim, gains, ranking, standings
from longtail.comparing.tables import (
    adjusted_mark,
    difference_text,
    explanation,
    failed_cells,
    fault_lines,
    figure_text,
    footnotes,
    own_mark,
    points,
    runs,
    seconds,
    shown_metrics,
)
from longtail.evaluation.metrics import METRICS
from longtail.methods.rows import LINEAR
from longtail.reporting.charts import Level
from longtail.reporting.html import render
from longtail.reporting.page import MANY_ATTRIBUTES, Chart, data_facts
from longtail.reporting.wording import METRIC_NAMES, attribute_called, guessing
from longtail.words import NOTHING, count, of_hundred, percent, shown


def render_comparison(document: ComparisonDocument) -> str:
    """The comparison as one HTML page: no scripts, fonts or pictures from elsewhere.

    The page is a function of its argument: the same input gives the same text.
    """
    document = _named_by_data(document)
    rows = standings(document)
    adjusted = [row for row in rows if any(map(row.adjusted.of, METRICS))]
    metrics = shown_metrics(rows)
    values = {
        "document": document,
        "title": f"Comparison on {document.data.name}",
        "methods": list(zip(rows, document.methods, strict=True)),
        "texts": {"runs": runs, "seconds": seconds, "percent": percent, "whole": _whole},
        "headline": _headline(document, rows),
        "failures": list(failed_cells(document)),
        "faults": list(fault_lines(document)),
        "facts": _facts(document),
        "explanation": explanation(document),
        "footnotes": footnotes(rows),
        "metrics": [METRIC_NAMES[metric] for metric in metrics],
        "figures": [(row.method, runs(row), _cells(row.own, metrics, own_mark(row))) for row in rows],
        "adjusted": [
            (row.method, runs(row), _cells(row.adjusted, metrics, adjusted_mark(row))) for row in adjusted
        ],
        "time": _time(document, rows),
        "linear_line": _linear_gain(document) is not None,
        "distributions": _distributions(document.attributes),
        "gains": _gain_pictures(document),
        **_feature_values(document),
        "origin": {
            "command": document.command,
            "longtail": document.longtail_version,
            "created": document.created,
        },
    }
    return render("comparison.html", values, "longtail.comparing")


def _named_by_data(document: ComparisonDocument) -> ComparisonDocument:
    """The document as people read it, see `attribute_called`."""
    name = attribute_called(document.data.name, [a.name for a in document.attributes])
    if name is None:
        return document
    return structs.replace(document, attributes=(structs.replace(document.attributes[0], name=name),))


def _headline(document: ComparisonDocument, rows: Sequence[Standing]) -> str:
    """Which method is best by its mean, and whether chance explains what it adds to the baseline."""
    if not any(row.own.class_balanced_accuracy for row in rows):
        return "No run has finished, so nothing can be said about the methods."
    means = ranking(document)
    if not means:
        return "There is no seed that all methods finished, so nothing can be said about which is best."
    mean, best = max(((means[row.method], row) for row in rows if row.method in means), key=itemgetter(0))
    of = count(len(rows), "method")
    sentence = f"Of {of}, {best.method} has the highest class-balanced accuracy: if every class were equally "
    sentence += f"common, about {of_hundred(mean)} of 100 images would be recognised."
    return f"{sentence} {_verdict(document, best)}"


def _verdict(document: ComparisonDocument, best: Standing) -> str:
    if best.method == document.baseline:
        return "It is the baseline itself: no other method has a higher mean."
    found = claim(document, best.method)
    if found is None:
        return f"Too few seeds were finished to say how sure its difference to {document.baseline} is."
    gain = f"That is {points(found.seeds.value)} points against {document.baseline} ({_intervals(found)})"
    if found.seeds.high < 0:
        return f"{gain}: on the seeds that both finished it is worse."
    if found.seeds.low <= 0:
        return f"{gain}, which seeds alone could explain."
    if found.images and found.images.low <= 0:
        return f"{gain}. On other images it may be none."
    return f"{gain}."


def _intervals(found: Claim) -> str:
    corrected = f", corrected for {found.rivals} methods" if found.rivals > 1 else ""
    seeds, images = (
        one and f"{points(one.low)} to {points(one.high)}" for one in (found.seeds, found.images)
    )
    elsewhere = f"; for other images of the same kind {images}" if images else ""
    return f"95 % interval{corrected}: {seeds}{elsewhere}"


def _facts(document: ComparisonDocument) -> dict[str, str]:
    budget = document.budget
    limits = [count(budget.epochs, "epoch")] if budget.epochs is not None else []
    limits += [f"{budget.seconds:g} s"] if budget.seconds is not None else []
    seeds = sorted({cell.seed for method in document.methods for cell in method.cells})
    return {
        **data_facts(document.data),
        "budget of a run": ", ".join(limits) or "not limited",
        "seeds": ", ".join(map(str, seeds)) or "none",
        "compared with": document.baseline,
        "machine": document.machine,
    }


def _cells(figures: Figures, metrics: Sequence[str], mark: str) -> list[tuple[str, str]]:
    """Of every metric the figure with its mark, and its difference."""
    found = map(figures.of, metrics)
    return [(figure_text(figure) + mark, _two_lines(difference_text(figure))) for figure in found]


def _two_lines(difference: str) -> str:
    """A difference above its interval, so that all columns fit a page."""
    return difference.replace(" [", "\n[")


def _whole(number: float | None) -> str:
    return NOTHING if number is None else f"{number:,.0f}"


def _time(document: ComparisonDocument, rows: Sequence[Standing]) -> Chart | None:
    found = [
        charts.Point(row.method, row.seconds, figure.mean)
        for row in rows
        if (figure := row.own.class_balanced_accuracy) and row.seconds
    ]
    if not found:
        return None
    levels = [Level("guessing", guessing(document.attributes))]
    levels += [Level(LINEAR, point.accuracy) for point in found if point.name == LINEAR]
    caption = (
        "Mean class-balanced accuracy on the test images against mean training time on a logarithmic scale. "
        f"Dotted: {' and '.join(level.name for level in levels)}."
    )
    return caption, charts.time_chart("time", found, levels)


def _distributions(attributes: Sequence[AttributeFacts]) -> list[Chart]:
    if len(attributes) > MANY_ATTRIBUTES:
        caption = "A stroke for each class; rarer groups have taller and thicker ones."
        return [(caption, charts.distributions_chart("distributions", attributes))]
    return [
        (_distribution_caption(a), charts.distribution_chart(f"distribution{j}", a))
        for j, a in enumerate(attributes)
    ]


def _distribution_caption(attribute: AttributeFacts) -> str:
    ratio, classes = attribute.imbalance_ratio, count(len(attribute.classes), "class", "classes")
    skew = "no training images" if ratio is None else f"imbalance {ratio:,.1f} to 1"
    return f"{shown(attribute.name)}: {classes}, {skew}."


def _gain_pictures(document: ComparisonDocument) -> list[Chart]:
    """One picture a method other than the baseline, all on the same axis."""
    found = {m.name: gains(document, m) for m in document.methods if m.name != document.baseline}
    limits = charts.gain_limits([gain for own in found.values() for gain in own])
    linear = _linear_gain(document)
    return [
        (shown(name), charts.gain_chart(f"gain{i}", f"Gain of {name}", own, limits, linear))
        for i, (name, own) in enumerate(found.items())
        if any(gain.mean is not None for gain in own)
    ]


def _linear_gain(document: ComparisonDocument) -> float | None:
    """The mean gain of the regression, to compare those of other methods with; None where it is not known."""
    linear = next((m for m in document.methods if m.name == LINEAR and m.name != document.baseline), None)
    means = [gain.mean for gain in gains(document, linear) if gain.mean is not None] if linear else []
    return fmean(means) if means else None


def _feature_values(document: ComparisonDocument) -> dict[str, object]:
    features = document.features
    if features is None:
        return {"features": [], "marks": [], "shown_attribute": None}
    attribute = document.attributes[features.attribute]
    marks = charts.minority_marks(attribute)
    pictures = [
        (shown(name), charts.feature_chart(f"features{i}", name, placed, features.labels, marks))
        for i, name in enumerate(method.name for method in document.methods)
        if (placed := features.points.get(name)) is not None
    ]
    return {"features": pictures, "marks": marks, "shown_attribute": attribute.name}
