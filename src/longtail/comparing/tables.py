"""comparison.json as a table: for a terminal of 80 columns, Markdown, CSV and LaTeX.

A figure is its mean over the seeds ± their standard deviation, in percent; behind or below it stands
the difference to the baseline, paired by seed, with its 95 % interval in brackets.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence

from msgspec.structs import astuple
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longtail.comparing.document import ComparisonDocument
from longtail.comparing.figures import Figure, Figures, Standing, standings
from longtail.evaluation.metrics import METRICS
from longtail.reporting.wording import METRIC_NAMES
from longtail.words import NOTHING, count, listed, percent, shown

NAME_WIDTH = 22
"""Columns of the terminal for a method's name; a longer one goes on in the next line."""

LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "±": r"$\pm$",
    "|": r"\textbar{}",
    "<": "$<$",
    ">": "$>$",
}
"""What LaTeX would not print as it stands, and what prints it."""


def to_markdown(document: ComparisonDocument) -> str:
    """A Markdown table of all figures, what its words mean, and which runs failed."""
    rows = standings(document)
    heads = ["method", "runs", *_markdown_figures(rows[0]), "training, s"]
    table = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for row in rows:
        figures = [_with_difference(figure, " ({})") for figure in _markdown_figures(row).values()]
        table.append([_markdown(row.method), runs(row), *figures, seconds(row.seconds)])
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    failures = [f"- {_markdown(line)}" for line in failed_cells(document)]
    warned = [f"- {_markdown(line)}" for line in footnotes(document)]
    notes = [_markdown(explanation(document)), *(["", "Failed:", "", *failures] if failures else [])]
    notes += ["", "Warnings:", "", *warned] if warned else []
    return "\n".join([*lines, "", *notes, ""])


def to_csv(document: ComparisonDocument) -> str:
    """A line for each method with every number behind the tables: shares of 0 to 1, empty where undefined.

    Columns: method, finished, failed; for every metric, at the method's own decision and adjusted, its
    mean, sd, and difference with low and high; then seconds, images_per_second, peak_memory_bytes.
    """
    output = io.StringIO()
    lines = [_numbers(row) for row in standings(document)]
    writer = csv.DictWriter(output, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return output.getvalue()


def to_latex(document: ComparisonDocument) -> str:
    """A LaTeX `tabular` with rules of the booktabs package."""
    heads = ["method", "class-balanced, %", "difference", "adjusted, %", "difference", "recall, few, %", "s"]
    lines = [_latex_line(heads)]
    for row in standings(document):
        name = f"{row.method} ({runs(row)})" if row.failed else row.method
        balanced, adjusted = (f.class_balanced_accuracy for f in (row.own, row.adjusted))
        figures = [figure_text(balanced), difference_text(balanced), figure_text(adjusted)]
        figures += [difference_text(adjusted), figure_text(row.own.few_recall), seconds(row.seconds)]
        lines.append(_latex_line([name, *figures]))
    head, *body = lines
    return "\n".join(
        [
            f"% {shown(explanation(document))}",
            "% needs \\usepackage{booktabs}",
            f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            *["\\toprule", head, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", ""],
        ]
    )


def terminal_table(document: ComparisonDocument) -> RenderableType:
    """The figures that matter most, two lines a method, within 80 columns; failed runs are named below."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
    table.add_column("method", max_width=NAME_WIDTH, overflow="fold")
    for head in ("class-balanced, %", "adjusted, %", "few, %", "s"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in standings(document):
        balanced, adjusted = (f.class_balanced_accuracy for f in (row.own, row.adjusted))
        few = row.own.few_recall
        table.add_row(
            Text(f"{shown(row.method)}\n{runs(row)}"),
            _with_difference(balanced, "\n{}"),
            _with_difference(adjusted, "\n{}"),
            percent(few.mean if few else None),
            seconds(row.seconds),
        )
    failures = [Text(shown(f"Failed: {line}")) for line in failed_cells(document)]
    warned = [Text(shown(f"Warning: {line}")) for line in footnotes(document)]
    return Group(table, Padding(Text(shown(explanation(document))), (1, 0, 0, 0)), *failures, *warned)


def explanation(document: ComparisonDocument) -> str:
    """What stands in a table, in sentences."""
    return (
        "Mean ± standard deviation over seeds, in percent; then the difference to "
        f"{document.baseline} in points, over the seeds both finished, with its 95 % interval (not "
        "corrected for the number of methods). Adjusted: scores divided by the classes' shares in "
        "training, for the baseline too."
    )


def failed_cells(document: ComparisonDocument) -> Iterator[str]:
    """A line for every failed cell: 'crl, seed 3: out of memory'."""
    for method in document.methods:
        for cell in method.cells:
            if not cell.finished:
                yield f"{method.name}, seed {cell.seed}: {cell.error}"


def footnotes(document: ComparisonDocument) -> Iterator[str]:
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
    means = {row.method: f.mean for row in standings(document) if (f := row.own.class_balanced_accuracy)}
    simple = means.pop("linear", math.inf)
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
    """'+2.3 [+0.4, +4.2]' in points."""
    if figure is None or figure.difference is None:
        return NOTHING
    found = figure.difference
    return f"{points(found.value)} [{points(found.low)}, {points(found.high)}]"


def points(difference: float) -> str:
    """A difference of shares in points, with its sign: 0.023 -> '+2.3', never '-0.0'."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def seconds(number: float | None) -> str:
    """Seconds, with a decimal below ten."""
    return NOTHING if number is None else f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _markdown_figures(row: Standing) -> dict[str, Figure | None]:
    balanced, *others = METRICS
    return {
        METRIC_NAMES[balanced]: row.own.of(balanced),
        "the same, adjusted": row.adjusted.of(balanced),
        **{METRIC_NAMES[metric]: row.own.of(metric) for metric in others},
    }


def _with_difference(figure: Figure | None, behind: str) -> str:
    """The figure and, where there is one, its difference in the place of {} in `behind`."""
    difference = difference_text(figure)
    return figure_text(figure) + ("" if difference == NOTHING else behind.format(difference))


def _markdown(text: str) -> str:
    """The text with a backslash before every sign that Markdown would obey."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", shown(text))


def _latex_line(cells: Sequence[str]) -> str:
    line = " & ".join(map(_latex, cells)) + r" \\"
    return "{}" + line if line.startswith("[") else line  # else it is an argument of the \\ before


def _latex(text: str) -> str:
    escaped = "".join(LATEX_SIGNS.get(sign, sign) for sign in shown(text))
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", escaped)


def _numbers(row: Standing) -> dict[str, str | float | int | None]:
    return {
        "method": row.method,
        "finished": row.finished,
        "failed": row.failed,
        **_figure_numbers(row.own, ""),
        **_figure_numbers(row.adjusted, "adjusted_"),
        "seconds": row.seconds,
        "images_per_second": row.images_per_second,
        "peak_memory_bytes": row.peak_memory_bytes,
    }


def _figure_numbers(figures: Figures, prefix: str) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {}
    for metric in METRICS:
        figure = figures.of(metric)
        own = (figure.mean, figure.sd) if figure else (None, None)
        paired = astuple(figure.difference) if figure and figure.difference else (None, None, None)
        names = (f"{prefix}{metric}_{name}" for name in ("mean", "sd", "difference", "low", "high"))
        numbers |= zip(names, (*own, *paired), strict=True)
    return numbers
