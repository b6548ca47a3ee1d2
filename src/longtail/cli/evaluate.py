"""`longtail evaluate`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from longtail.cli.config_file import Settings
from longtail.cli.flags import DATA, SourceFlags, flag_names, option
from longtail.cli.progress import display
from longtail.cli.stdio import expect_writable, show
from longtail.errors import InputError
from longtail.methods.options import DecisionName
from longtail.training.config import DataOptions

USAGE = "longtail evaluate RUN [DATA] [OPTIONS]"

EXAMPLES = """
longtail evaluate runs/first
longtail evaluate runs/first --split val --output validation.json
longtail evaluate runs/first --decision prior
longtail evaluate runs/first new-photos/ --output new-photos.json
"""

Accelerator = Literal["auto", "cpu", "cuda", "mps"]
Split = Literal["train", "val", "test"]

_NO_FLAGS = SourceFlags()


def evaluate(
    run: Annotated[Path, option("Folder of a run.", hint=Path)],
    data: Annotated[str | None, option("Other data to evaluate on; by default the run's own.")] = None,
    /,
    *,
    source: Annotated[SourceFlags, Parameter(name="*")] = _NO_FLAGS,
    skip_unreadable: Annotated[
        bool, option("Leave unreadable images of DATA out, counted and listed.", hint=bool, heading=DATA)
    ] = False,
    split: Annotated[Split, option("Which images of the data.", hint=Split, default="test")] = "test",
    decision: Annotated[
        DecisionName | None,
        option("Decide by this rule; by default as the run was trained to.", hint=DecisionName),
    ] = None,
    method: Annotated[
        str | None,
        option("Method of your own that the run was trained with, as module:Class or FILE.py:Class.", "NAME"),
    ] = None,
    output: Annotated[
        Path | None, option("Write the results there as JSON, and nowhere else.", "FILE", hint=Path)
    ] = None,
    accelerator: Annotated[Accelerator, option("Kind of device.", hint=Accelerator, default="auto")] = "auto",
    quiet: Annotated[bool, option("Show the results alone.", hint=bool)] = False,
) -> None:
    """Evaluate a trained model and show what it achieves on each class.

    On the run's own test images, results.json and report.html of the run are written again. Other data
    are read as for training; their classes are matched by name. Results of another decision are written
    beside them, as results.DECISION.json and report.DECISION.html.
    """
    given: Settings = source.given() | ({"skip_unreadable": True} if skip_unreadable else {})
    if data is None and given:
        named = ", ".join(flag_names(given))
        raise InputError(f"{named}: goes with DATA; a run's own data are read as they were for training")
    if output is not None:
        expect_writable(output, "--output")
    with closing(display(sys.stderr, quiet=quiet)) as watcher:
        from longtail.runs import evaluate as job

        results = job.evaluate(
            run,
            data=data,
            split=split,
            options=DataOptions(**given) if data is not None else None,
            decision=decision,
            method=method,
            accelerator=accelerator,
            output=output,
            watcher=watcher,
        )
    from longtail.reporting.terminal import results_table

    show(results_table(results))
