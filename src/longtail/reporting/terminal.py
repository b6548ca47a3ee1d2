"""results.json as tables for a terminal of 80 columns; nothing is said by colour alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.metrics import Metrics
from longtail.evaluation.results import AttributeResults, ClassResults, Results
from longtail.reporting import trust
from longtail.reporting.wording import by_frequency, cautions, interval, only_some, recall_interval, value
from longtail.words import count, percent, shortened, shown

MOST_CLASSES = 20
"""An attribute with more classes shows only those of `FREQUENT_SHOWN` and `RARE_SHOWN`."""

FREQUENT_SHOWN, RARE_SHOWN = 5, 10

MOST_ATTRIBUTES = 12
"""With more attributes, each has one row instead of a table of its classes."""

NAME_WIDTH = 24
"""Columns of the terminal for the name of a class or an attribute; longer names end in an ellipsis."""

MOST_CAUTIONS = 5


def results_table(results: Results) -> RenderableType:
    """What a run achieved: for each attribute a line of figures and a table of its classes."""
    attributes = results.attributes
    parts: list[RenderableType] = [_run_line(results)]
    if len(attributes) > 1:
        parts.append(_mean_line(results))
    if len(attributes) > MOST_ATTRIBUTES:
        parts.append(_below_gap(_attributes_table(attributes)))
    else:
        parts += [part for attribute in attributes for part in _attribute_parts(attribute)]
    parts += _after_gap(_trust_parts(results))
    return Group(*parts, *_after_gap(_fault_lines(results)), *_after_gap(_caution_lines(results)))


def _run_line(results: Results) -> Text:
    model = results.model
    facts = (
        results.data.name,
        results.method.name,
        f"{model.backbone}, {model.parameters:,} parameters",
        f"seed {results.seed}, {results.split} images",
    )
    return Text(shown(", ".join(facts)))


def _mean_line(results: Results) -> Padding:
    attributes = results.attributes
    return _figures_line(
        f"mean over {len(attributes)} attributes",
        results.mean,
        Metrics.each(lambda name: only_some(attributes, name)),
    )


def _figures_line(name: str, metrics: Metrics[Estimate | None], over: Metrics[str] | None = None) -> Padding:
    """Some figures; `over` says behind each how many attributes it is a mean of, where not of all."""
    balanced, plain, few = metrics.class_balanced_accuracy, metrics.accuracy, metrics.few_recall
    over = over or Metrics.each(lambda _: "")
    line = Text.assemble((shown(name), "bold"), ": class-balanced accuracy ", _with_interval(balanced))
    line.append(over.class_balanced_accuracy if balanced else "")
    line.append(f", accuracy {value(plain)} %{over.accuracy}" if plain else "")
    line.append(f", recall of rare classes {_with_interval(few)}{over.few_recall}" if few else "")
    return _below_gap(line)


def _attribute_parts(attribute: AttributeResults) -> Iterator[RenderableType]:
    classes = attribute.classes
    yield _figures_line(attribute.name, attribute.metrics)
    table = _table("class", "train", "test", "group", "recall, %", "interval", "precision, %")
    for k in _shown_rows(classes):
        table.add_row(*(_class_cells(classes[k]) if k is not None else ["…"] * 7))
    table.caption = _left_out(classes)
    yield table


def _class_cells(entry: ClassResults) -> list[Text | str]:
    numbers = [str(entry.train_count), str(entry.test_count), entry.frequency_group]
    return [
        _name(entry.name),
        *numbers,
        percent(entry.recall),
        recall_interval(entry),
        percent(entry.precision),
    ]


def _attributes_table(attributes: Sequence[AttributeResults]) -> Table:
    table = _table("attribute", "classes", "rarest class", "balanced, %", "95 % interval")
    for attribute in attributes:
        balanced = attribute.metrics.class_balanced_accuracy
        rarest = min(c.train_count for c in attribute.classes)
        sizes = str(len(attribute.classes)), count(rarest, "image")
        table.add_row(_name(attribute.name), *sizes, value(balanced), interval(balanced))
    return table


def _trust_parts(results: Results) -> Iterator[RenderableType]:
    """How sure the scores are; what thresholds and prediction sets do, where they were asked for."""
    if sure := trust.calibration_sentence(results):
        yield Text(shown(sure))
    own = results.attributes
    for heads, rows, said in (
        (trust.THRESHOLD_HEADS, trust.threshold_rows(own), trust.threshold_sentence(own)),
        (trust.SET_HEADS, trust.set_rows(own), trust.set_sentence(results)),
    ):
        if said:
            table = _table(*heads)
            for first, *others in rows:
                table.add_row(_name(first), *map(shown, others))
            yield table
            yield Text(shown(said))


def _fault_lines(results: Results) -> Iterator[RenderableType]:
    for fault in results.faults:
        yield Text(f"Warning: {shown(fault.text)}.")


def _caution_lines(results: Results) -> Iterator[RenderableType]:
    found = cautions(results)
    for caution in found[:MOST_CAUTIONS]:
        yield Text(f"Note: {caution}")
    if len(found) > MOST_CAUTIONS:
        yield Text(f"Note: {len(found) - MOST_CAUTIONS} more of this kind.")


def _shown_rows(classes: Sequence[ClassResults]) -> list[int | None]:
    """Indices of the classes that have a row, most frequent first; None where classes are left out."""
    order = by_frequency(classes)
    if len(order) <= MOST_CLASSES:
        return list(order)
    return [*order[:FREQUENT_SHOWN], None, *order[-RARE_SHOWN:]]


def _left_out(classes: Sequence[ClassResults]) -> str | None:
    """Caption of a table that does not show every class."""
    if len(classes) <= MOST_CLASSES:
        return None
    hidden = len(classes) - FREQUENT_SHOWN - RARE_SHOWN
    shown_ones = f"the {FREQUENT_SHOWN} most frequent and the {RARE_SHOWN} rarest"
    return f"{hidden} of {len(classes)} classes are left out; shown: {shown_ones}."


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


def _below_gap(part: RenderableType) -> Padding:
    return Padding(part, (1, 0, 0, 0))


def _after_gap(lines: Iterator[RenderableType]) -> Iterator[RenderableType]:
    """The lines, if any, after an empty one."""
    for number, line in enumerate(lines):
        yield line if number else _below_gap(line)


def _with_interval(figure: Estimate | None) -> str:
    return f"{value(figure)} % ({interval(figure)})" if figure else "not defined"
