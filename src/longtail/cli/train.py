"""`longtail train`."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longtail.cli.config_file import Settings, configure, read_settings
from longtail.cli.flags import TrainFlags, flag_names, option
from longtail.cli.progress import display
from longtail.cli.stdio import show
from longtail.errors import InputError
from longtail.methods.find import allow, is_outside
from longtail.methods.recipe import reads, recipe
from longtail.training.config import TrainConfig

USAGE = "longtail train DATA [OPTIONS]"

EXAMPLES = """
longtail train photos/ --method crl --epochs 20
longtail train labels.csv --attributes colour shape --output runs/first
longtail train --config experiment.toml --seed 1
longtail train --from runs/first --method crt --epochs 5
longtail train --resume runs/first
"""

_NO_FLAGS = TrainFlags()


def train(
    data: Annotated[
        str | None,
        option(
            "A folder of images by class, a manifest (CSV, TSV or Parquet), a zip archive of either, or a "
            "built-in name; `longtail data` says more."
        ),
    ] = None,
    /,
    *,
    flags: Annotated[TrainFlags, Parameter(name="*")] = _NO_FLAGS,
    config: Annotated[
        Path | None, option("Settings in TOML, YAML or JSON; flags win over the file.", "FILE", hint=Path)
    ] = None,
    from_run: Annotated[
        Path | None,
        Parameter(name="--from"),
        option("Start from the trained network of a run, with its data and settings.", "RUN", hint=Path),
    ] = None,
    resume: Annotated[
        Path | None, option("Go on with a run that was stopped, with its own settings.", "RUN", hint=Path)
    ] = None,
    overwrite: Annotated[bool, option("Replace a run that is there already.", hint=bool)] = False,
    dry_run: Annotated[bool, option("Check everything, say what would happen, and stop.", hint=bool)] = False,
    quiet: Annotated[bool, option("Show nothing but errors.", hint=bool)] = False,
) -> None:
    """Train on a data set, evaluate on its test images, and write a report.

    A configuration file holds the flags by their names with underscores, and a table for the options
    of a method: epochs = 20, [crl], level = "class".
    """
    given: Settings = flags.given() | ({} if data is None else {"data": data})
    if resume is None:
        settings = _configured(given, config, from_run)
    else:
        others = {
            "--from": from_run is not None,
            "--config": config is not None,
            "--overwrite": overwrite,
            "--dry-run": dry_run,
        }
        method: str = given.get("method", "")
        if is_outside(method):  # which is named again, not set
            del given["method"]
        names = [*flag_names(given), *(name for name, used in others.items() if used)]
        settings = _resumed(resume, method if is_outside(method) else None, names)

    with closing(display(sys.stdout, quiet=quiet, epochs=settings.epochs)) as watcher:
        from longtail.runs import train as job

        if dry_run:
            for line in job.plan(settings, overwrite=overwrite, watcher=watcher):
                print(line)
            return
        run = job.train(settings, overwrite=overwrite, resume=resume is not None, watcher=watcher)
    if not quiet:
        _show(run)


def _configured(given: Settings, path: Path | None, start: Path | None) -> TrainConfig:
    file = {} if path is None else read_settings(path)
    if start is not None:
        file = {**_settings_of(start), **file}
    if "data" not in {**file, **given}:
        greedy = " (it stands before --attributes)" if "attributes" in given.get("data_options", {}) else ""
        raise InputError(
            f"DATA is missing{greedy}: expected a folder, a manifest, a zip archive or a built-in name; "
            "`longtail data` says more"
        )
    allow(given.get("method", ""))  # a file alone does not make us import code
    settings = configure(file, given, path)
    _refuse_idle(given.get("method_options", {}), settings)
    return settings


def _refuse_idle(given: Settings, settings: TrainConfig) -> None:
    """Refuse a flag of another method; a file may hold tables of several."""
    used = reads(settings.method, recipe(settings.method, settings.method_options))
    for table, values in given.items():
        if isinstance(values, dict) and table not in used:
            flag = flag_names({table: values})[0]
            raise InputError(f"{flag}: has no effect with --method {settings.method}; leave it out")


def _settings_of(run: Path) -> Settings:
    """What a training that starts from a run takes over: all but its method and its folder."""
    if not (run / "config.json").exists():
        raise InputError(f"--from {run}: expected the folder of a trained run, there is no config.json in it")
    settings = read_settings(run / "config.json")
    left = ("method", "method_options", "output", "start")
    return {key: value for key, value in settings.items() if key not in left} | {"start": str(run)}


def _resumed(run: Path, method: str | None, others: list[str]) -> TrainConfig:
    if others:
        named = ", ".join("DATA" if name == "--data" else name for name in others)
        raise InputError(f"--resume {run}: goes on with the settings of the run; leave out {named}")
    from longtail.runs.train import resumed_config

    return replace(resumed_config(run, method), output=str(run))


def _show(run: Path) -> None:
    """The results of a finished run, and where its files are."""
    from longtail.runs.device import is_first_process
    from longtail.runs.folder import RunFolder

    if not is_first_process():
        return
    folder = RunFolder(run)
    if folder.results.exists():
        from longtail.evaluation.results import read_results
        from longtail.reporting.terminal import results_table

        show(results_table(read_results(folder.results)))
        print(f"report: {folder.report}")
    print(f"run: {run}")
