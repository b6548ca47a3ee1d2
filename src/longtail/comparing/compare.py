"""A whole comparison: the same data, splits and epochs for several methods, with paired seeds."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from longtail.comparing.cells import Cell, Comparison, Entry, cell_of, chosen_baseline, shared
from longtail.comparing.collect import CellRun, Circumstances, Entrant, publish, this_machine
from longtail.comparing.document import Budget
from longtail.comparing.launcher import Launcher, LocalLauncher, claimed
from longtail.comparing.queue import Queue
from longtail.comparing.tuning import Tuned, tune, with_budget
from longtail.comparing.workers import WorkerLauncher
from longtail.methods.find import is_outside
from longtail.runs.data import read_dataset
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
    folder, entries = comparison.folder.absolute(), comparison.entries()
    read_dataset(comparison.base.data, comparison.base.data_options)  # a mistake in it is said once, and now
    if comparison.seeds == 1:
        watcher.say("one seed: differences have no interval; --seeds 2 or more gives them one")
    with claimed(folder) as lock, _launched(comparison, folder, lock, launcher) as launcher:
        queue = Queue(folder, launcher, watcher, comparison.overwrite)
        progress = _Progress(comparison, queue)
        for stage in _stages(entries):
            progress.train(stage)
        entrants = [progress.entrant(label, entry) for label, entry in entries.items()]
        baseline = chosen_baseline(comparison.labels, comparison.baseline)
        publish(folder, entrants, baseline, _about(comparison, launcher.parallel), watcher)
    return folder


@contextmanager
def _launched(comparison: Comparison, folder: Path, lock: int, given: Launcher | None) -> Generator[Launcher]:
    """The launcher that was given, or else the one for the comparison's engine."""
    trials = len(comparison.labels) * max(comparison.seeds, comparison.tune or 0)
    if given is not None:
        yield given
    elif comparison.engine != "local":
        from longtail.comparing.cluster import ClusterLauncher

        yield ClusterLauncher(comparison.engine, comparison.parallel or trials, comparison.base, folder)
    else:
        local = LocalLauncher(comparison.parallel, trials, comparison.base, [lock])
        if _may_share(comparison, local):
            with closing(WorkerLauncher(local)) as workers:
                yield workers
        else:
            yield local


def _may_share(comparison: Comparison, local: LocalLauncher) -> bool:
    """Whether trainings may follow each other in one process.

    Code of the user's own may leave anything behind; several devices are several processes; and where whole
    networks are trained on GPUs, the start of a process is little beside them.
    """
    configs = [entry.config for entry in comparison.entries().values()]
    if comparison.base.devices > 1 or any(is_outside(config.method) for config in configs):
        return False
    return not local.gpus or all(config.frozen for config in configs)


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


def _about(comparison: Comparison, parallel: int) -> Circumstances:
    epochs = comparison.base.epochs if comparison.budget is None else None
    place = this_machine() if comparison.engine == "local" else comparison.engine
    machine = f"{place}; {parallel} at a time"
    return Circumstances(comparison.command, machine, Budget(epochs, comparison.budget))
