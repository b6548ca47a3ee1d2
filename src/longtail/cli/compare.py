"""`longtail compare`."""

from __future__ import annotations

import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longtail.cli.config_file import Settings, configure, read_settings
from longtail.cli.flags import SharedFlags, flag_names, option
from longtail.cli.progress import display
from longtail.cli.stdio import show
from longtail.comparing.cells import Comparison, Engine
from longtail.errors import InputError
from longtail.training.config import TrainConfig

USAGE = "longtail compare DATA [OPTIONS]\n       longtail compare RUN RUN... [OPTIONS]"

EXAMPLES = """
longtail compare photos/ --methods ce,over-sampling,crl --seeds 5
longtail compare labels.csv --methods ce,crl-i+over --tune 6
longtail compare digits --tail-ratio 50 --backbone convnet --epochs 5
longtail compare runs/ce-seed0 runs/ce-seed1 runs/crl-seed0 runs/crl-seed1
"""

USUAL = "ce,balanced-softmax,crl"

_NO_FLAGS = SharedFlags()

COMPARISON = "Comparison"
"""Heading in the help."""


def compare(
    *data: Annotated[
        str, option("Data as for `longtail train`; or folders of finished runs, which are joined.")
    ],
    methods: Annotated[
        str | None,
        option(
            "Methods with commas between them, as `longtail methods` lists them, or module:Class; "
            "crl-c and crl-i are crl-iccv at class and instance level; +PART adds a value of --sampler, "
            "--class-weights, --feature-layer or --decision; +crt and +lws add a second stage, alone they go "
            "on from ce.",
            "NAMES",
            heading=COMPARISON,
            default=USUAL,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        option("Runs of each method, with seeds from 0.", hint=int, heading=COMPARISON, default=5),
    ] = None,
    baseline: Annotated[
        str | None,
        option("Method that the others are compared with; by default ce.", "NAME", heading=COMPARISON),
    ] = None,
    tune: Annotated[
        int | None,
        option(
            "Try this many settings of each method, 2 to 9, and take the best on the validation images.",
            hint=int,
            heading=COMPARISON,
        ),
    ] = None,
    budget: Annotated[
        float | None,
        option("Seconds of a training, in place of --epochs.", "SECONDS", hint=float, heading=COMPARISON),
    ] = None,
    parallel: Annotated[
        int | None,
        option("Trainings at a time; by default a GPU or a core each.", hint=int, heading=COMPARISON),
    ] = None,
    engine: Annotated[
        Engine | None,
        option("Who runs the trainings.", hint=Engine, heading=COMPARISON, default="local"),
    ] = None,
    flags: Annotated[SharedFlags, Parameter(name="*")] = _NO_FLAGS,
    config: Annotated[
        Path | None, option("Settings as for `longtail train`; flags win over the file.", "FILE", hint=Path)
    ] = None,
    output: Annotated[
        Path | None,
        option("Folder of the comparison; by default runs/DATA-comparison.", "FOLDER", hint=Path),
    ] = None,
    overwrite: Annotated[
        bool, option("Replace runs that were trained with other settings.", hint=bool)
    ] = False,
    quiet: Annotated[bool, option("Show nothing but errors.", hint=bool)] = False,
) -> None:
    """Train several methods on the same data with paired seeds, and compare them.

    Every run is a process. The same command goes on where it was stopped, tries again what failed, and
    trains nothing twice. Figures, their differences to the baseline and the pictures are written to
    comparison.html, .json, .md, .csv and .tex.

    Given the folders of finished runs, nothing is trained: runs that differ in the seed alone are one
    method.
    """
    counts = {"seeds": seeds, "tune": tune, "budget": budget, "parallel": parallel, "engine": engine}
    own: Settings = {name: value for name, value in counts.items() if value is not None}
    command = shlex.join(["longtail", *sys.argv[1:]])
    if _are_runs(data):
        idle = {"methods": methods, "config": config, "overwrite": overwrite or None}
        own |= {name: value for name, value in idle.items() if value is not None}
        _refuse([*flag_names(own), *flag_names(flags.given())])
        folder = output or Path("runs/comparison")
        with closing(display(sys.stdout, quiet=quiet)) as watcher:
            from longtail.comparing.join import join

            join([*map(Path, data)], folder, baseline=baseline, command=command, watcher=watcher)
    else:
        base = _configured(data, flags.given(), config)
        folder = output or Path("runs") / f"{Path(base.data).stem}-comparison"
        own |= {"overwrite": overwrite, "command": command, "baseline": baseline}
        comparison = _comparison(base, methods or USUAL, folder, own)
        if budget is not None and "epochs" in flags.given():
            raise InputError("--budget: decides the epochs of each method; leave out --epochs")
        with closing(display(sys.stdout, quiet=quiet)) as watcher:
            from longtail.comparing import compare as job

            job.compare(comparison, watcher=watcher)
    if not quiet:
        _show(folder)


def _comparison(base: TrainConfig, methods: str, folder: Path, own: Settings) -> Comparison:
    labels = tuple(filter(None, map(str.strip, methods.split(","))))
    comparison = Comparison(base, labels, folder, **own)
    comparison.entries()  # what does not go together is said before torch is loaded
    return comparison


def _are_runs(data: tuple[str, ...]) -> bool:
    """Whether the arguments are runs to join; one that is none among several is a mistake."""
    from longtail.runs.folder import RunFolder

    runs = [RunFolder(Path(path)).config.exists() for path in data]
    if len(data) > 1 and not all(runs):
        wrong = data[runs.index(False)]
        raise InputError(
            f"{wrong}: expected one DATA, or folders of finished runs, got {len(data)} arguments"
        )
    return bool(data) and all(runs)


def _refuse(names: list[str]) -> None:
    if names:
        raise InputError(f"{', '.join(names)}: the runs are trained already; leave it out")


def _configured(data: tuple[str, ...], given: Settings, path: Path | None) -> TrainConfig:
    file = {} if path is None else read_settings(path)
    typed = {**given, **({"data": data[0]} if data else {})}
    if "data" not in {**file, **typed}:
        raise InputError(
            "DATA is missing: expected data as for `longtail train`, or folders of finished runs"
        )
    shared = {name: value for name, value in file.items() if name not in ("method", "seed", "output")}
    return configure(shared, typed, path)


def _show(folder: Path) -> None:
    from longtail.comparing.document import COMPARISON
    from longtail.comparing.tables import terminal_table

    show(terminal_table(COMPARISON.read(folder / "comparison.json")))
    print(f"page: {folder / 'comparison.html'}")
