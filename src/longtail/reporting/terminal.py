"""results.json as tables for a terminal of 80 columns; nothing is said by colour alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longtail.errors import InputError
from longtail.reporting.wording import (
    NOTHING,
    by_frequency,
    cautions,
    count,
    interval,
    percent,
    shortened,
    shown,
)

MOST_CLASSES = 20
"""An attribute with more classes shows only those of `FREQUENT_SHOWN` and `RARE_SHOWN`."""

FREQUENT_SHOWN, RARE_SHOWN = 5, 10

MOST_ATTRIBUTES = 12
"""With more attributes, each has one row instead of a table of its classes."""

NAME_WIDTH = 24
"""Columns of the terminal for the name of a class or an attribute; longer names end in an ellipsis."""

INTERVAL_WIDTH = len("85.0–100.0")

METHODS_ABREAST = 4
"""Methods beside each other in one table; more continue in the next table."""

MOST_CAUTIONS = 5

COMPARED = {
    "class_balanced_accuracy": "class-balanced, %",
    "few_recall": "recall, few, %",
    "accuracy": "accuracy, %",
}
"""Figures that a comparison shows above the classes."""


def results_table(results: dict[str, Any]) -> RenderableType:
    """What a run achieved: for each attribute a line of figures and a table of its classes.

    Args:
        results: the content of results.json.
    """
    attributes = results["attributes"]
    parts: list[RenderableType] = [_run_line(results)]
    if len(attributes) > 1:
        parts.append(_figures_line(f"mean over {len(attributes)} attributes", results["mean"]))
    if len(attributes) > MOST_ATTRIBUTES:
        parts.append(_below_gap(_attributes_table(attributes)))
    else:
        parts += [part for attribute in attributes for part in _attribute_parts(attribute)]
    return Group(*parts, *_after_gap(_caution_lines(results)))


def comparison_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Runs side by side, one column each: figures with their intervals, then the recall of every class.

    A figure is called best only where its 95 % interval lies above those of all others.

    Args:
        results: contents of results.json of runs with the same attributes and classes.

    Raises:
        InputError: when there is no run, or the runs have other attributes or classes.
    """
    _require_same_classes(results)
    columns = list(zip(_labels(results), results, strict=True))
    parts: list[RenderableType] = []
    for start in range(0, len(columns), METHODS_ABREAST):
        parts += _abreast(columns[start : start + METHODS_ABREAST], results)
    return Group(*parts, *_after_gap(_comparison_notes(results)))


def _run_line(results: dict[str, Any]) -> Text:
    model = results["model"]
    facts = (
        results["data"]["name"],
        results["method"]["name"],
        f"{model['backbone']}, {model['parameters']:,} parameters",
        f"seed {results['seed']}, {results['split']} images",
    )
    return Text(shown(", ".join(facts)))


def _figures_line(name: str, metrics: dict[str, Any]) -> Padding:
    balanced, plain, few = (metrics[m] for m in ("class_balanced_accuracy", "accuracy", "few_recall"))
    line = Text.assemble((shown(name), "bold"), ": class-balanced accuracy ", _with_interval(balanced))
    line.append(f", accuracy {_value(plain)} %" if plain else "")
    line.append(f", recall of rare classes {_with_interval(few)}" if few else "")
    return _below_gap(line)


def _attribute_parts(attribute: dict[str, Any]) -> Iterator[RenderableType]:
    classes = attribute["classes"]
    yield _figures_line(attribute["name"], attribute["metrics"])
    table = _table("class", "train", "test", "group", "recall, %", "precision, %")
    for k in _shown_rows(classes):
        table.add_row(*(_class_cells(classes[k]) if k is not None else _gap(6)))
    table.caption = _left_out(classes)
    yield table


def _class_cells(entry: dict[str, Any]) -> list[Text | str]:
    numbers = [str(entry["train_count"]), str(entry["test_count"]), entry["frequency_group"]]
    return [_name(entry["name"]), *numbers, percent(entry["recall"]), percent(entry["precision"])]


def _attributes_table(attributes: Sequence[dict[str, Any]]) -> Table:
    table = _table("attribute", "classes", "rarest class", "balanced, %", "95 % interval")
    for attribute in attributes:
        balanced = attribute["metrics"]["class_balanced_accuracy"]
        rarest = min(c["train_count"] for c in attribute["classes"])
        sizes = str(len(attribute["classes"])), count(rarest, "image")
        table.add_row(_name(attribute["name"]), *sizes, _value(balanced), interval(balanced))
    return table


def _caution_lines(results: dict[str, Any]) -> Iterator[RenderableType]:
    found = cautions(results)
    for caution in found[:MOST_CAUTIONS]:
        yield Text(f"Note: {caution}")
    if len(found) > MOST_CAUTIONS:
        yield Text(f"Note: {len(found) - MOST_CAUTIONS} more of this kind.")


def _shown_rows(classes: Sequence[dict[str, Any]]) -> list[int | None]:
    """Indices of the classes that have a row, most frequent first; None where classes are left out."""
    order = by_frequency(classes)
    if len(order) <= MOST_CLASSES:
        return list(order)
    return [*order[:FREQUENT_SHOWN], None, *order[-RARE_SHOWN:]]


def _left_out(classes: Sequence[dict[str, Any]]) -> str | None:
    """Caption of a table that does not show every class."""
    if len(classes) <= MOST_CLASSES:
        return None
    hidden = len(classes) - FREQUENT_SHOWN - RARE_SHOWN
    shown_ones = f"the {FREQUENT_SHOWN} most frequent and the {RARE_SHOWN} rarest"
    return f"{hidden} of {len(classes)} classes are left out; shown: {shown_ones}."


def _require_same_classes(results: Sequence[dict[str, Any]]) -> None:
    if not results:
        raise InputError("comparison: expected at least one results.json, got none")
    first = _class_names(results[0])
    for number, other in enumerate(results[1:], 2):
        if _class_names(other) != first:
            which = f"run {number} ({shown(other['method']['name'])} on {shown(other['data']['name'])})"
            raise InputError(
                f"comparison: {which} has other classes than run 1; compare runs on the same data"
            )


def _class_names(results: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(a["name"], [c["name"] for c in a["classes"]]) for a in results["attributes"]]


def _labels(results: Sequence[dict[str, Any]]) -> list[str]:
    """Method names; with the seed where a method comes twice, with a number where even that repeats."""
    names = [r["method"]["name"] for r in results]
    names = [
        f"{n} seed {r['seed']}" if names.count(n) > 1 else n for n, r in zip(names, results, strict=True)
    ]
    return [f"{n} #{names[: i + 1].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]


Columns = Sequence[tuple[str, dict[str, Any]]]
"""Runs that stand beside each other, with the heading of each."""


def _abreast(columns: Columns, results: Sequence[dict[str, Any]]) -> Iterator[RenderableType]:
    attributes = results[0]["attributes"]
    labels = [label for label, _ in columns]
    if len(attributes) > 1:
        table = _compared_table(labels, f"mean over {len(attributes)} attributes")
        _add_figures(table, [run["mean"] for _, run in columns], [r["mean"] for r in results])
        yield _below_gap(table)
    if len(attributes) > MOST_ATTRIBUTES:
        yield _below_gap(_balanced_by_attribute(columns, results))
        return
    for j, attribute in enumerate(attributes):
        table = _compared_table(labels, attribute["name"], "train")
        runs = [run["attributes"][j] for _, run in columns]
        everyone = [r["attributes"][j]["metrics"] for r in results]
        _add_figures(table, [run["metrics"] for run in runs], everyone, empty=1)
        _add_recalls(table, [run["classes"] for run in runs], attribute["classes"])
        table.caption = _left_out(attribute["classes"])
        yield _below_gap(table)


def _compared_table(labels: Sequence[str], *first: str) -> Table:
    """A table with a column per run, wide enough for an interval on one line."""
    table = _table(*first)
    for label in labels:
        table.add_column(_broken(label), justify="right", overflow="fold", min_width=INTERVAL_WIDTH)
    return table


def _add_figures(
    table: Table,
    shown_metrics: Sequence[dict[str, Any]],
    all_metrics: Sequence[dict[str, Any]],
    empty: int = 0,
) -> None:
    for metric, name in COMPARED.items():
        everyone = [metrics[metric] for metrics in all_metrics]
        cells = [_compared(metrics[metric], everyone) for metrics in shown_metrics]
        table.add_row(name, *[""] * empty, *cells, end_section=metric == "accuracy")


def _add_recalls(
    table: Table, runs: Sequence[Sequence[dict[str, Any]]], classes: Sequence[dict[str, Any]]
) -> None:
    for k in _shown_rows(classes):
        if k is None:
            table.add_row(*_gap(2 + len(runs)))
        else:
            recalls = [percent(run[k]["recall"]) for run in runs]
            table.add_row(_name(classes[k]["name"]), str(classes[k]["train_count"]), *recalls)


def _balanced_by_attribute(columns: Columns, results: Sequence[dict[str, Any]]) -> Table:
    table = _compared_table([label for label, _ in columns], "class-balanced, %")
    for j, attribute in enumerate(results[0]["attributes"]):
        figures = [r["attributes"][j]["metrics"]["class_balanced_accuracy"] for r in results]
        own = [run["attributes"][j]["metrics"]["class_balanced_accuracy"] for _, run in columns]
        table.add_row(_name(attribute["name"]), *(_compared(figure, figures) for figure in own))
    return table


def _compared(metric: dict[str, Any] | None, everyone: Sequence[dict[str, Any] | None]) -> str:
    """The figure over its interval, and the word best where no other interval reaches it."""
    if metric is None:
        return NOTHING
    others = [m for m in everyone if m is not None and m is not metric]
    best = bool(others) and metric["low"] > max(m["high"] for m in others)
    return f"{_value(metric)}{' best' if best else ''}\n{interval(metric, '–')}"


def _comparison_notes(results: Sequence[dict[str, Any]]) -> Iterator[Text]:
    yield Text("Under each figure its 95 % interval; classes: recall in percent.")
    if len(results) > 1:
        yield Text(
            "best: the interval lies above those of all others; where they overlap, nothing is marked."
        )
    if any(_counts(r) != _counts(results[0]) for r in results):
        yield Text(
            "The runs differ in their training or test images per class; train shows those of the first."
        )


def _counts(results: dict[str, Any]) -> list[tuple[int, int]]:
    return [(c["train_count"], c["test_count"]) for a in results["attributes"] for c in a["classes"]]


def _table(first: str, *others: str) -> Table:
    """A table whose first column holds names and whose others hold figures."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
    table.caption_justify = "left"
    table.add_column(_name(first), no_wrap=True)
    for name in others:
        table.add_column(Text(shown(name)), justify="right", overflow="fold")
    return table


def _name(name: str) -> Text:
    """Plain text, so that brackets in a name are not taken for markup."""
    return Text(shortened(name, NAME_WIDTH))


def _broken(label: str) -> Text:
    """The label in lines of at most `INTERVAL_WIDTH`, broken after spaces, dashes and underscores."""
    lines = [""]
    for part in re.split(r"(?<=[ _-])", shown(label)):
        fits = cell_len(lines[-1] + part.rstrip()) <= INTERVAL_WIDTH
        lines = [*lines[:-1], lines[-1] + part] if fits else [*lines, part]
    return Text("\n".join(line for line in lines if line))


def _below_gap(part: RenderableType) -> Padding:
    return Padding(part, (1, 0, 0, 0))


def _after_gap(lines: Iterator[RenderableType]) -> Iterator[RenderableType]:
    """The lines, if any, after an empty one."""
    for number, line in enumerate(lines):
        yield line if number else _below_gap(line)


def _gap(columns: int) -> list[str]:
    return ["…"] * columns


def _value(metric: dict[str, Any] | None) -> str:
    return percent(metric["value"] if metric else None)


def _with_interval(metric: dict[str, Any] | None) -> str:
    return f"{_value(metric)} % ({interval(metric)})" if metric else "not defined"
