"""What is settled for every method before its runs: epochs that fit a budget, and tuned settings.

Every method gets the same number of trials, each a whole training of seed 0, and is chosen by
class-balanced accuracy on the validation images; the test images play no part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, product
from pathlib import Path

from longtail.comparing.cells import Cell, cell_of, shared, shown_flags
from longtail.comparing.document import Trial, Tuning
from longtail.comparing.queue import Queue, judged_validation
from longtail.errors import InputError
from longtail.evaluation.results import RESULTS
from longtail.methods.options import DecisionName
from longtail.methods.recipe import reads
from longtail.runs.evaluate import evaluate
from longtail.runs.folder import RunFolder
from longtail.training.config import TrainConfig
from longtail.training.record import EPOCHS

RATES = (1.0, 0.3, 3.0, 0.1, 0.5, 2.0, 0.2, 5.0, 0.05)
"""Multiples of a method's own learning rate, the most promising first; a guess."""

MAIN: Mapping[str, tuple[str, str, tuple[float, float]]] = {
    "crl": ("crl", "weight", (0.05, 0.5)),
    "crl-iccv": ("crl", "weight", (0.3, 3.0)),
    "triplet": ("metric", "margin", (0.1, 0.5)),
    "contrastive": ("metric", "margin", (0.5, 1.5)),
    "deepid2": ("deepid2", "verification", (0.01, 0.2)),
    "lmle": ("lmle", "g3", (0.1, 0.4)),
    "mtct": ("mtct", "weight", (0.3, 3.0)),
    "focal": ("focal", "gamma", (1.0, 3.0)),
    "ldam-drw": ("ldam", "margin", (0.3, 0.7)),
    "logit-adjustment": ("adjustment", "tau", (0.5, 1.5)),
}
"""By method its main weight or margin: table, option, and what to try beside its default; guesses."""


@dataclass(frozen=True)
class Tuned:
    """The trials of a method, of seed 0, its own settings first; and what comparison.json says of them."""

    cells: tuple[Cell, ...]
    tuning: Tuning

    @property
    def chosen(self) -> Cell:
        """The best trial."""
        return self.cells[self.tuning.chosen]


def settings_of(config: TrainConfig) -> Iterator[TrainConfig]:
    """The nine settings that are tried for a method, its own first.

    Three learning rates times three values of the method's main weight or margin, or nine learning
    rates where it has none: see `RATES` and `MAIN`. A method that is solved has its own settings alone.
    """
    if config.row.solved:
        yield config
        return
    main = MAIN.get(config.method)
    if main is None or main[0] not in reads(config.method, config.recipe):
        yield from (_at_rate(config, rate) for rate in RATES)
        return
    table, option, values = main
    own = config, *(_with_option(config, table, option, value) for value in values)
    # own settings, then one change at a time, then both
    order = sorted(product(range(3), range(3)), key=lambda place: bool(place[0]) + bool(place[1]))
    yield from (_at_rate(own[v], RATES[r]) for r, v in order)


def tune(
    queue: Queue,
    configs: Mapping[str, TrainConfig],
    decisions: Mapping[str, DecisionName | None],
    number: int,
) -> dict[str, Tuned]:
    """Try `number` settings of every method; the trials that ran before are not run again.

    Args:
        queue: trains them.
        configs: of the methods, by label.
        decisions: that each method is judged by, None for its own.
        number: of settings.

    Raises:
        InputError: when trials finished and none of them has validation images.
    """
    place = queue.folder / "tune"
    tried = {label: enumerate(islice(settings_of(config), number)) for label, config in configs.items()}
    trials = shared(
        {label: [cell_of(label, s, place, 0, mark=f"{i}-") for i, s in own] for label, own in tried.items()}
    )
    failed = queue.run(list(dict.fromkeys(chain.from_iterable(trials.values()))), "trials")
    return {label: _tuned(cells, failed, decisions[label]) for label, cells in trials.items()}


def with_budget(queue: Queue, configs: Mapping[str, TrainConfig], seconds: float) -> dict[str, TrainConfig]:
    """The configurations with as many epochs as fit the budget, by a measured epoch of each method.

        epochs = max(1, ⌊budget / seconds of an epoch⌋)

    The epoch is measured while as many trainings run at a time as later. A method whose measurement
    fails is given one epoch, in which its cells fail on their own.
    """
    probes = {
        label: cell_of(label, replace(config, epochs=1, steps=None), queue.folder / "probe", 0)
        for label, config in configs.items()
        if not config.row.solved
    }
    queue.run(list(probes.values()), "measured epochs")
    epochs = {label: _epochs_within(seconds, cell.path) for label, cell in probes.items()}
    queue.watcher.say("epochs: " + ", ".join(f"{label} {number}" for label, number in epochs.items()))
    return {label: replace(config, epochs=epochs.get(label, 1)) for label, config in configs.items()}


def _epochs_within(seconds: float, probe: Path) -> int:
    measured = EPOCHS.read_lines(RunFolder(probe).metrics)
    return max(1, int(seconds / measured[0].seconds)) if measured else 1


def _tuned(cells: Sequence[Cell], failed: Mapping[Cell, str], decision: DecisionName | None) -> Tuned:
    values = [None if cell in failed else _validated(cell.path, decision) for cell in cells]
    # of equals the first is chosen
    best = max(range(len(cells)), key=lambda i: -1.0 if values[i] is None else values[i] or 0.0)
    trials = (Trial(tuple(shown_flags(c.config)), value) for c, value in zip(cells, values, strict=True))
    return Tuned(tuple(cells), Tuning(tuple(trials), best))


def _validated(run: Path, decision: DecisionName | None) -> float | None:
    found = judged_validation(run)
    if found is None:
        raise InputError("--tune: there are no validation images to choose by; set --val-share above 0")
    if decision is None:
        return found
    path = RunFolder(run).results_by(decision, "val")
    known = RESULTS.read(path) if path.exists() else None
    results = known or evaluate(run, split="val", decision=decision, output=path)
    balanced = results.mean.class_balanced_accuracy
    return balanced and balanced.value


def _at_rate(config: TrainConfig, factor: float) -> TrainConfig:
    if factor == 1:
        return config
    return replace(config, learning_rate=float(f"{config.peak_rate * factor:.6g}"))


def _with_option(config: TrainConfig, table: str, option: str, value: float) -> TrainConfig:
    options = config.method_options
    changed = replace(getattr(options, table), **{option: value})
    return replace(config, method_options=replace(options, **{table: changed}))
