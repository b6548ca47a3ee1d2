"""Help pages: plain text in two columns, within the width of the terminal.

The pages are made here and not by cyclopts because they must come at once (no rich), and because
fifty flags in boxes with their negative forms are hard to read at 80 columns.
"""

from __future__ import annotations

import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_origin

if TYPE_CHECKING:
    from cyclopts import Argument

    from longtail.cli.parsing import Command

WIDEST = 100
COLUMN = 27
"""Where the second column starts: the longest address of published data just fits beside it."""

SUMMARY = """Train image classifiers that keep their rare classes.

One label or many attributes per image, from folders, a CSV or an archive. By default the data decide which
of the methods is taken, and a line says why."""

EXAMPLES = """
longtail data
longtail diagnose photos/
longtail train photos/ --output runs/first
longtail predict runs/first new-photos/ --output predictions.csv
"""

GLOBAL = (("--help, -h", "Show this page, or that of a command."), ("--version", "Show the version."))

ARGUMENTS, COMPARISON, TRAINING, MODEL, DATA = "Arguments", "Comparison", "Training", "Model", "Data"
METHOD, DEVICES, RUN = "Parts of the method", "Devices and report", "Run"
"""Headings."""

HEADINGS = {
    COMPARISON: ("methods", "seeds", "baseline", "tune", "budget", "parallel", "engine"),
    MODEL: (
        *("backbone", "weights", "freeze", "finetune", "from_scratch", "image_size"),
        *("features", "hidden", "shared_feature", "augment"),
    ),
    DEVICES: (
        *("accelerator", "devices", "precision", "workers", "many_above", "few_below"),
        *("no_images", "log_to"),
    ),
    RUN: ("output", "start"),
}
"""Headings of fields of `TrainConfig` and of flags of commands; the others are below `TRAINING` and `RUN`."""

METAVARS = {
    "attributes": "COLUMN...",
    "budget": "SECONDS",
    "image_size": "SIZE",
    "images": "PATH",
    "labels": "FOLDER",
    "methods": "NAMES",
    "output": "FOLDER",
    "weights": "FILE",
    **dict.fromkeys(("image_column", "split_column", "group_column", "identity_column"), "COLUMN"),
    **dict.fromkeys(("domain_column", "match_column", "tail_attribute"), "COLUMN"),
    **dict.fromkeys(("backbone", "baseline", "method"), "NAME"),
    **dict.fromkeys(("resume", "start"), "RUN"),
}
"""What stands for the value in the help, where the type alone says too little."""

# fmt: off
EVERYDAY = {
    "data", "method", "epochs", "steps", "keep", "batch_size", "seed", "backbone", "freeze", "finetune",
    "image_size", "augment", "learning_rate", "weight_decay", "val_share", "test_share", "images",
    "attributes", "split_column", "group_column", "group_near_duplicates", "tail_ratio",
    "sampler", "class_weights", "loss", "decision",
    "devices", "precision", "no_images", "output", "start",
}
# fmt: on
"""The settings that `--help` shows; `--help-all` shows the others, too."""

Row = tuple[str, str]


CODES: tuple[Row, ...] = (
    ("0", "Done."),
    ("1", "Done in part; the last line says what is missing."),
    ("2", "A mistake in the command or the data; the line says what to do."),
    ("3", "Done, with the model of a training that is not finished."),
    ("75", "Another process of the training is gone."),
    ("130, 138, 143", "Stopped by Ctrl-C, SIGUSR1 or SIGTERM."),
)


def program_page(commands: Mapping[str, str]) -> str:
    """The page of the program: its commands with what each does."""
    parts = [section("Commands", commands.items()), section("Options", GLOBAL), section("Exit codes", CODES)]
    return "\n\n".join([_head("longtail COMMAND [OPTIONS]", SUMMARY), *parts, _examples(EXAMPLES)])


def command_page(command: Command, *, everything: bool) -> str:
    """The page of a command, with all its flags or with those for everyday use."""
    arguments = [argument for argument in command.arguments() if argument.show]
    shown = [a for a in arguments if everything or not a.keys or a.keys[-1] in EVERYDAY]
    sections: dict[str, list[Row]] = {ARGUMENTS: [], COMPARISON: []}
    for argument in shown:
        sections.setdefault(_heading(argument), []).append((_label(argument), _description(argument)))
    for heading in (DEVICES, RUN):  # last
        sections[heading] = sections.pop(heading, [])
    left = len(arguments) - len(shown)
    sections[RUN] += [GLOBAL[0], *([("--help-all", f"Show {left} more flags.")] if left else [])]
    parts = [section(heading, rows) for heading, rows in sections.items() if rows]
    text = inspect.cleandoc(command.function.__doc__ or "").partition("\n\nArgs:")[0]
    return "\n\n".join([_head(command.module.USAGE, text), *parts, _examples(command.module.EXAMPLES)])


def _heading(argument: Argument) -> str:
    from longtail.methods.options import MethodOptions
    from longtail.training.data_options import DataOptions

    if argument.field_info.is_positional:
        return ARGUMENTS
    name = argument.field_info.name
    match argument.keys:
        case ("method_options", table, _):
            return (getattr(MethodOptions(), table).__doc__ or table).splitlines()[0].rstrip(".")
        case ("method_options", _):
            return METHOD
        case (*_, field) if field in DataOptions.__dataclass_fields__:
            return DATA
        case keys:
            place = next((heading for heading, names in HEADINGS.items() if name in names), None)
            return place or (TRAINING if keys else RUN)


def _label(argument: Argument) -> str:
    field = argument.field_info
    if field.is_positional:
        return field.name.upper() + ("..." if field.kind is field.VAR_POSITIONAL else "")
    metavar = argument.parameter.metavar or _metavar(argument.hint, METAVARS.get(field.name, ""))
    return f"{argument.name} {metavar}" if metavar else argument.name


def _metavar(hint: object, named: str) -> str:
    """What stands for a value of a type; a switch has none, whatever is `named` for flags of its name."""
    from longtail.cli.parsing import without_none

    core = without_none(hint)
    if named and core is not bool:
        return named
    if get_origin(core) is Literal:
        return "CHOICE"
    return {bool: "", int: "INT", float: "NUMBER", Path: "FILE"}.get(core, "TEXT")  # pyright: ignore


def _description(argument: Argument) -> str:
    text = " ".join((argument.parameter.help or "").split())
    choices = argument.get_choices()
    notes = [f"[{', '.join(choices)}]"] if choices else []
    default = argument.field_info.default
    if default is not None and default is not False and default not in ((), argument.field_info.empty):
        notes.append(f"[default:\N{NO-BREAK SPACE}{default}]")
    return " ".join([text, *notes])


def _head(usage: str, text: str) -> str:
    body = [textwrap.fill(" ".join(paragraph.split()), _width()) for paragraph in text.split("\n\n")]
    return "\n\n".join([f"{_bold('Usage:')} {usage}", *body])


def _examples(lines: str) -> str:
    return f"{_bold('Examples:')}\n{textwrap.indent(lines.strip(), '  ')}"


def section(heading: str, rows: Iterable[Row]) -> str:
    """A heading, and below it labels on the left and their texts beside them."""
    return "\n".join([_bold(f"{heading}:"), *(row(label, text) for label, text in rows)])


def row(label: str, text: str) -> str:
    """A label and the text beside it, which keeps its indentation where it is wrapped."""
    indent = text[: len(text) - len(text.lstrip())]
    width = max(_width() - COLUMN, COLUMN)  # of a terminal that is narrower than any
    lines = textwrap.wrap(
        text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    head = f"  {label}"
    if len(head) + 2 > COLUMN:
        lines.insert(0, "")
    padded = [head.ljust(COLUMN) + (lines[0] if lines else ""), *(" " * COLUMN + line for line in lines[1:])]
    return "\n".join(line.rstrip() for line in padded).replace("\N{NO-BREAK SPACE}", " ")


def _width() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST)


def _bold(text: str) -> str:
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[1m{text}\x1b[0m"
