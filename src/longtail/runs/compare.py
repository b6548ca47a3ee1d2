"""A whole comparison: the same data, splits and epochs for several methods, with paired seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from longtail.data.hints import count
from longtail.runs.cells import Cell, Comparison, cell_of, default_baseline
from longtail.runs.comparison_document import Circumstances, Entrant, Run, publish, this_machine
from longtail.runs.launcher import Launcher, LocalLauncher, claimed
from longtail.runs.queue import Queue
from longtail.runs.train import with_whole_paths
from longtail.runs.tuning import Tuned, tune, with_budget
from longtail.runs.watcher import Silent, Watcher
from longtail.training.config import TrainConfig


def compare(
    comparison: Comparison, *, launcher: Launcher | None = None, watcher: Watcher | None = None
) -> Path:
    """Train every method with every seed, and write comparison.json with its page and tables.

    Every cell is a training in a process of its own, in the folder runs/LABEL-seedSEED. Finished cells
    are never trained again and unfinished ones go on, so that the same call completes a comparison that
    was stopped; cells that failed are tried again.

    Args:
        comparison: what to compare.
        launcher: starts the trainings; by default what `comparison.engine` names.
        watcher: is told how it goes.

    Returns:
        The folder of the comparison.

    Raises:
        InputError: when something the user gave cannot be used, or every run failed.
        Interrupted: when the user stopped it; what was trained is kept.
    """
    watcher = watcher or Silent()
    comparison = replace(comparison, base=with_whole_paths(comparison.base))
    folder, configs = comparison.folder.absolute(), comparison.configs()
    if comparison.seeds == 1:
        watcher.say("one seed: differences have no interval; --seeds 2 or more gives them one")
    with claimed(folder) as lock:
        launcher = launcher or _launcher(comparison, folder, lock)
        queue = Queue(folder, launcher, watcher, comparison.overwrite)
        if comparison.budget is not None:
            configs = with_budget(queue, configs, comparison.budget)
        tuned = tune(queue, configs, comparison.tune) if comparison.tune else {}
        cells = [
            cell
            for label, config in configs.items()
            for cell in _cells(comparison, folder, label, config, tuned)
        ]
        watcher.say(f"{count(len(cells), 'run')}, {launcher.parallel} at a time, in {folder}")
        failed = queue.run(cells)
        entrants = [_entrant(label, cells, failed, tuned) for label in configs]
        baseline = comparison.baseline or default_baseline(comparison.labels)
        publish(folder, entrants, baseline, _about(comparison, launcher.parallel), watcher)
    return folder


def _launcher(comparison: Comparison, folder: Path, lock: int) -> Launcher:
    trials = len(comparison.labels) * max(comparison.seeds, comparison.tune or 0)
    if comparison.engine == "local":
        return LocalLauncher(comparison.parallel, trials, comparison.base, [lock])
    from longtail.runs.cluster import ClusterLauncher

    return ClusterLauncher(comparison.engine, comparison.parallel or trials, comparison.base, folder)


def _cells(
    comparison: Comparison, folder: Path, label: str, config: TrainConfig, tuned: Mapping[str, Tuned]
) -> list[Cell]:
    """The cells of a method; the trial that was chosen is its cell of seed 0."""
    seeds, place = range(comparison.seeds), folder / "runs"
    if label not in tuned:
        return [cell_of(label, config, place, seed) for seed in seeds]
    chosen = tuned[label].trials[tuned[label].chosen]
    return [chosen, *(cell_of(label, chosen.config, place, seed) for seed in seeds[1:])]


def _entrant(
    label: str, cells: Sequence[Cell], failed: Mapping[Cell, str], tuned: Mapping[str, Tuned]
) -> Entrant:
    runs = tuple(Run(cell.path, cell.config, failed.get(cell)) for cell in cells if cell.label == label)
    return Entrant(label, runs, tuned[label].to_dict() if label in tuned else None)


def _about(comparison: Comparison, parallel: int) -> Circumstances:
    epochs = comparison.base.epochs if comparison.budget is None else None
    place = this_machine() if comparison.engine == "local" else comparison.engine
    machine = f"{place}; {parallel} at a time"
    return Circumstances(comparison.command, machine, epochs, comparison.budget)
