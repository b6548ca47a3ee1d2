"""comparison.json as a table: for a terminal of 80 columns, Markdown and CSV; see also `latex`.

A figure is its mean over the seeds ± their standard deviation, in percent; behind or below it stands
the difference to the baseline, paired by seed, with its 95 % interval in brackets. The average precision
of the rarer of two classes has a column where an attribute has two classes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longtail.comparing.document import ComparisonDocument
from longtail.comparing.figures import Figure, Figures, Standing, ranking, standings, widening
from longtail.evaluation.metrics import METRICS
from longtail.methods.rows import LINEAR
from longtail.reporting.wording import METRIC_NAMES
from longtail.words import NOTHING, as_markdown, count, listed, percent, shown

NAME_WIDTH = 22
"""Columns of the terminal for a method's name; a longer one goes on in the next line."""

MARK = "†"
"""Stands behind figures of a decision that is only near to what it promises; a footnote says why."""


def to_markdown(document: ComparisonDocument) -> str:
    """A Markdown table of all figures, what its words mean, and which runs failed."""
    rows = standings(document)
    heads = ["method", "runs", *_markdown_figures(rows[0], rows), "training, s"]
    table = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for row in rows:
        marks = [own_mark(row), adjusted_mark(row), *[own_mark(row)] * (len(shown_metrics(rows)) - 1)]
        pairs = zip(_markdown_figures(row, rows).values(), marks, strict=True)
        figures = [_with_difference(figure, " ({})", mark) for figure, mark in pairs]
        table.append([as_markdown(row.method), runs(row), *figures, seconds(row.seconds)])
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    failures = [f"- {as_markdown(line)}" for line in failed_cells(document)]
    warned = [f"- {as_markdown(line)}" for line in fault_lines(document)]
    notes = [as_markdown(explanation(document)), *(["", "Failed:", "", *failures] if failures else [])]
    notes += ["", "Warnings:", "", *warned] if warned else []
    notes += [line for note in footnotes(rows) for line in ("", as_markdown(note))]
    return "\n".join([*lines, "", *notes, ""])


def to_csv(document: ComparisonDocument) -> str:
    """A line for each method with every number behind the tables: shares of 0 to 1, empty where undefined.

    Columns: method, finished, failed; for every metric, at the method's own decision and adjusted, its
    mean, sd, and difference with low and high; then why either decision is only near to what it promises
    (caveat, adjusted_caveat), seconds, images_per_second, peak_memory_bytes.
    """
    output = io.StringIO()
    lines = [_numbers(row) for row in standings(document)]
    writer = csv.DictWriter(output, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return output.getvalue()


def terminal_table(document: ComparisonDocument) -> RenderableType:
    """The figures that matter most, two lines a method, within 80 columns; failed runs are named below."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
    table.add_column("method", max_width=NAME_WIDTH, overflow="fold")
    for head in ("class-balanced, %", "adjusted, %", "few, %", "s"):
        table.add_column(head, justify="right", no_wrap=True)
    rows = standings(document)
    for row in rows:
        balanced, adjusted = (f.class_balanced_accuracy for f in (row.own, row.adjusted))
        few = row.own.few_recall
        table.add_row(
            Text(f"{shown(row.method)}\n{runs(row)}"),
            _with_difference(balanced, "\n{}", own_mark(row)),
            _with_difference(adjusted, "\n{}", adjusted_mark(row)),
            percent(few.mean if few else None),
            seconds(row.seconds),
        )
    failures = [Text(shown(f"Failed: {line}")) for line in failed_cells(document)]
    warned = [Text(shown(f"Warning: {line}")) for line in fault_lines(document)]
    below = [Padding(Text(shown(line)), (1, 0, 0, 0)) for line in (explanation(document), *footnotes(rows))]
    return Group(table, *below, *failures, *warned)


def shown_metrics(rows: Sequence[Standing]) -> list[str]:
    """The figures that have a column: all but that of two classes where no attribute has two."""
    two = any(figures.rare_average_precision for row in rows for figures in (row.own, row.adjusted))
    return [metric for metric in METRICS if two or metric != "rare_average_precision"]


def explanation(document: ComparisonDocument) -> str:
    """What stands in a table, in sentences."""
    factor = widening(document)
    wider = (
        " Seeds share images, so for other images of the same kind the intervals are about "
        f"{factor:.1f} times as wide."
        if factor
        else ""
    )
    return (
        "Mean ± standard deviation over seeds, in percent; then the difference to "
        f"{document.baseline} in points, over the seeds both finished, with its 95 % interval (not "
        "corrected for the number of methods). Adjusted: scores divided by the classes' shares in "
        f"training, for the baseline too.{wider}"
    )


def own_mark(row: Standing) -> str:
    """The mark of the figures by the method's own decision, if any."""
    return MARK if row.own_caveat else ""


def adjusted_mark(row: Standing) -> str:
    """The mark of the adjusted figures, if any."""
    return MARK if row.adjusted_caveat else ""


def footnotes(rows: Sequence[Standing]) -> list[str]:
    """A sentence for each reason why figures are marked: '† mixup, adjusted: mixed images teach …'."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.own_caveat:
            found.setdefault(row.own_caveat, []).append(row.method)
        if row.adjusted_caveat and row.adjusted_caveat != row.own_caveat:
            found.setdefault(row.adjusted_caveat, []).append(f"{row.method} adjusted")
    return [f"{MARK} {', '.join(names)}: {reason}." for reason, names in found.items()]


def failed_cells(document: ComparisonDocument) -> Iterator[str]:
    """A line for every failed cell: 'crl, seed 3: out of memory'."""
    for method in document.methods:
        for cell in method.cells:
            if not cell.finished:
                yield f"{method.name}, seed {cell.seed}: {cell.error}"


def fault_lines(document: ComparisonDocument) -> Iterator[str]:
    """A line for each method and each thing that went wrong in its runs: 'crl-i, seeds 0 and 2: …'."""
    for method in document.methods:
        found: dict[str, list[tuple[int, str]]] = {}
        for cell in method.cells:
            for fault in cell.faults:
                found.setdefault(fault.name, []).append((cell.seed, fault.text))
        for said in found.values():
            seeds = listed([str(seed) for seed, _ in said])
            yield f"{method.name}, {'seed' if len(said) == 1 else 'seeds'} {seeds}: {said[0][1]}"
    yield from _below_linear(document)


def _below_linear(document: ComparisonDocument) -> Iterator[str]:
    """Methods whose mean is not above that of the regression that takes seconds."""
    means = ranking(document)
    simple = means.pop(LINEAR, math.inf)
    below = [name for name, mean in means.items() if simple < math.inf and mean <= simple]
    if below:
        yield (
            f"{listed(below)}: no better than linear ({percent(simple)}), a logistic regression on the "
            "features of a pretrained network"
        )


def runs(row: Standing) -> str:
    """How many runs there are behind a row: '5 runs', or '4/5 runs, 1 failed'."""
    if not row.failed:
        return count(row.finished, "run")
    total = row.finished + row.failed
    return f"{row.finished}/{count(total, 'run')}, {row.failed} failed"


def figure_text(figure: Figure | None) -> str:
    """'71.2 ± 1.1' in percent; without the deviation where there is a single seed."""
    if figure is None:
        return NOTHING
    return percent(figure.mean) + ("" if figure.sd is None else f" ± {percent(figure.sd)}")


def difference_text(figure: Figure | None) -> str:
    """'+2.3 [+0.4, +4.2]' in points; of two seeds '+2.3, too few runs'."""
    if figure is None or figure.difference is None:
        return NOTHING
    found = figure.difference
    if found.low is None or found.high is None:
        return f"{points(found.value)}, too few runs"
    return f"{points(found.value)} [{points(found.low)}, {points(found.high)}]"


def points(difference: float) -> str:
    """A difference of shares in points, with its sign: 0.023 -> '+2.3', never '-0.0'."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def seconds(number: float | None) -> str:
    """Seconds, with a decimal below ten."""
    return NOTHING if number is None else f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _markdown_figures(row: Standing, rows: Sequence[Standing]) -> dict[str, Figure | None]:
    balanced, *others = shown_metrics(rows)
    return {
        METRIC_NAMES[balanced]: row.own.of(balanced),
        "the same, adjusted": row.adjusted.of(balanced),
        **{METRIC_NAMES[metric]: row.own.of(metric) for metric in others},
    }


def _with_difference(figure: Figure | None, behind: str, mark: str = "") -> str:
    """The figure with its mark and, where there is one, its difference in the place of {} in `behind`."""
    difference = difference_text(figure)
    return figure_text(figure) + mark + ("" if difference == NOTHING else behind.format(difference))


def _numbers(row: Standing) -> dict[str, str | float | int | None]:
    return {
        "method": row.method,
        "finished": row.finished,
        "failed": row.failed,
        **_figure_numbers(row.own, ""),
        **_figure_numbers(row.adjusted, "adjusted_"),
        "caveat": row.own_caveat,
        "adjusted_caveat": row.adjusted_caveat,
        "seconds": row.seconds,
        "images_per_second": row.images_per_second,
        "peak_memory_bytes": row.peak_memory_bytes,
    }


def _figure_numbers(figures: Figures, prefix: str) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {}
    for metric in METRICS:
        figure = figures.of(metric)
        own = (figure.mean, figure.sd) if figure else (None, None)
        found = figure and figure.difference
        paired = (found.value, found.low, found.high) if found else (None, None, None)
        names = (f"{prefix}{metric}_{name}" for name in ("mean", "sd", "difference", "low", "high"))
        numbers |= zip(names, (*own, *paired), strict=True)
    return numbers
