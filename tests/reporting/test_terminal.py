"""Tables for a terminal of 80 columns."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console, RenderableType

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.results import Fault, Results
from longtail.reporting.terminal import results_table
from longtail.reporting.wording import recall_interval

Maker = Callable[..., Results]
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
    for entry in results.attributes[0].classes:
        recall, precision = (
            "–" if share is None else f"{100 * share:.1f}" for share in (entry.recall, entry.precision)
        )
        figures = [recall, *recall_interval(entry).split(), precision]
        counts = [str(entry.train_count), str(entry.test_count), entry.frequency_group]
        assert row(text, entry.name) == counts + figures


def test_the_summary_line_has_figure_and_interval(results_of: Maker) -> None:
    made = results_of([("digit", ["a", "b"])])
    (attribute,) = made.attributes
    metrics = replace(attribute.metrics, class_balanced_accuracy=Estimate(0.5, 0.41, 0.59))
    results = replace(made, attributes=(replace(attribute, metrics=metrics),))
    assert "digit: class-balanced accuracy 50.0 % (41.0 to 59.0)" in printed(results_table(results))
    assert "resnet32, 464,154 parameters, seed 0" in printed(results_table(results))


def test_a_mean_says_of_how_many_attributes_it_is(results_of: Maker) -> None:
    made = results_of([("digit", ["a", "b"]), ("letter", ["c", "d"]), ("sign", ["e", "f"])])
    some, other, last = made.attributes
    rare = Estimate(0.25, 0.2, 0.3)
    metrics = (
        replace(some.metrics, few_recall=rare),
        *(replace(a.metrics, few_recall=None) for a in (other, last)),
    )
    attributes = tuple(replace(a, metrics=m) for a, m in zip(made.attributes, metrics, strict=True))
    text = printed(
        results_table(replace(made, attributes=attributes, mean=replace(made.mean, few_recall=rare)))
    )
    assert "recall of rare classes 25.0 % (20.0 to 30.0) over 1 of 3 attributes" in " ".join(text.split())
    # of a figure that all define, nothing is said
    assert text.count("attributes") == 2


def test_what_went_wrong_stands_below_the_figures(results_of: Maker) -> None:
    made = results_of([("digit", ["a", "b"])])
    assert "Warning" not in printed(results_table(made))
    faults = (
        Fault("collapsed", "the features have collapsed"),
        Fault("guessing", "no better than \x1bguessing"),
    )
    text = printed(results_table(replace(made, faults=faults)))
    assert "Warning: the features have collapsed.\nWarning: no better than  guessing." in text


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
    order = sorted(results.attributes[0].classes, key=lambda c: -c.train_count)
    expected = [c.name for c in (*order[:5], *order[-10:])]
    assert re.findall(r"^(t\d\d) ", text, re.MULTILINE) == expected
    assert "15 of 30 classes are left out" in text


def test_twenty_classes_are_all_shown(results_of: Maker) -> None:
    text = printed(results_table(results_of([("type", [f"t{k:02}" for k in range(20)])])))
    assert len(re.findall(r"^t\d\d ", text, re.MULTILINE)) == 20
    assert "left out" not in text


def test_doubts_are_said_below_the_tables(results_of: Maker) -> None:
    made = results_of([("digit", ["a", "b"])])
    (attribute,) = made.attributes
    classes = (replace(attribute.classes[0], test_count=0), attribute.classes[1])
    cells = tuple(cell for cell in attribute.confusion if cell[0] == 1)
    results = replace(made, attributes=(replace(attribute, classes=classes, confusion=cells),))
    assert "Note: digit: 1 of 2 classes (a) has no test image" in printed(results_table(results))
