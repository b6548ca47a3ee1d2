"""`longtail predict`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeGuard, get_args

from cyclopts import Parameter

from longtail.cli.progress import display
from longtail.cli.stdio import expect_no_input, expect_writable
from longtail.errors import Incomplete, InputError
from longtail.methods.options import DecisionName
from longtail.runs.prediction_rows import FormName
from longtail.training.config import Accelerator
from longtail.training.data_options import DataOptions
from longtail.words import count

if TYPE_CHECKING:
    from longtail.data.unlabelled import Block
    from longtail.runs.prediction_file import Tally
    from longtail.runs.run import Run

USAGE = "longtail predict RUN IMAGES... [OPTIONS]"

EXAMPLES = """
longtail predict runs/first photo.jpg
longtail predict runs/first new-photos/ --output predictions.csv
longtail predict runs/first archive.zip --format jsonl > predictions.jsonl
longtail predict runs/first new.csv --coverage .9 --output sets.parquet
find new/ -name '*.jpg' | longtail predict runs/first - --format jsonl
longtail predict runs/first new-photos/ --output predictions.csv --resume
"""

_SOURCES = "image files, folders of images, archives, manifests, or - for a list on standard input"

_MANIFESTS = re.compile(r"source|images|image_column|skip_missing")


def predict(
    run: Path,
    /,
    *images: str,
    source: Annotated[DataOptions | None, Parameter(name="*", parse=_MANIFESTS)] = None,
    output: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    format: FormName | None = None,
    vectors: Annotated[bool, Parameter(name="--features")] = False,
    resume: bool = False,
    decision: DecisionName | None = None,
    threshold: Annotated[str | None, Parameter(metavar="AIM")] = None,
    coverage: float | None = None,
    method: str | None = None,
    skip_unreadable: bool = False,
    accelerator: Accelerator = "auto",
    quiet: bool = False,
) -> None:
    """Classify images with a trained model.

    One row per image: its name, for each attribute the class chosen, then the probability of every class
    of every attribute (columns ATTRIBUTE:CLASS). docs/predictions.md says more about the columns.

    Images that cannot be read have no row. They are named, and the exit code is 1; it is 2 if the
    prediction failed. Rows are written as they are made. If the command is stopped, FILE.part keeps them.

    Args:
        run: Folder of a run.
        images: Image files, folders of images, zip or tar archives, manifests (CSV, TSV, Parquet), or -
            for a list on standard input, a path per line.
        output: Write to this file instead of standard output.
        format: Form of the output; by default the ending of --output, or csv.
        vectors: Also write the feature vectors of the images; not in CSV.
        resume: Continue an unfinished --output after its last row.
        decision: Decide by this rule; by default as the run was trained to. "longtail methods" explains
            each.
        threshold: Decide attributes of two classes for an aim, by thresholds tuned on the validation images:
            balanced, f1, precision=SHARE or recall=SHARE, of the rarer class; by default at probability ½.
        coverage: Add prediction sets that hold the true class of this share of images (columns
            ATTRIBUTE set).
        method: Your own method that the run was trained with, as module:Class or FILE.py:Class.
        skip_unreadable: Accept unreadable images; they are named, and the exit code is 0.
        accelerator: Kind of device.
        quiet: Show no progress and no notes.
    """
    if not images:
        raise InputError(f"IMAGES is missing: expected {_SOURCES}")
    form = _form(output, format)
    _expect_fitting(output, form, features=vectors, resume=resume)
    if output is not None:
        expect_no_input(output, "--output", *images)
    with closing(display(sys.stderr, quiet=quiet)) as watcher:
        from longtail.data.unlabelled import STANDARD_INPUT, ManifestReading, open_images
        from longtail.runs.run import Run

        reading = source or DataOptions()
        manifests = ManifestReading(reading.images, reading.image_column, reading.skip_missing)
        listed = sys.stdin.buffer if STANDARD_INPUT in images else None
        blocks = open_images(images, manifests, watcher.say, listed)
        opened = Run.open(
            run,
            accelerator,
            watcher,
            method=method,
            decision=decision,
            threshold=threshold,
            coverage=coverage,
        )
        tally = _written(opened, blocks, output, form, features=vectors, resume=resume)
    if tally.unreadable and not skip_unreadable:
        first = f" (first {tally.first.name}: {tally.first.reason})" if tally.first else ""
        raise Incomplete(
            f"{tally.unreadable} of {count(tally.images, 'image')} cannot be read and have no row{first}; "
            "--skip-unreadable accepts that"
        )
    from longtail.runs.unfinished import expect_finished

    expect_finished(run)


def _form(output: Path | None, format: FormName | None) -> FormName:
    """The form that is asked for, or that of the output's ending."""
    if output is None:
        return format or "csv"
    ending = output.suffix.lower().removeprefix(".")
    found: FormName | None = next((name for name in get_args(FormName) if name == ending), None)
    if format is not None:
        if found not in (None, format):
            raise InputError(f"--format {format}: --output {output} ends in .{ending}; leave one out")
        return format
    if found is None:
        raise InputError(
            f"--output {output}: expected a name that ends in .csv, .jsonl or .parquet, or --format with it"
        )
    return found


def _expect_fitting(output: Path | None, form: FormName, *, features: bool, resume: bool) -> None:
    """Refuse what cannot be, before the work is done."""
    if output is not None:
        expect_writable(output, "--output")
    if form == "parquet" and not _is_file(output):
        raise InputError("--format parquet: is written to a file; name it with --output")
    if resume and not _is_file(output):
        raise InputError("--resume: resumes a file; name it with --output")
    if features and form == "csv":
        raise InputError("--features: have no place in CSV; choose --format jsonl or parquet")


def _is_file(output: Path | None) -> TypeGuard[Path]:
    """Whether an output is a file, or will be, and no pipe or device."""
    return output is not None and (output.is_file() or not output.exists())


def _written(
    run: Run, blocks: Iterable[Block], output: Path | None, form: FormName, *, features: bool, resume: bool
) -> Tally:
    from longtail.runs.predict import notes_on, predict_blocks
    from longtail.runs.prediction_file import Asked, PredictionFile, write_stream
    from longtail.runs.prediction_rows import Columns, rows_of

    for note in notes_on(run):
        run.watcher.say(note)
    vectors = run.learner.model.head.vectors if features else 0
    rows = rows_of(form, Columns.of(run.card.schema, sets=run.coverage is not None, vectors=vectors))
    found = partial(predict_blocks, run, features=features)
    if output is None:
        return write_stream(sys.stdout.buffer, rows, found(blocks), Path("standard output"))
    if not _is_file(output):
        with output.open("wb", buffering=0) as stream:  # nothing is left to be written at the end
            return write_stream(stream, rows, found(blocks), output)
    asked = Asked.of(run, form, features=features)
    return PredictionFile(output, rows, asked, run.watcher.say).write(blocks, found, resume=resume)
