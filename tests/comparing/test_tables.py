"""The comparison in Markdown, CSV, LaTeX and 80 columns: the same figures, nothing that breaks the form."""

from __future__ import annotations

import csv
import io
import re

import pytest
from rich.console import Console

from longtail.comparing.document import ComparisonDocument
from longtail.comparing.figures import Difference, Figure, standings
from longtail.comparing.latex import COLUMNS, to_latex
from longtail.comparing.page import render_comparison
from longtail.comparing.tables import (
    difference_text,
    fault_lines,
    figure_text,
    footnotes,
    runs,
    shown_metrics,
    terminal_table,
    to_csv,
    to_markdown,
)
from longtail.evaluation.metrics import METRICS

from .comparison_documents import comparison, fail, set_balanced, several_attributes, single_attribute, typed

NASTY = r"[a|b] 50% & $x_1$ ~^\#{} <i>"


@pytest.fixture(scope="module")
def document() -> ComparisonDocument:
    return typed(single_attribute())


@pytest.fixture(scope="module")
def nasty() -> ComparisonDocument:
    document = comparison([3], ["ce", NASTY], seeds=2)
    fail(document["methods"][1]["cells"][0], "100% of |memory|\nis gone")
    return typed(document)


def terminal(document: ComparisonDocument) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=80).print(terminal_table(document))
    return output.getvalue().splitlines()


def markdown_rows(document: ComparisonDocument) -> list[list[str]]:
    lines = [line for line in to_markdown(document).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_figures_are_percentages_and_differences_have_signs():
    figure = Figure(0.7123, 0.011, Difference(0.023, -0.0001, 0.042))
    assert figure_text(figure) == "71.2 ± 1.1"
    assert difference_text(figure) == "+2.3 [+0.0, +4.2]"
    assert difference_text(Figure(0.7123, 0.011, Difference(0.023, None, None))) == "+2.3, too few runs"
    assert figure_text(Figure(0.5, None, None)) == "50.0"
    assert figure_text(None) == difference_text(None) == difference_text(Figure(0.5, None, None)) == "–"


def test_markdown_has_a_row_for_each_method_with_every_figure(document: ComparisonDocument):
    head, rule, *rows = markdown_rows(document)
    metrics = shown_metrics(standings(document))
    assert metrics == list(METRICS[:-1])  # no attribute has two classes
    assert len(head) == len(rule) == 3 + len(metrics) + 1
    for cells, row in zip(rows, standings(document), strict=True):
        assert len(cells) == len(head)
        for metric, cell in zip(metrics[1:], cells[4:-1], strict=True):
            assert cell.startswith(figure_text(row.own.of(metric)))
        assert cells[0] == row.method.replace("_", r"\_")
        assert figure_text(row.adjusted.class_balanced_accuracy) in cells[3]
        assert (difference_text(row.own.accuracy) in cells[4]) == (row.method != "ce")


def test_markdown_names_failed_runs_and_says_what_stands_there(document: ComparisonDocument):
    text = to_markdown(document)
    assert "4/5 runs, 1 failed" in text
    assert "- crl-class, seed 3: out of memory; lower --batch-size" in text
    assert "difference to ce in points" in text
    assert "Failed" not in to_markdown(typed(several_attributes()))


def test_what_went_wrong_in_several_runs_is_one_footnote_of_the_method():
    made = comparison([3], ["ce", "crl-i"], seeds=3)
    assert list(fault_lines(typed(made))) == []
    for seed in (0, 2):
        made["methods"][1]["cells"][seed]["faults"] = [{"name": "collapsed", "text": f"collapsed, {seed}"}]
    made["methods"][0]["cells"][1]["faults"] = [{"name": "guessing", "text": "a guess"}]
    lines = ["ce, seed 1: a guess", "crl-i, seeds 0 and 2: collapsed, 0"]
    assert list(fault_lines(typed(made))) == lines
    markdown = to_markdown(typed(made))
    assert "Warnings:\n\n- ce, seed 1: a guess\n- crl-i, seeds 0 and 2: collapsed, 0\n" in markdown
    page = render_comparison(typed(made))
    assert all(f"<li>{line}.</li>" in page for line in lines)


def test_the_rarer_of_two_classes_has_a_column_where_an_attribute_has_two():
    document = typed(several_attributes())
    head, *_ = markdown_rows(document)
    assert head[-2] == "average precision, rarer of two"
    figure = standings(document)[2].own.rare_average_precision
    assert figure_text(figure) in markdown_rows(document)[4][-2]
    assert figure_text(figure) in render_comparison(document)


def test_a_table_says_what_holds_for_other_images(document: ComparisonDocument):
    said = "for other images of the same kind the intervals are about 1.5 times as wide"
    assert said in " ".join("\n".join(terminal(document)).split())
    assert said in to_markdown(document)
    assert "times as wide" not in to_markdown(typed(several_attributes()))  # two seeds have no interval


def test_methods_that_are_no_better_than_the_regression_are_named():
    made = comparison([3], ["ce", "linear", "crl"], seeds=2)
    for worse_or_equal in ([0.4, 0.6], [0.5, 0.6]):
        (line,) = fault_lines(set_balanced(made, worse_or_equal, [0.5, 0.6], [0.6, 0.6]))
        assert line.startswith("ce: no better than linear (")


def test_names_break_neither_markdown_nor_latex(nasty: ComparisonDocument):
    assert {len(row) for row in markdown_rows(nasty)} == {11}
    assert r"\[a\|b\] 50% \& \$x\_1\$ \~^\\\#\{\} \<i\>" in to_markdown(nasty)
    body = to_latex(nasty).partition("\\midrule\n")[2].splitlines()
    assert body[1].startswith(r"{}[a\textbar{}b] 50\% \& \$x\_1\$ \textasciitilde{}\textasciicircum{}")
    assert all(len(re.findall(r"(?<!\\)&", line)) == 6 for line in body[:2])
    assert (
        len(to_markdown(nasty).splitlines()) == len(to_markdown(typed(single_attribute())).splitlines()) - 2
    )


def test_latex_has_a_line_for_each_method_and_shows_failed_runs(document: ComparisonDocument):
    text = to_latex(document)
    assert text.count(r" \\" + "\n") == 1 + 4
    assert r"crl-class (4/5 runs, 1 failed) & " in text
    over = standings(document)[1].adjusted.class_balanced_accuracy
    assert difference_text(over).replace("-", "$-$") in text
    assert text.count("{") == text.count("}")
    assert text.isascii()


def test_latex_can_be_pasted_with_its_caption_label_and_rules(document: ComparisonDocument):
    text = to_latex(document)
    for part in ("table", "tabular"):
        assert text.count(f"\\begin{{{part}}}") == text.count(f"\\end{{{part}}}") == 1
    assert r"\caption{Comparison on clothing. Mean $\pm$ standard" in text
    assert "\\label{tab:comparison-clothing}" in text
    head = text.partition("\\toprule\n")[2].splitlines()[0].removesuffix(r" \\").split(" & ")
    assert len(set(head)) == len(head) == 7


def test_the_best_of_every_figure_is_bold_and_all_of_equal_ones():
    made = comparison([3], ["ce", "crl"], seeds=2)
    bold = re.findall(r"\\textbf\{(.*?)\}", to_latex(typed(made), ["accuracy", "training, s"]))
    best = max((row.own.accuracy for row in standings(typed(made))), key=lambda figure: figure.mean)
    assert bold == [figure_text(best).replace("±", r"$\pm$")]
    for cell, other in zip(made["methods"][0]["cells"], made["methods"][1]["cells"]):
        other["decisions"] = cell["decisions"]
        other["own_decision"] = cell["own_decision"]
    assert to_latex(typed(made), ["accuracy"]).count("textbf") == 2
    assert "textbf" not in to_latex(typed(comparison([3], ["ce"], seeds=2)))


def test_only_the_best_of_the_methods_with_the_most_finished_runs_is_bold():
    made = comparison([3], ["ce", "crl", "focal"], seeds=2)
    fail(made["methods"][2]["cells"][0], "no room")
    made["methods"][2]["cells"][1]["decisions"]["argmax"]["mean"]["accuracy"] = 0.99
    best = max((row.own.accuracy for row in standings(typed(made))[:2]), key=lambda figure: figure.mean)
    bold = re.findall(r"\\textbf\{(.*?)\}", to_latex(typed(made), ["accuracy"]))
    assert bold == [figure_text(best).replace("±", r"$\pm$")]


def test_columns_of_the_latex_table_can_be_chosen_each_once(document: ComparisonDocument):
    assert all(to_latex(document, [head]).count(" & ") >= 5 for head in COLUMNS)
    for wrong in (["accuracy", "accuracy"], ["nothing"]):
        with pytest.raises(ValueError, match="columns: expected some of"):
            to_latex(document, wrong)


def test_csv_holds_every_number_in_full(document: ComparisonDocument):
    lines = list(csv.DictReader(io.StringIO(to_csv(document))))
    for line, row in zip(lines, standings(document), strict=True):
        assert (line["method"], int(line["finished"]), int(line["failed"])) == (
            row.method,
            row.finished,
            row.failed,
        )
        assert float(line["seconds"]) == row.seconds
        assert int(line["peak_memory_bytes"]) == row.peak_memory_bytes
        for prefix, figures in (("", row.own), ("adjusted_", row.adjusted)):
            for metric in METRICS:
                figure = figures.of(metric)
                assert (figure is None) == (metric == "rare_average_precision")
                if figure is None:
                    continue
                found = figure.difference
                of = (found.value, found.low, found.high) if found else (None, None, None)
                expected = [figure.mean, figure.sd, *of]
                names = ("mean", "sd", "difference", "low", "high")
                numbers = [line[f"{prefix}{metric}_{name}"] for name in names]
                assert [float(x) if x else None for x in numbers] == expected


def test_undefined_numbers_are_empty_in_csv():
    document = comparison([3], ["ce", "crl"], seeds=1)
    fail(document["methods"][1]["cells"][0], "x")
    crl = list(csv.reader(io.StringIO(to_csv(typed(document)))))[2]
    assert crl[:3] == ["crl", "0", "1"]
    assert set(crl[3:]) == {""}


@pytest.mark.parametrize("name", ["crl", "a_method_with_a_name_too_long_for_the_column_of_a_terminal", NASTY])
def test_the_terminal_table_fits_in_80_columns_with_whole_figures(name: str):
    document = comparison([10], ["ce", name], seeds=2)
    for k, cell in enumerate(document["methods"][1]["cells"]):
        for decision in cell["decisions"].values():
            decision["mean"]["class_balanced_accuracy"] = float(k)
        cell["training"]["seconds"] = 123456.0
    lines = terminal(typed(document))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    row = standings(typed(document))[1]
    for figure in (row.own.class_balanced_accuracy, row.adjusted.class_balanced_accuracy):
        assert figure_text(figure) in text
        assert difference_text(figure) in text
    assert "123,456" in text


def test_the_terminal_shows_rare_recall_and_names_failed_runs(document: ComparisonDocument):
    text = "\n".join(terminal(document))
    row = standings(document)[2]
    few = row.own.few_recall
    assert few is not None
    assert f"{100 * few.mean:.1f}" in text
    assert "4/5 runs, 1 failed" in text
    assert "Failed: crl-class, seed 3: out of memory; lower --batch-size" in text


def test_a_single_run_is_one_run():
    row = standings(typed(comparison([3], ["ce"], seeds=1)))[0]
    assert runs(row) == "1 run"
    assert row.own.accuracy is not None
    assert row.own.accuracy.sd is None


def marked() -> ComparisonDocument:
    """The second method's adjusted figures, and the third's by its own decision, are only near."""
    plain = single_attribute()
    for index, decision, reason in ((1, "prior", "mixed images"), (2, "argmax", "an open constant")):
        for figures in (cell["decisions"].get(decision) for cell in plain["methods"][index]["cells"]):
            if figures is not None:
                figures["caveat"] = reason
    return typed(plain)


def test_figures_of_a_decision_that_is_only_near_are_marked_and_a_footnote_says_why():
    document = marked()
    _, second, third, *_ = standings(document)
    assert footnotes(standings(document)) == [
        f"† {second.method} adjusted: mixed images.",
        f"† {third.method}: an open constant.",
    ]
    printed, latex = "\n".join(terminal(document)), to_latex(document)
    for text in (printed, to_markdown(document), latex):
        assert "mixed images." in text
        assert "an open constant." in text
    assert figure_text(second.adjusted.class_balanced_accuracy) + "†" in printed
    assert figure_text(second.own.class_balanced_accuracy) + "†" not in printed
    assert (
        latex.partition("midrule")[2].count(r"\textdagger{}") == 3
    )  # two figures of one, adjusted of the other
    rows = {row[0].replace("\\", ""): row for row in markdown_rows(document)}
    assert ["†" in cell for cell in rows[third.method]] == [False, False, True, False, *[True] * 6, False]
    page = render_comparison(document)
    assert f"† {second.method} adjusted: mixed images." in page


def test_without_caveats_nothing_is_marked():
    assert "†" not in to_markdown(typed(single_attribute()))
