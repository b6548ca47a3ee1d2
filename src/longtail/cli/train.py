"""`longtail train`."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longtail.cli.config_file import Layer, file_layer, run_layer
from longtail.cli.parsing import Typed
from longtail.cli.progress import display
from longtail.cli.stdio import show
from longtail.errors import InputError
from longtail.methods.find import allow, is_outside
from longtail.training.config import TrainConfig
from longtail.training.defaults import possible, refuse_idle

AUTOMATIC = Path("auto")
"""What --resume takes in place of a run, for scripts that are started again."""

USAGE = "longtail train DATA [OPTIONS]"

EXAMPLES = """
longtail train photos/
longtail train labels.csv --attributes colour shape --output runs/first
longtail train --from runs/first --method crt --epochs 5
longtail train --resume runs/first
longtail train photos/ --output runs/first --resume auto
"""


def train(
    settings: Annotated[TrainConfig, Parameter(name="*")],
    *,
    config: Path | None = None,  # noqa: ARG001  read by `layers`
    resume: Path | None = None,
    allow_changed_data: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    typed: Typed,
) -> None:
    """Train on a data set, evaluate on its test images, and write a report.

    A configuration file holds the flags by their names with underscores, and a table for the options
    of a method: epochs = 20, [crl], level = "class". Give --from as a flag, because it takes over the
    settings of its run.

    Args:
        config: Settings in TOML, YAML or JSON; flags override the file.
        resume: Resume an interrupted run with its own settings, except for --devices; with auto, resume the
            run of these settings if it was interrupted, begin it if it is not there, and do nothing if it is
            finished.
        allow_changed_data: Resume a run even if its images, labels, splits or settings have changed.
        overwrite: Replace an existing run.
        dry_run: Check settings and labels, try one batch, print what would happen, and stop.
        quiet: Show nothing but errors.
    """
    going = resume is not None
    if resume is None or resume == AUTOMATIC:
        refuse_idle(typed, possible(settings), f"--method {settings.method}")
    else:
        from longtail.runs.resuming import resumed_config

        own = settings.method if is_outside(settings.method) else None
        devices = settings.devices if "--devices" in typed else None
        settings = replace(resumed_config(resume, own, devices), output=str(resume))
    if resume == AUTOMATIC:
        from longtail.runs.places import output_of
        from longtail.runs.resuming import standing

        found = "new" if overwrite else standing(settings)
        if found == "finished":
            print(f"finished already: {output_of(settings)}")
            return
        if dry_run and found == "unfinished":
            print(f"would go on: {output_of(settings)}")
            return
        going, overwrite = found == "unfinished", True

    with closing(display(sys.stdout, quiet=quiet)) as watcher:
        from longtail.runs import train as job

        if dry_run:
            for line in job.plan(settings, overwrite=overwrite, watcher=watcher):
                print(line)
            return
        run = job.train(
            settings,
            overwrite=overwrite,
            resume=going,
            allow_changed_data=allow_changed_data,
            watcher=watcher,
        )
    if not quiet:
        _show(run)


def layers(typed: Typed) -> list[Layer]:
    """The file of --config over the settings of the run of --from; nothing beside --resume."""
    if "--resume" in typed and typed["--resume"] != (str(AUTOMATIC),):
        _refuse_others(typed)
        return [Layer("--resume", {"data": "its own"})]  # as all other settings, which the command reads
    if "--allow-changed-data" in typed and "--resume" not in typed:
        raise InputError("--allow-changed-data: goes with --resume; leave it out")
    for method in typed.get("--method", ()):
        allow(method)  # a file alone does not make us import code
    below = [file_layer(Path(path)) for path in typed.get("--config", ())]
    below += [run_layer(Path(run)) for run in typed.get("--from", ())]
    if "DATA" not in typed and not any("data" in layer.values for layer in below):
        greedy = " (it stands before --attributes)" if "--attributes" in typed else ""
        raise InputError(
            f"DATA is missing{greedy}: expected a folder, a manifest, an archive or a built-in name; "
            "`longtail data` says more"
        )
    return below


def _refuse_others(typed: Typed) -> None:
    """Refuse what a run has of its own; a method of the user's own is named again, not set."""
    named_again = any(map(is_outside, typed.get("--method", ())))
    goes_with = ("--resume", "--allow-changed-data", "--quiet", "--devices", *["--method"] * named_again)
    if others := [name for name in typed if name not in goes_with]:
        (run,) = typed["--resume"]
        raise InputError(
            f"--resume {run}: resumes with the settings of the run; leave out {', '.join(others)}"
        )


def _show(run: Path) -> None:
    """The results of a finished run, and where its files are."""
    from longtail.runs.folder import RunFolder
    from longtail.runs.launcher import is_first_process

    if not is_first_process():
        return
    folder = RunFolder(run)
    if folder.results.exists():
        from longtail.evaluation.results import RESULTS
        from longtail.reporting.terminal import results_table

        show(results_table(RESULTS.read(folder.results)))
        print(f"report: {folder.report}")
    print(f"run: {run}")
