"""`longtail predict`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from cyclopts import Parameter

from longtail.cli.progress import display
from longtail.cli.stdio import expect_writable, plain_output, writing
from longtail.errors import InputError
from longtail.methods.options import DecisionName
from longtail.training.config import Accelerator

if TYPE_CHECKING:
    from longtail.runs.predict import Prediction

USAGE = "longtail predict RUN IMAGES... [OPTIONS]"

EXAMPLES = """
longtail predict runs/first photo.jpg
longtail predict runs/first new-photos/ --output predictions.csv
longtail predict runs/first archive.zip --format jsonl > predictions.jsonl
"""

DIGITS = 6


def predict(
    run: Path,
    /,
    *images: str,
    output: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    format: Literal["csv", "jsonl"] | None = None,
    decision: DecisionName | None = None,
    method: str | None = None,
    skip_unreadable: bool = False,
    accelerator: Accelerator = "auto",
    quiet: bool = False,
) -> None:
    """Classify images with a trained model.

    One row per image: its name, for each attribute the class chosen, then the probability of every class
    of every attribute (columns ATTRIBUTE:CLASS).

    Args:
        run: Folder of a run.
        images: Image files, folders of images, or zip archives.
        output: Write there instead of to standard output.
        format: Form of the output; by default the ending of --output, or csv.
        decision: Decide by this rule; by default as the run was trained to. "longtail methods" says where
            each holds.
        method: Method of your own that the run was trained with, as module:Class or FILE.py:Class.
        skip_unreadable: Leave unreadable images out, said by name.
        accelerator: Kind of device.
        quiet: Show no progress and no notes.
    """
    if not images:
        raise InputError("IMAGES is missing: expected image files, folders of images, or zip archives")
    form = format or ("csv" if output is None else output.suffix.lower().removeprefix("."))
    if form not in _WRITERS:
        raise InputError(
            f"--output {output}: expected a name that ends in .csv or .jsonl, or --format with it"
        )
    if output is not None:
        expect_writable(output, "--output")
    with closing(display(sys.stderr, quiet=quiet)) as watcher:
        from longtail.runs import predict as job

        predictions = job.predict(
            run,
            images,
            decision=decision,
            method=method,
            accelerator=accelerator,
            skip_unreadable=skip_unreadable,
            watcher=watcher,
        )
        with nullcontext(plain_output()) if output is None else writing(output) as stream:
            _WRITERS[form](stream, predictions)
    from longtail.runs.unfinished import expect_finished

    expect_finished(run)


def _write_csv(stream: TextIO, predictions: Iterable[Prediction]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    for number, prediction in enumerate(predictions):
        found = prediction.probabilities
        if number == 0:
            classes = (f"{name}:{label}" for name, values in found.items() for label in values)
            writer.writerow(["image", *prediction.labels, *classes])
        scores = (f"{score:.{DIGITS}f}" for values in found.values() for score in values.values())
        writer.writerow([prediction.image, *prediction.labels.values(), *scores])


def _write_jsonl(stream: TextIO, predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        rounded = {
            name: {label: round(value, DIGITS) for label, value in values.items()}
            for name, values in prediction.probabilities.items()
        }
        record = {"image": prediction.image, "labels": prediction.labels, "probabilities": rounded}
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")


_WRITERS = {"csv": _write_csv, "jsonl": _write_jsonl}
