"""comparison.json as a LaTeX table that can be pasted into a paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from longtail.comparing.document import ComparisonDocument
from longtail.comparing.figures import Figure, Standing, standings
from longtail.comparing.tables import (
    adjusted_mark,
    difference_text,
    explanation,
    figure_text,
    footnotes,
    own_mark,
    runs,
    seconds,
)
from longtail.evaluation.metrics import METRICS
from longtail.files import file_name
from longtail.reporting.wording import METRIC_NAMES
from longtail.words import shown

LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "|": r"\textbar{}",
    "<": "$<$",
    ">": "$>$",
}
"""What LaTeX would not print as it stands, and what prints it."""


@dataclass(frozen=True)
class Column:
    """What stands in a column.

    Attributes:
        figure: whose largest mean is the best of the column, or None where there is none.
        text: of a row.
    """

    figure: Callable[[Standing], Figure | None] | None
    text: Callable[[Standing], str]


def _of(metric: str) -> Column:
    def figure(row: Standing) -> Figure | None:
        return row.own.of(metric)

    return Column(figure, lambda row: figure_text(figure(row)) + own_mark(row))


COLUMNS: dict[str, Column] = {
    **{METRIC_NAMES[metric]: _of(metric) for metric in METRICS},
    "difference": Column(None, lambda row: difference_text(row.own.class_balanced_accuracy)),
    "adjusted": Column(
        lambda row: row.adjusted.class_balanced_accuracy,
        lambda row: figure_text(row.adjusted.class_balanced_accuracy) + adjusted_mark(row),
    ),
    "adjusted difference": Column(None, lambda row: difference_text(row.adjusted.class_balanced_accuracy)),
    "training, s": Column(None, lambda row: seconds(row.seconds)),
}
"""By their heads; the differences are those of the class-balanced accuracy, as decided and adjusted."""

USUAL = (
    METRIC_NAMES["class_balanced_accuracy"],
    "difference",
    "adjusted",
    "adjusted difference",
    METRIC_NAMES["few_recall"],
    "training, s",
)
"""Columns that fit a page."""


def to_latex(document: ComparisonDocument, columns: Sequence[str] = USUAL) -> str:
    """A LaTeX `table` with rules of the booktabs package, caption and label; the best of a column is bold.

    Args:
        document: the comparison.
        columns: heads of `COLUMNS`, each once.

    Raises:
        ValueError: when there is no such column, or one is there twice.
    """
    unknown = [head for head in columns if head not in COLUMNS]
    if unknown or len(set(columns)) < len(columns):
        raise ValueError(
            f"columns: expected some of {', '.join(COLUMNS)}, each once, got {', '.join(columns)}"
        )
    rows = standings(document)
    chosen = [COLUMNS[head] for head in columns]
    best = [_best(column, rows) for column in chosen]
    heads = _line([_latex(head) for head in ("method", *columns)])
    body = [_line([_latex(_named(row)), *_cells(row, chosen, best)]) for row in rows]
    name = file_name(document.data.name) or "data"
    about = f"Comparison on {document.data.name}. {explanation(document)} Bold: the best mean of a column."
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_latex(' '.join([about, *footnotes(rows)]))}}}",
            f"\\label{{tab:comparison-{re.sub(r'[^A-Za-z0-9-]', '-', name)}}}",
            f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
            *["\\toprule", heads, "\\midrule", *body, "\\bottomrule"],
            *["\\end{tabular}", "\\end{table}", ""],
        ]
    )


def _named(row: Standing) -> str:
    return f"{row.method} ({runs(row)})" if row.failed else row.method


def _best(column: Column, rows: Sequence[Standing]) -> float | None:
    """The largest mean of a column, as it is printed; None where there is nothing to be better than."""
    most = max((row.finished for row in rows), default=0)  # others have means over other splits
    whole = [row for row in rows if row.finished == most]
    means = [round(f.mean, 3) for row in whole if column.figure and (f := column.figure(row))]
    return max(means) if len(means) > 1 else None


def _cells(row: Standing, columns: Sequence[Column], best: Sequence[float | None]) -> list[str]:
    cells: list[str] = []
    for column, largest in zip(columns, best, strict=True):
        figure, text = column.figure and column.figure(row), _latex(column.text(row))
        bold = figure is not None and largest is not None and round(figure.mean, 3) == largest
        cells.append(f"\\textbf{{{text}}}" if bold else text)
    return cells


def _line(cells: Sequence[str]) -> str:
    line = " & ".join(cells) + r" \\"
    return "{}" + line if line.startswith("[") else line  # else it is an argument of the \\ before


def _latex(text: str) -> str:
    escaped = "".join(LATEX_SIGNS.get(sign, sign) for sign in shown(text))
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", escaped)
