"""`longtail compare`."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longtail.cli.config_file import Layer, file_layer
from longtail.cli.parsing import Typed
from longtail.cli.progress import display
from longtail.cli.stdio import command_line, show
from longtail.comparing.cells import Comparison, Engine, default_folder, labels_of
from longtail.errors import Incomplete, InputError
from longtail.training.config import TrainConfig
from longtail.training.defaults import refuse_idle
from longtail.words import count

USAGE = "longtail compare DATA [OPTIONS]\n       longtail compare RUN RUN... [OPTIONS]"

EXAMPLES = """
longtail compare photos/ --methods ce,over-sampling,crl --seeds 5
longtail compare labels.csv --methods ce,crl-i+over --tune 6
longtail compare digits --tail-ratio 50 --backbone convnet --epochs 5
longtail compare runs/ce-seed0 runs/ce-seed1 runs/crl-seed0 runs/crl-seed1
"""

_APART = ("start", "method", "seed", "output")
"""Settings in which the trainings of a comparison differ."""

_SHARED = re.compile(rf"^(?!({'|'.join(_APART)})$)")
"""All other settings."""


def compare(
    settings: Annotated[TrainConfig, Parameter(name="*", parse=_SHARED)],
    *runs: str,
    methods: str = "ce,balanced-softmax,crl",
    seeds: int = 5,
    baseline: str | None = None,
    tune: int | None = None,
    budget: float | None = None,
    parallel: int | None = None,
    engine: Engine = "local",
    config: Path | None = None,  # noqa: ARG001  read by `layers`
    output: Path | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    typed: Typed,
) -> None:
    """Train several methods on the same data with paired seeds, and compare them.

    If interrupted, the same command resumes, retries failed trainings, and trains nothing twice. The method
    linear, a regression on features of a pretrained network, is always compared if its weights are
    installed: it takes seconds, and the others have to beat it. Figures, their differences to the baseline
    and the pictures are written to comparison.html, .json, .md, .csv and .tex.

    Given the folders of finished runs, nothing is trained. Runs that differ only in the seed are one
    method.

    Args:
        runs: Folders of finished runs to join, instead of DATA.
        methods: Methods, separated by commas, from `longtail methods` or as module:Class; crl-c
            and crl-i are crl-iccv at class and instance level; +PART adds a value of --sampler,
            --class-weights, --loss, --mixing, --feature-layer or --decision, or FLAG=VALUE for an option of
            the method or of its optimizer, as in crl+level=class or ce+weight-decay=0.01; +crt and +lws add a
            second stage, alone they go on from ce.
        seeds: Number of runs per method, with seeds from 0.
        baseline: Method that the others are compared with; by default ce.
        tune: Try this many settings per method, 2 to 9, and take the best on the validation images.
        budget: Seconds per training, instead of --epochs.
        parallel: Number of trainings at a time; by default one per GPU or core.
        engine: Who runs the trainings.
        config: Settings as for `longtail train`; flags override the file.
        output: Folder of the comparison; by default runs/DATA-comparison, or runs/comparison of runs that are
            there already.
        overwrite: Replace runs that were trained with other settings, on data that have changed since, or
            after a first stage that was trained again; without this flag they are refused.
        dry_run: Print what would be trained, and stop.
        quiet: Show nothing but errors.
    """
    command = command_line()
    with closing(display(sys.stdout, quiet=quiet)) as watcher:
        if _are_runs(typed):
            from longtail.comparing.join import join

            folder = output or Path("runs/comparison")
            found = [Path(run) for run in (settings.data, *runs)]
            join(found, folder, baseline=baseline, command=command, watcher=watcher)
        else:
            folder = output or default_folder(settings.data)
            comparison = Comparison(
                settings,
                labels_of(methods),
                folder,
                seeds=seeds,
                baseline=baseline,
                parallel=parallel,
                tune=tune,
                budget=budget,
                overwrite=overwrite,
                engine=engine,
                command=command,
            )
            # what does not go together is said before torch is loaded
            configs = [entry.config for entry in comparison.entries().values()]
            refuse_idle(typed, configs, f"--methods {','.join(comparison.labels)}")
            from longtail.comparing import compare as job

            comparison = job.with_linear(comparison, watcher)
            if dry_run:
                print("\n".join(job.plan(comparison)))
                return
            job.compare(comparison, watcher=watcher)
    _show(folder, quiet)


def layers(typed: Typed) -> list[Layer]:
    """The file of --config, but for what the trainings differ in; nothing beside runs that are joined."""
    if _are_runs(typed):
        if others := [name for name in typed if name not in _OF_RUNS]:
            raise InputError(f"{', '.join(others)}: the runs are trained already; leave it out")
        return []
    below = [file_layer(Path(path)).without(*_APART) for path in typed.get("--config", ())]
    if "DATA" not in typed and not any("data" in layer.values for layer in below):
        raise InputError(
            "DATA is missing: expected data as for `longtail train`, or folders of finished runs"
        )
    return below


_OF_RUNS = ("DATA", "RUNS", "--baseline", "--output", "--quiet")
"""What goes with runs that are joined."""


def _are_runs(typed: Typed) -> bool:
    """Whether the arguments are runs to join; one that is none among several is a mistake."""
    from longtail.runs.folder import RunFolder

    data = (*typed.get("DATA", ()), *typed.get("RUNS", ()))
    runs = [RunFolder(Path(path)).config.exists() for path in data]
    if len(data) > 1 and not all(runs):
        wrong = data[runs.index(False)]
        raise InputError(
            f"{wrong}: expected one DATA, or folders of finished runs, got {len(data)} arguments"
        )
    return bool(data) and all(runs)


def _show(folder: Path, quiet: bool) -> None:
    """The table, and what is missing in it."""
    from longtail.comparing.document import COMPARISON, FILE, PAGE
    from longtail.comparing.tables import terminal_table

    document = COMPARISON.read(folder / FILE)
    if not quiet:
        show(terminal_table(document))
        print(f"page: {folder / PAGE}")
    cells = [cell for method in document.methods for cell in method.cells]
    failed = {cell.run for cell in cells if not cell.finished}
    if failed:
        runs = count(len({cell.run for cell in cells}), "run")
        raise Incomplete(f"{len(failed)} of {runs} failed; the same command tries again")
