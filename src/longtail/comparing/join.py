"""A comparison of runs that are there already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from longtail.comparing.cells import LEVELS, as_learned, chosen_baseline, shared_epochs, shown_flags
from longtail.comparing.collect import CellRun, Circumstances, Entrant, publish
from longtail.comparing.document import Budget
from longtail.comparing.launcher import claimed
from longtail.comparing.parts import choices
from longtail.data.splits import SPLITS_FILE
from longtail.errors import InputError
from longtail.evaluation.results import Results
from longtail.runs.folder import RunFolder
from longtail.runs.unfinished import is_unfinished
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions
from longtail.training.watcher import Silent, Watcher


def join(
    runs: Sequence[Path],
    folder: Path,
    *,
    baseline: str | None = None,
    command: str = "longtail compare",
    watcher: Watcher | None = None,
) -> Path:
    """Compare finished runs on the same data: grouped by method and options, paired by seed.

    Args:
        runs: their folders.
        folder: of the comparison.
        baseline: label that the others are compared with.
        command: what was typed.
        watcher: is told how it goes.

    Returns:
        The folder of the comparison.

    Raises:
        InputError: when a run is not finished, is there twice, or has other data or splits.
    """
    found = [_finished(path) for path in runs]
    _expect_same_data(found)
    entrants = grouped(found)
    chosen = chosen_baseline([entrant.label for entrant in entrants], baseline)
    budget = Budget(shared_epochs(run.config for run in found), None)
    about = Circumstances(command, "not recorded: runs that were there already", budget)
    with claimed(folder.absolute()):
        publish(folder.absolute(), entrants, chosen, about, watcher or Silent())
    return folder.absolute()


def grouped(runs: Sequence[CellRun]) -> list[Entrant]:
    """Runs whose configurations differ in the seed alone, together; in the order they come.

    A label is that of `entry_of` where that says enough, else with the flags that differ.

    Raises:
        InputError: when two runs differ in nothing.
    """
    groups: dict[TrainConfig, list[CellRun]] = {}
    for run in runs:
        groups.setdefault(_without_seed(run.config), []).append(run)
    named = [(_label(group[0].config), group) for group in groups.values()]
    entrants: list[Entrant] = []
    for name, group in named:
        _expect_distinct_seeds(group)
        alike = [other[0].config for label, other in named if label == name]
        entrants.append(Entrant(_told_apart(name, group[0].config, alike), tuple(group)))
    return entrants


def _finished(path: Path) -> CellRun:
    folder = RunFolder(path.absolute())
    if folder.can_go_on or is_unfinished(folder):
        how = f"longtail train --resume {path}" if folder.can_go_on else "train again with --overwrite"
        raise InputError(f"{path}: expected the folder of a finished run; finish it: {how}")
    if not folder.results.exists():
        raise InputError(f"{path}: expected the folder of a finished run, it has no results.json")
    return CellRun(folder.path, CONFIG.read(folder.config))


def _expect_same_data(runs: Sequence[CellRun]) -> None:
    first = runs[0]
    known = first.results()
    splits: dict[int, tuple[Path, Any]] = {}
    for run in runs:
        own = run.results()
        for what, is_same in {
            "data": own.data.name == known.data.name,
            "attributes or classes": _classes(own) == _classes(known),
            "settings of the data": _described_data(run) == _described_data(first),
            "split that was evaluated": own.split == known.split,
        }.items():
            if not is_same:
                raise InputError(f"{run.path}: has other {what} than {first.path}; leave one of them out")
        parts = SPLITS_FILE.read(RunFolder(run.path).splits)
        images = (parts.train, parts.val, parts.test)
        place, before = splits.setdefault(run.config.seed, (run.path, images))
        if images != before:
            raise InputError(
                f"{run.path}: has other splits than {place}, with the same seed; leave one of them out"
            )


def _described_data(run: CellRun) -> DataOptions:
    return replace(run.config.data_options, images=None)  # where the images lie may differ


def _classes(results: Results) -> list[tuple[str, list[str]]]:
    return [(a.name, [entry.name for entry in a.classes]) for a in results.attributes]


def _without_seed(config: TrainConfig) -> TrainConfig:
    """What makes runs one method: not the seed, not the folders, not how the data's path was written, and of
    a run that it goes on from, its method."""
    options = replace(config.data_options, images=None)
    start = config.start and _method_of(config.start)
    alike = as_learned(config)
    return replace(alike, seed=0, output=None, data="", start=start, data_options=options)


def _method_of(run: str) -> str:
    """The method of a run with its flags; its folder without the seed, where that is not there any more."""
    folder = RunFolder(Path(run))
    if not folder.config.exists():
        return _unseeded(run)
    config = CONFIG.read(folder.config)
    return " ".join([_label(config), *_flag_pairs(_without_seed(config))])


def _expect_distinct_seeds(group: Sequence[CellRun]) -> None:
    seen: dict[int, Path] = {}
    for run in group:
        seed = run.config.seed
        if seed in seen:
            other = seen[seed]
            raise InputError(f"{run.path}: same method, options and seed {seed} as {other}; leave one out")
        seen[seed] = run.path


def _label(config: TrainConfig) -> str:
    options = config.method_options
    level = next((name for name, level in LEVELS.items() if options.crl.level == level), config.method)
    name = level if config.method == "crl-iccv" else config.method
    parts = (getattr(options, path[-1]) for path, _ in choices())
    first = [] if config.start is None else [_method_of(config.start).partition(" ")[0]]
    return "+".join([*first, name, *(part for part in parts if part is not None)])


def _told_apart(name: str, config: TrainConfig, alike: Sequence[TrainConfig]) -> str:
    """The name, with the flags that not all configurations of that name have."""
    if len(alike) == 1:
        return name
    pairs = [_with_start(other) for other in alike]
    own = [pair for pair in _with_start(config) if not all(pair in other for other in pairs)]
    return " ".join([name, *own])


def _with_start(config: TrainConfig) -> list[str]:
    first = [] if config.start is None else [f"--from {_unseeded(config.start)}"]
    return [*_flag_pairs(_without_seed(config)), *first]


def _flag_pairs(config: TrainConfig) -> list[str]:
    """'--epochs 5', one text for each flag with its values."""
    words = " ".join(shown_flags(config)).split(" --")
    return [word if word.startswith("--") else f"--{word}" for word in words]


def _unseeded(run: str) -> str:
    """The name of a run's folder, without what a comparison says of its seed."""
    return re.sub(r"-seed\d+$", "", Path(run).name)
