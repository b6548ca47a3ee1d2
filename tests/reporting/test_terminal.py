"""Tables for a terminal of 80 columns."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from longtail.errors import InputError
from longtail.reporting.terminal import comparison_table, results_table

Maker = Callable[..., dict[str, Any]]
TRICKY = ["[red]x[/red]", "日本の靴" * 9, "a\nb\x1b[2J", "<script>", "w" * 60, "caf\udce9"]


def printed(table: RenderableType, width: int = 80) -> str:
    """What is printed; wider than the terminal only if a table does not fit it."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    lines = console.render_lines(table, console.options.update_width(width), pad=False)
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)


def row(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(name + " "))
    return line[len(name) :].split()


def test_a_class_has_its_counts_and_figures_in_a_row(results_of: Maker) -> None:
    results = results_of([("digit", [f"d{i}" for i in range(10)])])
    text = printed(results_table(results))
    for entry in results["attributes"][0]["classes"]:
        figures = ["–" if entry[k] is None else f"{100 * entry[k]:.1f}" for k in ("recall", "precision")]
        counts = [str(entry["train_count"]), str(entry["test_count"]), entry["frequency_group"]]
        assert row(text, entry["name"]) == counts + figures


def test_the_summary_line_has_figure_and_interval(results_of: Maker) -> None:
    results = results_of([("digit", ["a", "b"])])
    results["attributes"][0]["metrics"]["class_balanced_accuracy"] = {"value": 0.5, "low": 0.41, "high": 0.59}
    assert "digit: class-balanced accuracy 50.0 % (41.0 to 59.0)" in printed(results_table(results))
    assert "resnet32, 464,154 parameters, seed 0" in printed(results_table(results))


@pytest.mark.parametrize(("attributes", "classes"), [(1, 6), (3, 61), (40, 2)])
def test_results_fit_80_columns_and_nothing_is_cut_off(
    results_of: Maker, attributes: int, classes: int
) -> None:
    names = [*TRICKY, *(f"class {k}" for k in range(classes))][:classes]
    text = printed(results_table(results_of([(f"{TRICKY[j % 6]} {j}", names) for j in range(attributes)])))
    assert max(map(cell_len, text.splitlines())) <= 80
    assert text.count("precision, %") == (attributes if attributes <= 12 else 0)
    assert "\x1b" not in text


def test_names_are_not_taken_for_markup(results_of: Maker) -> None:
    text = printed(results_table(results_of([("[bold]", TRICKY)])))
    for name in ("[red]x[/red]", "a b [2J", "<script>", r"caf\udce9", "[bold]: class-balanced"):
        assert name in text


def test_long_tails_show_the_5_most_frequent_and_10_rarest(results_of: Maker) -> None:
    results = results_of([("type", [f"t{k:02}" for k in range(30)])])
    text = printed(results_table(results))
    order = sorted(results["attributes"][0]["classes"], key=lambda c: -c["train_count"])
    expected = [c["name"] for c in (*order[:5], *order[-10:])]
    assert re.findall(r"^(t\d\d) ", text, re.MULTILINE) == expected
    assert "15 of 30 classes are left out" in text


def test_twenty_classes_are_all_shown(results_of: Maker) -> None:
    text = printed(results_table(results_of([("type", [f"t{k:02}" for k in range(20)])])))
    assert len(re.findall(r"^t\d\d ", text, re.MULTILINE)) == 20
    assert "left out" not in text


def test_doubts_are_said_below_the_tables(results_of: Maker) -> None:
    results = results_of([("digit", ["a", "b"])])
    results["attributes"][0]["classes"][0]["test_count"] = 0
    assert "Note: digit: 1 of 2 classes (a) has no test image" in printed(results_table(results))


def with_balanced(results: dict[str, Any], method: str, low: float, high: float) -> dict[str, Any]:
    run = copy.deepcopy(results)
    run["method"]["name"] = method
    figure = {"value": (low + high) / 2, "low": low, "high": high}
    run["attributes"][0]["metrics"]["class_balanced_accuracy"] = figure
    return run


@pytest.mark.parametrize(("low", "marked"), [(0.601, True), (0.6, False), (0.55, False)])
def test_best_is_what_lies_above_all_other_intervals(results_of: Maker, low: float, marked: bool) -> None:
    base = results_of([("digit", ["a", "b"])])
    runs = [
        with_balanced(base, "ce", 0.4, 0.5),
        with_balanced(base, "focal", 0.5, 0.6),
        with_balanced(base, "crl", low, 0.7),
    ]
    figures = row(printed(comparison_table(runs)), "class-balanced, %")
    assert figures[:2] == ["45.0", "55.0"]
    assert figures[3:] == (["best"] if marked else [])


def test_one_run_alone_is_never_best(results_of: Maker) -> None:
    assert "best" not in printed(comparison_table([results_of([("digit", ["a", "b"])])]))


def test_the_comparison_has_the_recall_of_every_class_by_method(results_of: Maker) -> None:
    runs = [
        results_of([("digit", [f"d{i}" for i in range(10)])], seed=s, method=m) for s, m in enumerate("ab")
    ]
    text = printed(comparison_table(runs))
    for k, entry in enumerate(runs[0]["attributes"][0]["classes"]):
        recalls = [r["attributes"][0]["classes"][k]["recall"] for r in runs]
        expected = ["–" if r is None else f"{100 * r:.1f}" for r in recalls]
        assert row(text, entry["name"]) == [str(entry["train_count"]), *expected]
    assert "differ in their training or test images" in text


def test_runs_on_the_same_images_get_no_remark_on_them(results_of: Maker) -> None:
    base = results_of([("digit", ["a", "b"])])
    text = printed(comparison_table([base, with_balanced(base, "ce", 0.1, 0.2)]))
    assert "differ" not in text


@pytest.mark.parametrize("attributes", [1, 2, 14])
def test_nine_methods_fit_80_columns_and_keep_whole_intervals(results_of: Maker, attributes: int) -> None:
    schema = [(f"{TRICKY[j % 6]} {j}", TRICKY) for j in range(attributes)]
    base = results_of(schema)
    runs = [with_balanced(base, f"balanced_softmax_{i}", 0.9, 1.0) for i in range(9)]
    text = printed(comparison_table(runs))
    assert max(map(cell_len, text.splitlines())) <= 80
    # only the first attribute was given this interval, and no mean was
    assert text.count("90.0–100.0") == 9
    for i in range(9):
        assert f"softmax_{i}" in text


def test_runs_of_one_method_are_told_apart_by_seed_or_number(results_of: Maker) -> None:
    schema = [("digit", ["a", "b"])]
    runs = [results_of(schema, seed=1), results_of(schema, seed=2), results_of(schema, seed=2)]
    text = " ".join(printed(comparison_table(runs)).split())
    assert "seed 1" in text
    assert "#1" in text
    assert "#2" in text


def test_runs_with_other_classes_are_refused(results_of: Maker) -> None:
    runs = [results_of([("digit", ["a", "b"])]), results_of([("digit", ["a", "c"])])]
    with pytest.raises(InputError, match=r"run 2 .* has other classes than run 1"):
        comparison_table(runs)


def test_no_run_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        comparison_table([])
