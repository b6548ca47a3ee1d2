"""What a comparison trains: methods by their labels, and a cell for every method and seed. No torch here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from longtail.comparing.parts import SECOND_STAGES, Part, parse_part
from longtail.data.patterns import plain_name
from longtail.errors import InputError
from longtail.files import file_name
from longtail.methods.find import allow, is_outside, row_of
from longtail.methods.options import DECISIONS, DecisionName, MethodOptions
from longtail.methods.recipe import Recipe, check_decision, reads, recipe
from longtail.methods.rows import METHODS
from longtail.models.backbones import EXPECTED, TIMM_PREFIX
from longtail.runs.folder import RunFolder
from longtail.settings import AT_LEAST_ONE, Range, Settings
from longtail.training.config import CONFIG, ON_VECTORS, TrainConfig
from longtail.words import did_you_mean

LEVELS: Mapping[str, Literal["class", "instance"]] = {"crl-c": "class", "crl-i": "instance"}
"""Labels of crl-iccv by the level it mines at; the instance level is that of `CRLOptions`, at unit length."""

AFTERWARDS = tuple(name for name, facts in DECISIONS.items() if name != "argmax" and facts.by_logits)
"""Decisions without options, beside the usual one: a network trained for any other decision can make them."""

MOST_TRIALS = 9
"""Settings there are to try for a method, see `longtail.comparing.tuning`."""

PROGRAM = (sys.executable, "-P", "-m", "longtail")
"""What a command line of ours begins with, of the Python that runs now and without the current folder."""

Engine = Literal["local", "slurm", "submitit-local"]
"""Who runs the trainings: this machine, a Slurm cluster, or submitit on this machine."""


@dataclass(frozen=True)
class Comparison(Settings):
    """What is compared, and where it is kept.

    Attributes:
        base: what all trainings share; its method, seed and output are not used.
        labels: of the methods, see `entry_of`; distinct.
        folder: of the comparison.
        seeds: cells of a method; their seeds are 0 … seeds - 1.
        baseline: label that the others are compared with; None for ce where it is compared, else the first.
        parallel: trainings at a time; None for what the machine has.
        tune: settings to try for every method, None for none.
        budget: seconds of a training, which then decide its epochs, or None.
        overwrite: replace cells that were trained with other settings.
        engine: who runs the trainings.
        command: what was typed.

    Raises:
        InputError: when a number is out of its range, a label is there twice or not at all, or a budget does
            not go with a length.
    """

    base: TrainConfig
    labels: tuple[str, ...]
    folder: Path
    seeds: Annotated[int, AT_LEAST_ONE] = 5
    baseline: str | None = None
    parallel: Annotated[int | None, AT_LEAST_ONE] = None
    tune: Annotated[int | None, Range(f"2 to {MOST_TRIALS} settings to try", 2, MOST_TRIALS)] = None
    budget: Annotated[float | None, Range("seconds above 0", 0, without_low=True)] = None
    overwrite: bool = False
    engine: Engine = "local"
    command: str = "longtail compare"

    def __post_init__(self) -> None:
        super().__post_init__()
        chosen_baseline(self.labels, self.baseline)
        for flag, length in (("--epochs", self.base.epochs), ("--steps", self.base.steps)):
            if self.budget is not None and length is not None:
                raise InputError(f"--budget: decides the epochs of each method; leave out {flag}")

    def entries(self) -> dict[str, Entry]:
        """What every label stands for.

        Raises:
            InputError: see `entry_of`; or when a method goes on from one that is not compared.
        """
        entries = {label: entry_of(label, self.base) for label in self.labels}
        for label, entry in entries.items():
            if entry.first is not None and entry.first not in entries:
                raise InputError(
                    f"--methods {label}: goes on from the runs of {entry.first}, which is not among the "
                    f"methods; add {entry.first}"
                )
        return entries


def labels_of(methods: str) -> tuple[str, ...]:
    """The labels in a list with commas between them.

    Raises:
        InputError: when one of them is empty.
    """
    labels = tuple(map(str.strip, methods.split(",")))
    if "" in labels:
        raise InputError(
            f"--methods: expected names of methods with commas between them, got an empty name in {methods!r}"
        )
    return labels


def shared_epochs(configs: Iterable[TrainConfig]) -> int | None:
    """The epochs that all trainings take, but for those that are solved at once; None where they differ."""
    # a method of the user's own is not imported to be asked
    lengths = {c.planned_epochs for c in configs if is_outside(c.method) or not c.row.solved}
    return lengths.pop() if len(lengths) == 1 else None


def default_folder(data: str) -> Path:
    """Where the comparison of some data is kept, unless it is said."""
    return Path("runs") / f"{plain_name(data)}-comparison"


@dataclass(frozen=True)
class Entry:
    """What a label of a comparison stands for.

    Attributes:
        config: of its trainings, with seed 0, without output, and with a label in place of start.
        decision: that the trained runs are judged by, None for their own.
        first: label of the method whose runs it goes on from, or None.
    """

    config: TrainConfig
    decision: DecisionName | None = None
    first: str | None = None


@dataclass(frozen=True)
class Cell:
    """One training of a comparison, of a method's label with a seed; the output of `config` is its folder."""

    label: str
    config: TrainConfig

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return Path(self.config.output or "")

    @property
    def name(self) -> str:
        """'crl-i, seed 3'."""
        return f"{self.label}, seed {self.config.seed}"

    def state(self, overwrite: bool) -> Literal["new", "again", "unfinished", "finished"]:
        """How far the cell is; "again" has a folder to overwrite, "unfinished" a state to go on from.

        Raises:
            InputError: when the folder holds something else and must not be overwritten.
        """
        folder = RunFolder(self.path)
        if not folder.config.exists():
            folder.check_free(overwrite)
            return "new"
        if not self._is_of(folder):
            if overwrite:
                return "again"
            raise InputError(
                f"{self.path}: was trained with other settings; --overwrite replaces it, another --output "
                "keeps both"
            )
        if folder.can_go_on:  # though it may have been evaluated meanwhile
            return "unfinished"
        return "finished" if folder.results.exists() else "again"

    def command(self, overwrite: bool, settings: Path) -> list[str]:
        """The command line that trains it, or goes on with it.

        Args:
            overwrite: see `state`.
            settings: file with `config` as JSON.

        Raises:
            InputError: see `state`.
            ValueError: when the cell is finished.
        """
        state = self.state(overwrite)
        if state == "finished":
            raise ValueError(f"expected a cell to train, {self.name} is finished")
        own = {
            "new": ["--config", str(settings)],
            "again": ["--config", str(settings), "--overwrite"],
            "unfinished": ["--resume", str(self.path)],
        }
        method = ["--method", self.config.method] if is_outside(self.config.method) else []
        return [*PROGRAM, "train", *own[state], *method]

    def _is_of(self, folder: RunFolder) -> bool:
        try:
            found = CONFIG.read(folder.config)
        except InputError:
            return False
        return _unplaced(found) == _unplaced(self.config)


def _unplaced(config: TrainConfig) -> TrainConfig:
    """The configuration without the folders of its comparison, which may be moved."""
    start = config.start and Path(config.start).name
    return replace(as_learned(config), output=None, start=start)


def as_learned(config: TrainConfig) -> TrainConfig:
    """The configuration without settings that do not change what is learned."""
    return replace(config, log_to=None, checkpoint_every=TrainConfig.checkpoint_every)


def stages(entries: Mapping[str, Entry]) -> Iterator[dict[str, Entry]]:
    """The entries, each after the one that it goes on from."""
    done: set[str | None] = {None}
    while waiting := {label: entry for label, entry in entries.items() if label not in done}:
        stage = {label: entry for label, entry in waiting.items() if entry.first in done}
        yield stage
        done |= set(stage)


def cell_of(label: str, config: TrainConfig, folder: Path, seed: int, mark: str = "") -> Cell:
    """The cell FOLDER/LABEL-MARKseedSEED."""
    name = f"{file_name(label)}-{mark}seed{seed}"
    return Cell(label, replace(config, seed=seed, output=str(folder / name)))


def shared(cells: Mapping[str, Iterable[Cell]]) -> dict[str, list[Cell]]:
    """The cells of every label, those that train the same replaced by the first of them."""
    firsts: dict[TrainConfig, Cell] = {}
    return {
        label: [firsts.setdefault(replace(cell.config, output=None), cell) for cell in own]
        for label, own in cells.items()
    }


def entry_of(label: str, base: TrainConfig) -> Entry:
    """What a label stands for: a method, then its parts.

    A label is a name of `METHODS`, crl-c, crl-i, or module:Class of the user's own, each perhaps
    followed by +PART, see `longtail.comparing.parts`. The name of a second stage may follow the method that
    it goes on from; alone it goes on from ce.

    Args:
        label: for instance crl-i+over, or crl-i+crt.
        base: what all methods share; options that the method has no use for are left out.

    Raises:
        InputError: when the label is not known, or its parts do not go together.

    Example:
        >>> config = entry_of("crl-i+over", TrainConfig(data="digits")).config
        >>> config.method, config.method_options.crl.level, config.method_options.sampler
        ('crl-iccv', 'instance', 'over')
        >>> entry_of("crt", TrainConfig(data="digits")).first
        'ce'
    """
    words = label.split("+")
    stage = max((i for i, word in enumerate(words) if word in SECOND_STAGES), default=0)
    name, *values = words[stage:]
    first = ("+".join(words[:stage]) or "ce") if name in SECOND_STAGES else None
    method = "crl-iccv" if name in LEVELS else name
    if method not in METHODS and not is_outside(method):
        raise InputError(f"--methods: {_unexpected(name, [*METHODS, *LEVELS])}")
    allow(method)
    if row_of(method).solved:
        base = _for_vectors(base)
    try:
        parts, options = [parse_part(value) for value in values], base.method_options
        if name in LEVELS:
            options = replace(options, crl=replace(options.crl, level=LEVELS[name]))
        for part in parts:
            options = part.of_options(options)
        full = recipe(method, replace(options, decision=None))
        decision = options.decision or full.decision
        if decision in AFTERWARDS:
            check_decision(method, decision, full)
            method = "ce" if method == "threshold-adjustment" else method
            options = replace(options, decision=None)
        _expect_used(parts, method, full)
        options = _used(method, options)
        weights = None if first else base.weights  # a second stage has those of its run
        config = replace(
            base, method=method, method_options=options, seed=0, output=None, start=first, weights=weights
        )
        for part in parts:
            config = part.of_settings(config)
    except InputError as error:
        raise InputError(f"--methods {label}: {error}") from None
    return Entry(config, decision if decision in AFTERWARDS else None, first)


def _for_vectors(base: TrainConfig) -> TrainConfig:
    """What a method that is solved on frozen vectors takes of settings for networks that are trained.

    A backbone without published weights gives no vectors, so the usual one stands in its place.
    """
    named = base.backbone
    kept = named if named in EXPECTED or (named or "").startswith(TIMM_PREFIX) else None
    augment = base.augment if base.augment in ON_VECTORS else None
    options = replace(base.method_options, feature_layer=None)
    base = replace(base, backbone=kept, augment=augment, method_options=options)
    return replace(base, from_scratch=False, finetune=None, layer_decay=None)


def chosen_baseline(labels: Sequence[str], baseline: str | None) -> str:
    """The label that the others are compared with: ce, or else the first, unless the user says so.

    Raises:
        InputError: when there is none, one is there twice, or the baseline is not among them.
    """
    if not labels:
        raise InputError("--methods: expected names of methods with commas between them, got none")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError(f"--methods: expected each method once, got {twice} more than once")
    if baseline is not None and baseline not in labels:
        raise InputError(f"--baseline: {_unexpected(baseline, labels)}")
    return baseline or ("ce" if "ce" in labels else labels[0])


def shown_flags(config: TrainConfig) -> list[str]:
    """The flags of `longtail train` that differ from its defaults, without seed and output.

    Example:
        >>> shown_flags(entry_of("crl-i", TrainConfig(data="digits", epochs=5)).config)
        ['--method', 'crl-iccv', '--epochs', '5', '--crl.level', 'instance']
    """
    usual = TrainConfig(
        config.data, method=config.method, start=config.start, output=config.output, seed=config.seed
    )
    return ["--method", config.method, *_flags(config, usual, "--")]


def _flags(settings: Any, usual: Any, prefix: str) -> Iterator[str]:
    for field in fields(settings):
        value, default = getattr(settings, field.name), getattr(usual, field.name)
        name = prefix + field.name.replace("_", "-")
        if is_dataclass(value):
            # the options of data and of all methods have no prefix, those of one method have its name
            yield from _flags(value, default, prefix if field.name.endswith("_options") else f"{name}.")
        elif value != default:
            words = () if isinstance(value, bool) else value if isinstance(value, tuple) else (value,)
            yield from [name, *map(str, words)]


def _used(method: str, options: MethodOptions) -> MethodOptions:
    """The options without the tables that the method does not read, so that they make no difference."""
    used = reads(method, recipe(method, options))
    idle = [f for f in fields(options) if f.default_factory is not MISSING and f.name not in used]
    return replace(options, **{f.name: getattr(MethodOptions(), f.name) for f in idle})


def _expect_used(parts: Sequence[Part], method: str, full: Recipe) -> None:
    """Refuse a part that the method does not read: it would make no difference."""
    idle = next((part for part in parts if part.table and part.table not in reads(method, full)), None)
    if idle is not None:
        raise InputError(f"--{idle.flag}: has no effect with {method}; leave it out")


def _unexpected(word: str, known: Sequence[str]) -> str:
    return f"expected one of {', '.join(known)}, got {word!r}.{did_you_mean(word, known)}"
