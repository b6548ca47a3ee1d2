"""`longtail evaluate`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from longtail.cli.config_file import Layer
from longtail.cli.parsing import READING, Typed
from longtail.cli.progress import display
from longtail.cli.stdio import expect_no_input, expect_writable, show
from longtail.errors import InputError
from longtail.methods.options import DecisionName
from longtail.training.config import Accelerator
from longtail.training.data_options import DataOptions

USAGE = "longtail evaluate RUN [DATA] [OPTIONS]"

EXAMPLES = """
longtail evaluate runs/first
longtail evaluate runs/first --split val --output validation.json
longtail evaluate runs/first --decision prior
longtail evaluate runs/first --threshold recall=.9 --coverage .9
longtail evaluate runs/first new-photos/ --output new-photos.json
"""


def evaluate(
    run: Path,
    data: str | None = None,
    /,
    *,
    source: Annotated[DataOptions | None, Parameter(name="*", parse=READING)] = None,
    split: Literal["train", "val", "test"] = "test",
    decision: DecisionName | None = None,
    threshold: Annotated[str | None, Parameter(metavar="AIM")] = None,
    coverage: float | None = None,
    method: str | None = None,
    output: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    accelerator: Accelerator = "auto",
    no_images: bool = False,
    quiet: bool = False,
) -> None:
    """Evaluate a trained model and show the results per class.

    On the run's own test images, the command rewrites results.json, report.html and README.md of the run.
    Other data are read as for training; their classes are matched by name. Results of another decision are
    written beside them, as results.DECISION.json and report.DECISION.html. The exit code is 3 where the
    training of the run is not finished.

    Args:
        run: Folder of a run.
        data: Other data to evaluate on; by default the run's own.
        split: Which images of the data. Data without splits are evaluated whole, unless all of their images
            are called as those of the run: then its splits count.
        decision: Decide by this rule; by default as the run was trained to. "longtail methods" explains
            each.
        threshold: Decide attributes of two classes for an aim, by thresholds tuned on the validation images:
            balanced, f1, precision=SHARE or recall=SHARE, of the rarer class; by default at probability ½.
        coverage: Also evaluate prediction sets that hold the true class of this share of images.
        method: Your own method that the run was trained with, as module:Class or FILE.py:Class.
        output: Write the results to this file as JSON, and nowhere else.
        accelerator: Kind of device.
        no_images: Leave images out of the report; implied if the run was trained with it.
        quiet: Show only the results.
    """
    if output is not None:
        expect_writable(output, "--output", own="results-*.json")
        expect_no_input(output, "--output", data, source and source.images)
    with closing(display(sys.stderr, quiet=quiet)) as watcher:
        from longtail.runs import evaluate as job

        results = job.evaluate(
            run,
            data=data,
            split=split,
            options=source,
            decision=decision,
            threshold=threshold,
            coverage=coverage,
            method=method,
            accelerator=accelerator,
            output=output,
            images=not no_images,
            watcher=watcher,
        )
    from longtail.reporting.terminal import results_table
    from longtail.runs.unfinished import expect_finished

    show(results_table(results))
    expect_finished(run)


def layers(typed: Typed) -> list[Layer]:
    """Nothing lies under the flags; those that say how to read data are refused without data."""
    reading = [flag for flag in typed if flag[2:].replace("-", "_") in DataOptions.__dataclass_fields__]
    if reading and "DATA" not in typed:
        named = ", ".join(reading)
        raise InputError(f"{named}: goes with DATA; a run's own data are read as they were for training")
    return []
