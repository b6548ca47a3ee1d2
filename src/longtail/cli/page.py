"""Help pages: plain text in two columns, within the width of the terminal.

The pages are made here and not by cyclopts because they must come at once (no rich), and because
fifty flags in boxes with their negative forms are hard to read at 80 columns.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import cast

from cyclopts import App, Argument, Group

from longtail.cli.flags import DEVICES, RUN

WIDEST = 100
COLUMN = 28
"""Where the second column starts."""

GLOBAL = (("--help, -h", "Show this page, or that of a command."), ("--version", "Show the version."))

Row = tuple[str, str]


def help_page(app: App, command: str | None) -> str:
    """The page of a command, or of the program for None."""
    return _command_page(app[command]) if command else _program_page(app)


def _program_page(app: App) -> str:
    commands = [(name, _summary(app[name])) for name in app]
    parts = [_head(app), _section("Commands", commands), _section("Options", GLOBAL)]
    return _joined([*parts, *_epilogue(app)])


def _command_page(command: App) -> str:
    sections: dict[str, list[Row]] = {"Arguments": []}
    for argument in command.assemble_argument_collection():
        if argument.show:
            heading = "Arguments" if _positional(argument) else _heading(argument)
            sections.setdefault(heading, []).append((_label(argument), _description(argument)))
    for heading in (DEVICES, RUN):  # last
        sections[heading] = sections.pop(heading, [])
    sections[RUN].append(GLOBAL[0])
    parts = [_section(heading, rows) for heading, rows in sections.items() if rows]
    return _joined([_head(command), *parts, *_epilogue(command)])


def _head(app: App) -> str:
    paragraphs = textwrap.dedent(app.help).strip().split("\n\n")
    body = [textwrap.fill(" ".join(text.split()), _width()) for text in paragraphs]
    return "\n\n".join([f"{_bold('Usage:')} {app.usage}", *body])


def _summary(app: App) -> str:
    return " ".join(app.help.strip().split("\n\n")[0].split())


def _epilogue(app: App) -> Iterator[str]:
    if app.help_epilogue:
        yield f"{_bold('Examples:')}\n{textwrap.indent(textwrap.dedent(app.help_epilogue).strip(), '  ')}"


def _section(heading: str, rows: Iterable[Row]) -> str:
    return "\n".join([_bold(f"{heading}:"), *(_row(label, text) for label, text in rows)])


def _row(label: str, text: str) -> str:
    lines = textwrap.wrap(text, _width() - COLUMN, break_on_hyphens=False)
    head = f"  {label}"
    if len(head) + 2 > COLUMN:
        lines.insert(0, "")
    padded = [head.ljust(COLUMN) + (lines[0] if lines else ""), *(" " * COLUMN + line for line in lines[1:])]
    return "\n".join(line.rstrip() for line in padded).replace("\N{NO-BREAK SPACE}", " ")


def _heading(argument: Argument) -> str:
    groups = cast("tuple[Group, ...]", argument.parameter.group)
    return groups[0].name


def _positional(argument: Argument) -> bool:
    return argument.field_info.is_positional


def _label(argument: Argument) -> str:
    if _positional(argument):
        several = argument.field_info.kind is argument.field_info.VAR_POSITIONAL
        return argument.field_info.name.upper() + ("..." if several else "")
    name = next(name for name in argument.names if name not in argument.negatives)
    metavar = argument.parameter.metavar
    return f"{name} {metavar}" if metavar else name


def _description(argument: Argument) -> str:
    text = argument.parameter.help or ""
    choices = argument.get_choices()
    notes = [f"[{', '.join(choices)}]"] if choices else []
    if isinstance(argument.parameter.show_default, str):
        notes.append(f"[default:\N{NO-BREAK SPACE}{argument.parameter.show_default}]")
    return " ".join([text, *notes])


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _width() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST)


def _bold(text: str) -> str:
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[1m{text}\x1b[0m"
