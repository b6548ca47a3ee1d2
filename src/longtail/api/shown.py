"""Tables of the terminal as text and for notebooks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from longtail.api.jobs import Compared, Diagnosed
    from longtail.comparing.document import ComparisonDocument
    from longtail.diagnosing.examine import Diagnosis
    from longtail.evaluation.results import Results

WIDTH = 100
"""Columns of a table."""


class Table:
    """Prints as in a terminal, and shows itself in a notebook."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    @cached_property
    def _text(self) -> str:
        from rich.console import Console

        console = Console(width=WIDTH, highlight=False, markup=False, emoji=False, color_system=None)
        with console.capture() as captured:
            console.print(self._content)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from markupsafe import escape

        return f"<pre style='line-height:1.2'>{escape(self._text)}</pre>"


def table(found: Results | Compared | ComparisonDocument | Diagnosed | Diagnosis) -> Table:
    """What a job found, as a table.

    Example::

        print(longtail.table(longtail.load("runs/first").evaluate(split="val")))
    """
    from longtail.api.jobs import Compared, Diagnosed
    from longtail.comparing.document import ComparisonDocument
    from longtail.comparing.tables import terminal_table
    from longtail.diagnosing.examine import Diagnosis
    from longtail.diagnosing.show import render
    from longtail.reporting.terminal import results_table

    if isinstance(found, Compared | Diagnosed):
        return found.table()
    if isinstance(found, ComparisonDocument):
        return Table(terminal_table(found))
    return Table(render(found) if isinstance(found, Diagnosis) else results_table(found))
