"""Pieces that the tables of a diagnosis share."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def columns(left: Sequence[str], right: Sequence[str]) -> Table:
    """A table without edges: columns of text on the left, of figures on the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def section(title: str, body: RenderableType, remark: str = "") -> RenderableType:
    """A title, what stands below it, and what its words mean."""
    parts: list[RenderableType] = [Text(title, style="bold"), body]
    if remark:
        parts.append(Text(remark, style="dim"))
    return Padding(Group(*parts), (1, 0, 0, 0))


def whole_percent(share: float) -> str:
    """A share as a whole percentage, which is 0 only where it never was."""
    return "< 1" if 0 < share < 0.005 else f"{100 * share:.0f}"
