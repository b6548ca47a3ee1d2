"""Put the tables of benchmarks/results/ into the pages of docs/, each between its marks.

Comparisons of one data set, comparison-*.json and poster-*.json, have a table each, in comparison.md and
poster.md; those of one regime on several sets, regime-SET-REGIME.json, have one together, in choosing.md.
The pages with the pictures go to build/NAME.html, the picture of poster.md to pictures/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from longtail.comparing.document import COMPARISON, ComparisonDocument
from longtail.comparing.figures import Figure, Gain, Standing, gains, standings
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
"""What comparison.md shows beside class-balanced accuracy."""

POSTER_METRICS = {
    "accuracy": "accuracy",
    "mean_average_precision": "mean AP",
    "rare_average_precision": "AP, rare",
}
"""What poster.md shows beside it."""

POSTER_GAINS = {
    "crl-c": "CRL, class level",
    "crl-i": "CRL, instance level",
    "threshold-adjustment": "cross entropy, adjusted",
}
"""Methods in the picture of poster.md, and how it calls them."""

REGIMES = ("freeze", "tuned", "last")
SETS = ("clothing", "faces", "fashion", "tiles", "ism", "cifar")
"""Columns of the tables of a regime."""


def main() -> None:
    """Rewrite the pages."""
    PAGES.mkdir(exist_ok=True)
    for page, kind, metrics in (("comparison", "comparison", METRICS), ("poster", "poster", POSTER_METRICS)):
        found = {path.stem.removeprefix(f"{kind}-"): path for path in RESULTS.glob(f"{kind}-*.json")}
        fill(page, {name: table(_read(path), metrics) for name, path in sorted(found.items())})
    draw_gains(COMPARISON.read(RESULTS / "poster-faces.json"), HERE / "pictures" / "poster-faces-gains.svg")
    fill("choosing", {regime: regime_table(regime) for regime in REGIMES})


def fill(page: str, tables: Mapping[str, str]) -> None:
    """Put tables between the marks of their names on a page of docs/."""
    path = HERE / f"{page}.md"
    text = path.read_text(encoding="utf-8")
    for name, made in tables.items():
        text, found = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\g<1>\n{made}\n\g<2>", text, flags=re.DOTALL
        )
        if not found:
            raise SystemExit(f"docs/{page}.md: expected the marks <!-- {name} --> and <!-- end -->")
    path.write_text(text, encoding="utf-8")


def table(document: ComparisonDocument, metrics: Mapping[str, str]) -> str:
    """The methods, best class-balanced accuracy first; differences with their 95 % intervals."""
    baseline = next(row for row in standings(document) if row.method == document.baseline)
    heads = ["method", "class-balanced", f"against {baseline.method}", "adjusted", "against it adjusted"]
    lines = [[*heads, *metrics.values()], _rule(len(heads) + len(metrics))]
    rows = sorted(standings(document), key=lambda row: -_mean(row.own.class_balanced_accuracy))
    lines += [_cells(row, metrics) for row in rows]
    notes = "".join(f"\n{note}\n" for note in footnotes(rows))
    return _lines(lines) + notes


def regime_table(regime: str) -> str:
    """Class-balanced accuracy of every method on every set, in brackets adjusted.

    Bold is the best of a set, among the methods with the most seeds.

    Methods that most sets have come first, then those with the higher mean.
    """
    places = {name: RESULTS / f"regime-{name}-{regime}.json" for name in SETS}
    columns = {
        name: {row.method: row for row in standings(_read(path))}
        for name, path in places.items()
        if path.exists()
    }
    best = {name: max(_ranked(_read(places[name])).values()) for name in columns}

    def order(method: str) -> tuple[int, float]:
        own = [_mean(rows[method].own.class_balanced_accuracy) for rows in columns.values() if method in rows]
        return -len(own), -sum(own)

    def cell(method: str, name: str) -> str:
        row = columns[name].get(method)
        if row is None or row.own.class_balanced_accuracy is None:
            return "–"
        own, adjusted = row.own.class_balanced_accuracy, row.adjusted.class_balanced_accuracy
        shown = _percent(own) + ("" if own.sd is None else f" ± {100 * own.sd:.1f}")
        shown = f"**{shown}**" if own.mean == best[name] else shown
        differs = adjusted is not None and abs(adjusted.mean - own.mean) >= 0.0005
        return f"{shown} ({_percent(adjusted)})" if differs else shown

    methods = sorted({method for rows in columns.values() for method in rows}, key=order)
    lines = [["method", *columns], _rule(1 + len(columns))]
    return _lines([*lines, *([f"`{m}`", *(cell(m, name) for name in columns)] for m in methods)])


def _ranked(document: ComparisonDocument) -> dict[str, float]:
    rows = standings(document)
    most = max(row.finished for row in rows)
    return {row.method: _mean(row.own.class_balanced_accuracy) for row in rows if row.finished == most}


def draw_gains(document: ComparisonDocument, path: Path) -> None:
    """Gain by attribute, the most balanced on top: mean and range over seeds."""
    import matplotlib

    matplotlib.use("svg")
    # text stays text, and the same figures give the same picture
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": path.stem})
    from matplotlib import pyplot

    panels = {m.name: gains(document, m) for m in document.methods if m.name in POSTER_GAINS}
    order = sorted(range(len(document.attributes)), key=lambda j: document.attributes[j].imbalance_ratio or 0)
    places = range(len(order))
    figure, axes = pyplot.subplots(1, 1 + len(panels), figsize=(11, 7.5), sharey=True, layout="constrained")
    axes[0].barh(places, [document.attributes[j].imbalance_ratio or 0 for j in order], color="0.7")
    axes[0].set_xscale("log")
    axes[0].set_title("imbalance ratio", fontsize=10)
    axes[0].set_yticks(places, [document.attributes[j].name for j in order], fontsize=8)
    axes[0].set_ylim(len(order) - 0.4, -0.6)
    for axis, (name, title) in zip(axes[1:], POSTER_GAINS.items()):
        rows = [panels[name][j] for j in order]
        means, lows, highs = ([100 * (g or 0) for g in column] for column in zip(*map(_range, rows)))
        axis.barh(places, means, color=["C0" if mean > 0 else "C1" for mean in means])
        axis.hlines(places, lows, highs, color="0.1", linewidth=1)
        axis.axvline(0, color="0.5", linewidth=0.8)
        axis.set_title(f"{title}\ngain in points", fontsize=10)
    low, high = (pick(x for axis in axes[1:3] for x in axis.get_xlim()) for pick in (min, max))
    for axis in axes[1:3]:
        axis.set_xlim(low, high)
    for axis in axes:
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _range(gain: Gain) -> tuple[float | None, float | None, float | None]:
    return gain.mean, gain.low, gain.high


def _read(path: Path) -> ComparisonDocument:
    document = COMPARISON.read(path)
    write_text(PAGES / f"{path.stem}.html", render_comparison(document))
    return document


def _rule(columns: int) -> list[str]:
    return ["---", *["---:"] * (columns - 1)]


def _lines(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cells(row: Standing, metrics: Mapping[str, str]) -> list[str]:
    cells = [f"`{row.method}`" + (f" ({row.failed} failed)" if row.failed else "")]
    for figures, mark in ((row.own, own_mark(row)), (row.adjusted, adjusted_mark(row))):
        figure = figures.class_balanced_accuracy
        spread = "" if figure is None or figure.sd is None else f" ± {100 * figure.sd:.1f}"
        cells += [_percent(figure) + spread + mark, difference_text(figure)]
    return [*cells, *(_percent(row.own.of(metric)) for metric in metrics)]


def _percent(figure: Figure | None) -> str:
    return "–" if figure is None else f"{100 * figure.mean:.1f}"


def _mean(figure: Figure | None) -> float:
    return -1.0 if figure is None else figure.mean


if __name__ == "__main__":
    main()
