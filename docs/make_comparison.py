"""Put the tables of benchmarks/results/comparison-*.json into docs/comparison.md, between its marks.

The pages with the pictures go to build/comparison-*.html.
"""

from __future__ import annotations

import re
from pathlib import Path

from longtail.comparing.document import COMPARISON, ComparisonDocument
from longtail.comparing.figures import Figure, Standing, standings
from longtail.comparing.page import render_comparison
from longtail.comparing.tables import adjusted_mark, difference_text, footnotes, own_mark
from longtail.files import write_text

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "benchmarks" / "results"
PAGES = HERE.parent / "build"
METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean AP",
    "few_recall": "few",
}


def main() -> None:
    """Rewrite the page."""
    PAGES.mkdir(exist_ok=True)
    page = HERE / "comparison.md"
    text = page.read_text(encoding="utf-8")
    for path in sorted(RESULTS.glob("comparison-*.json")):
        name = path.stem.removeprefix("comparison-")
        document = COMPARISON.read(path)
        write_text(PAGES / f"{path.stem}.html", render_comparison(document))
        made = table(document)
        text, found = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\g<1>\n{made}\n\g<2>", text, flags=re.DOTALL
        )
        if not found:
            raise SystemExit(f"docs/comparison.md: expected the marks <!-- {name} --> and <!-- end -->")
    page.write_text(text, encoding="utf-8")


def table(document: ComparisonDocument) -> str:
    """The methods, best class-balanced accuracy first; differences with their 95 % intervals."""
    baseline = next(row for row in standings(document) if row.method == document.baseline)
    heads = ["method", "class-balanced", f"against {baseline.method}", "adjusted", "against it adjusted"]
    lines = [[*heads, *METRICS.values()], ["---", *["---:"] * (len(heads) + len(METRICS) - 1)]]
    rows = sorted(standings(document), key=lambda row: -_mean(row.own.class_balanced_accuracy))
    lines += [_cells(row) for row in rows]
    notes = "".join(f"\n{note}\n" for note in footnotes(rows))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n" + notes


def _cells(row: Standing) -> list[str]:
    cells = [f"`{row.method}`" + (f" ({row.failed} failed)" if row.failed else "")]
    for figures, mark in ((row.own, own_mark(row)), (row.adjusted, adjusted_mark(row))):
        figure = figures.class_balanced_accuracy
        spread = "" if figure is None or figure.sd is None else f" ± {100 * figure.sd:.1f}"
        cells += [_percent(figure) + spread + mark, difference_text(figure)]
    return [*cells, *(_percent(row.own.of(metric)) for metric in METRICS)]


def _percent(figure: Figure | None) -> str:
    return "–" if figure is None else f"{100 * figure.mean:.1f}"


def _mean(figure: Figure | None) -> float:
    return -1.0 if figure is None else figure.mean


if __name__ == "__main__":
    main()
