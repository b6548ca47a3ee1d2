"""A whole comparison: the same data, splits and epochs for several methods, with paired seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from longtail.comparing.cells import Cell, Comparison, Entry, cell_of, chosen_baseline, shared
from longtail.comparing.collect import CellRun, Circumstances, Entrant, publish, this_machine
from longtail.comparing.defaults import decided
from longtail.comparing.document import Budget
from longtail.comparing.launcher import Launcher, LocalLauncher, claimed
from longtail.comparing.queue import Queue
from longtail.comparing.tuning import Tuned, tune, with_budget
from longtail.runs.train import with_whole_paths
from longtail.training.config import TrainConfig
from longtail.training.watcher import Silent, Watcher
from longtail.words import count


def compare(
    comparison: Comparison, *, launcher: Launcher | None = None, watcher: Watcher | None = None
) -> Path:
    """Train every method with every seed, and write comparison.json with its page and tables.

    Every cell is a training in a process of its own, in the folder runs/LABEL-seedSEED. Finished cells
    are never trained again and unfinished ones go on, so that the same call completes a comparison that
    was stopped; cells that failed are tried again. Methods that differ in a decision which is made after
    training share their cells. Second stages are trained when the runs that they go on from are done.

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
    folder = comparison.folder.absolute()
    entries = decided(comparison, comparison.entries(), watcher)  # a mistake in the data is said now
    if comparison.seeds == 1:
        watcher.say("one seed: differences have no interval; --seeds 2 or more gives them one")
    with claimed(folder) as lock:
        launcher = launcher or _launcher(comparison, folder, lock)
        queue = Queue(folder, launcher, watcher, comparison.overwrite)
        progress = _Progress(comparison, queue)
        for stage in _stages(entries):
            progress.train(stage)
        entrants = [progress.entrant(label, entry) for label, entry in entries.items()]
        baseline = chosen_baseline(comparison.labels, comparison.baseline)
        publish(folder, entrants, baseline, _about(comparison, entries, launcher.parallel), watcher)
    return folder


def _launcher(comparison: Comparison, folder: Path, lock: int) -> Launcher:
    trials = len(comparison.labels) * max(comparison.seeds, comparison.tune or 0)
    if comparison.engine == "local":
        return LocalLauncher(comparison.parallel, trials, comparison.base, [lock])
    from longtail.comparing.cluster import ClusterLauncher

    return ClusterLauncher(comparison.engine, comparison.parallel or trials, comparison.base, folder)


def _stages(entries: Mapping[str, Entry]) -> Iterator[dict[str, Entry]]:
    """The entries, each after the one that it goes on from."""
    done: set[str | None] = {None}
    while waiting := {label: entry for label, entry in entries.items() if label not in done}:
        stage = {label: entry for label, entry in waiting.items() if entry.first in done}
        yield stage
        done |= set(stage)


@dataclass
class _Progress:
    """What was trained so far: by label its cells, one for each seed, and its trials; why cells failed."""

    comparison: Comparison
    queue: Queue
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    tuned: dict[str, Tuned] = field(default_factory=dict)
    failed: dict[Cell, str] = field(default_factory=dict)

    def train(self, stage: Mapping[str, Entry]) -> None:
        """Train all cells of some entries whose first stages are there."""
        comparison = self.comparison
        # whose training is decided otherwise comes last: it shares the cells of the one that is not
        stage = dict(sorted(stage.items(), key=lambda item: item[1].decision is not None))
        configs = {label: self._started(entry.config, entry.first, 0) for label, entry in stage.items()}
        if comparison.budget is not None:
            configs = with_budget(self.queue, configs, comparison.budget)
        if comparison.tune:
            self.tuned |= tune(
                self.queue, configs, {k: e.decision for k, e in stage.items()}, comparison.tune
            )
        cells = shared(
            {
                label: [self._cell(label, config, stage[label].first, s) for s in range(comparison.seeds)]
                for label, config in configs.items()
            }
        )
        self.cells |= cells
        distinct = list(dict.fromkeys(chain.from_iterable(cells.values())))
        self.queue.watcher.say(
            f"{count(len(distinct), 'run')}, {self.queue.launcher.parallel} at a time, in {self.queue.folder}"
        )
        self.failed |= self.queue.run(distinct)

    def entrant(self, label: str, entry: Entry) -> Entrant:
        """A method with its runs as they ended."""
        runs = (CellRun(c.path, c.config, self.failed.get(c), entry.decision) for c in self.cells[label])
        return Entrant(label, tuple(runs), self.tuned[label].tuning if label in self.tuned else None)

    def _started(self, config: TrainConfig, first: str | None, seed: int) -> TrainConfig:
        """The configuration with the run of the first stage that has this seed."""
        return config if first is None else replace(config, start=str(self.cells[first][seed].path))

    def _cell(self, label: str, config: TrainConfig, first: str | None, seed: int) -> Cell:
        """The cell of a seed; where settings were tried, with those chosen, whose trial is that of seed 0."""
        if label in self.tuned:
            chosen = self.tuned[label].chosen
            if seed == 0:
                return chosen
            config = chosen.config
        return cell_of(label, self._started(config, first, seed), self.queue.folder / "runs", seed)


def _about(comparison: Comparison, entries: Mapping[str, Entry], parallel: int) -> Circumstances:
    lengths = {entry.config.planned_epochs for entry in entries.values() if not entry.config.row.solved}
    epochs = lengths.pop() if comparison.budget is None and len(lengths) == 1 else None
    place = this_machine() if comparison.engine == "local" else comparison.engine
    machine = f"{place}; {parallel} at a time"
    return Circumstances(comparison.command, machine, Budget(epochs, comparison.budget))
