"""A run that goes on: how far it is, its own settings, and the newest state of it that is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from longtail.data.dataset import Dataset
from longtail.data.splits import SPLITS_FILE
from longtail.errors import InputError
from longtail.methods.find import allowed_again
from longtail.runs.folder import RunFolder
from longtail.runs.loggers import flat
from longtail.runs.origin import Origin, check_origin
from longtail.runs.other_processes import with_devices
from longtail.runs.places import folder_of, with_whole_paths
from longtail.training.best import is_over
from longtail.training.config import AUTO, CONFIG, TrainConfig
from longtail.training.defaults import filled
from longtail.training.record import EPOCHS, EpochRecord
from longtail.training.state import TrainingState, load_state
from longtail.training.watcher import Watcher


def standing(config: TrainConfig) -> Literal["new", "unfinished", "finished"]:
    """How far the run of a configuration is; one that was stopped before its first step is new.

    Raises:
        InputError: when a finished run of other settings is there.
    """
    folder = folder_of(config)
    if folder.can_go_on:
        return "unfinished"
    if not folder.config.exists():
        return "new"
    found = _as_now(CONFIG.read(folder.config), config)
    records = EPOCHS.read_lines(folder.metrics)
    if not is_over(found, records):
        return "new"
    if other := first_difference(found, _asked(with_whole_paths(config), found, records)):
        raise InputError(
            f"--resume auto: {folder.path} was trained with other settings ({other}); --overwrite replaces "
            "it, another --output keeps both"
        )
    judged = SPLITS_FILE.read(folder.splits)
    if (judged.test or judged.val) and not folder.results.exists():
        raise InputError(
            f"--resume auto: {folder.path} is finished, and its {folder.results.name} is missing; longtail "
            f"evaluate {folder.path} writes it again"
        )
    return "finished"


def first_difference(found: TrainConfig, asked: TrainConfig) -> str | None:
    """The first setting that differs, with both values; None where none does.

    Example:
        >>> first_difference(TrainConfig("photos", epochs=3), TrainConfig("photos", epochs=4))
        'epochs: 3, not 4'
    """
    pairs = zip(*(flat(msgspec.to_builtins(config)) for config in (found, asked)), strict=True)
    return next((f"{name}: {old}, not {new}" for (name, old), (_, new) in pairs if old != new), None)


def _asked(config: TrainConfig, found: TrainConfig, records: Sequence[EpochRecord]) -> TrainConfig:
    """The settings that are asked for; what they leave open is as in the run.

    A length in steps is one in epochs as soon as the run has an epoch behind it. A method that draws its
    own batches has epochs of different lengths, and is taken at its word.
    """
    asked = filled(config, found)
    if config.steps is None or not records or found.row.draws:
        return asked
    return replace(asked, epochs=-(-config.steps // records[0].step))


def _as_now(found: TrainConfig, asked: TrainConfig) -> TrainConfig:
    """The settings of a run where it lies now, for as many processes as go on with it.

    What teaches nothing is taken as it is asked for, too.
    """
    return replace(
        found,
        output=asked.output,
        devices=asked.devices,
        log_to=asked.log_to,
        checkpoint_every=asked.checkpoint_every,
    )


def resumed_config(run: Path, method: str | None = None, devices: int | None = None) -> TrainConfig:
    """The configuration of the unfinished run in a folder; `method` names one of the user's own again.

    It goes on with as many processes as `with_devices` says.

    Raises:
        InputError: when there is none, the training came to its end, or its method is not named.
    """
    folder = RunFolder(run)
    config = CONFIG.read(folder.config)
    if not folder.can_go_on:
        if is_over(config, EPOCHS.read_lines(folder.metrics)):
            raise InputError(f"--resume {run}: nothing to go on with, its training came to its end")
        raise InputError(
            f"--resume {run}: nothing to go on with, no state of its training was kept; start again with "
            "--overwrite"
        )
    return with_devices(replace(config, method=allowed_again(config.method, method)), devices)


@dataclass(frozen=True, eq=False)
class Going:
    """Where a resumed training goes on, and the data that it goes on with."""

    state: TrainingState
    origin: Origin


def going_on(
    folder: RunFolder, state: TrainingState, dataset: Dataset, watcher: Watcher, allowed: bool
) -> Going:
    """Where a run goes on, with data that are those it began with, or are `allowed` to be others.

    Raises:
        InputError: when they are others and must not.
    """
    origin, notes, same_rows = check_origin(folder, dataset, allowed)
    for note in notes:
        watcher.say(note)
    if not same_rows:
        if state.step:
            watcher.say(f"epoch {state.epoch + 1} begins again: its batches were laid out for other images")
        state = state.for_other_rows()
    return Going(state, origin)


def unfinished(folder: RunFolder, config: TrainConfig) -> tuple[TrainConfig, TrainingState, list[str]]:
    """The settings and the state of a run that goes on, and sentences on it."""
    found = resumed_config(folder.path, None if config.method == AUTO else config.method)
    found = _as_now(found, config)
    if other := first_difference(found, _asked(config, found, EPOCHS.read_lines(folder.metrics))):
        raise InputError(
            f"--resume {folder.path}: a resumed run keeps its own settings ({other}); give no others, or "
            "--overwrite it"
        )
    state, notes = _newest(folder)
    return found, state, notes


def _newest(folder: RunFolder) -> tuple[TrainingState, list[str]]:
    """The newest state that is whole."""
    try:
        return load_state(folder.state), []
    except InputError as error:
        if not folder.before.exists():
            raise
        state = load_state(folder.before)
        place = f"epoch {state.epoch + 1}, step {state.step + 1}"
        why = error if folder.state.exists() else f"{folder.state} is missing"
        return state, [f"{why}: the one before it is used, {folder.before.name}, from {place} on"]
