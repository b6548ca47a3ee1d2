"""A whole training: read, train, evaluate, report."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from longtail.data.dataset import SPLITS, Dataset
from longtail.data.patterns import is_pattern, plain_name
from longtail.data.splits import SPLITS_FILE
from longtail.errors import InputError, Interrupted
from longtail.files import file_name
from longtail.methods.find import allow, allowed_again, is_outside
from longtail.models.backbones import IN_FOLDER
from longtail.runs.baseline import set_baseline
from longtail.runs.beginning import begin
from longtail.runs.calibrate import calibrate
from longtail.runs.device import explain_broken, launch
from longtail.runs.evaluate import judge, publish
from longtail.runs.folder import RunFolder
from longtail.runs.journal import RunJournal
from longtail.runs.launcher import is_first_process
from longtail.runs.leak import warn_of_leak
from longtail.runs.lock import RunLock
from longtail.runs.loggers import Logger, Logging, expect_installed
from longtail.runs.mined import keep_mined
from longtail.runs.origin import ORIGIN, Origin, check_origin
from longtail.runs.preparation import (
    Training,
    facts_of,
    prepare_data,
    prepare_training,
    read_and_split,
)
from longtail.runs.run import Run
from longtail.training.best import is_over, judged_epoch
from longtail.training.checkpoint import load_model
from longtail.training.config import AUTO, CONFIG, TrainConfig
from longtail.training.defaults import chosen, filled
from longtail.training.fit import fit, rehearse, solve
from longtail.training.record import EPOCHS
from longtail.training.state import TrainingState, load_state
from longtail.training.watcher import Silent, Watcher
from longtail.words import count


def train(
    config: TrainConfig,
    *,
    overwrite: bool = False,
    resume: bool = False,
    allow_changed_data: bool = False,
    watcher: Watcher | None = None,
    logger: Logger | None = None,
) -> Path:
    """Train as configured, evaluate on the test images, and return the folder of the run.

    With `overwrite`, a run that is there already is replaced. With `resume`, the unfinished run in
    `config.output` goes on; its own config.json must agree, and images, labels and splits must be those that
    it began with, unless `allow_changed_data`. No other training can use the folder meanwhile. A `logger` is
    told of it beside the one that the configuration names.

    Raises:
        InputError: when something the user gave cannot be used.
        Interrupted: when a signal stopped the training; what was trained is kept.
    """
    with RunLock(RunFolder(Path(output_of(config))).lock) as lock:
        return _train(config, overwrite, resume, allow_changed_data, watcher, logger, lock)


def _train(
    config: TrainConfig,
    overwrite: bool,
    resume: bool,
    allow_changed_data: bool,
    watcher: Watcher | None,
    logger: Logger | None,
    lock: RunLock,
) -> Path:
    with _explained(config):
        if is_first_process():
            _lock_early(RunFolder(Path(output_of(config))), resume, lock)
        training, going = _prepared(config, overwrite, watcher, resume, allow_changed_data)
    state = going and going.state
    run, fabric, config = training.run, training.feed.fabric, training.run.config
    run.watcher.begin(config.planned_epochs)
    for note in training.notes:
        run.watcher.say(note)
    logging = Logging(run.watcher.say)
    if fabric.is_global_zero:
        _open(run, going, overwrite, lock)
        logging.open(config, run.folder, logger, fresh=going is None)
    fabric.barrier()
    if going is None:
        set_baseline(run)
    journal = RunJournal(run, logging)
    with closing(logging), _explained(config):
        if config.row.solved:
            known, checked = run.data.training(), run.data.splits.val
            solve(fabric, run.learner, config, training.feed, known, checked, journal)
            journal.keep_model()
        elif stopped := fit(fabric, run.learner, config, training.feed, journal, state):
            again = f" --method {config.method}" if is_outside(config.method) else ""
            place = run.folder.path
            raise Interrupted(
                f"stopped, the model so far is kept; go on with: longtail train --resume {place}{again}",
                stopped,
            )
        keep_mined(run)
        _use_kept(run)
        calibrate(run)
        _evaluate(run, logging)
    if fabric.is_global_zero:
        for file in run.folder.unfinished:
            file.unlink(missing_ok=True)
    fabric.barrier()
    return run.folder.path


def _lock_early(folder: RunFolder, resume: bool, lock: RunLock) -> None:
    """Take the lock of a folder that is there; that of a new one is taken with the folder itself."""
    if resume:
        lock.take(f"--resume {folder.path}")
    elif folder.path.is_dir():
        folder.check_free(overwrite=True)  # other files are left alone
        lock.take(f"--output {folder.path}")


def plan(config: TrainConfig, *, overwrite: bool = False, watcher: Watcher | None = None) -> list[str]:
    """What `train` would do, in sentences, after a forward and a backward pass; nothing is written.

    Raises:
        InputError: as `train` would, as far as the images of the first batch tell.
    """
    with _explained(config):
        training, _ = _prepared(config, overwrite, watcher, rehearsed=True)
        run, feed = training.run, training.feed
        rehearse(feed.fabric, run.learner, run.config, feed)
    if not run.fabric.is_global_zero:
        return []
    sizes = ", ".join(f"{len(run.data.splits.of(name))} {name}" for name in SPLITS)
    return [
        f"images: {sizes}",
        *training.notes,
        f"augmentation: {feed.augmentation}",
        _length(run.config, feed.steps),
        "a forward and a backward pass of the first batch went well",
        f"the run would be written to {run.folder.path}"
        + (", in place of the one that is there" if run.folder.config.exists() else ""),
    ]


def _length(config: TrainConfig, steps: int) -> str:
    if config.row.solved:
        return f"solved at once, without steps; seed {config.seed}"
    epochs = count(config.planned_epochs, "epoch")
    return f"{epochs} of {count(steps, 'step')}, batches of {config.batch_size}, seed {config.seed}"


def output_of(config: TrainConfig) -> str:
    """The run's folder: as asked, or named after data, method where one is named, and seed."""
    if config.output is not None:
        return config.output
    method = [] if config.method == AUTO else [file_name(config.method)]
    return f"runs/{'-'.join([plain_name(config.data), *method, f'seed{config.seed}'])}"


def with_whole_paths(config: TrainConfig) -> TrainConfig:
    """The configuration with absolute paths, so that its run can be used from any folder."""
    options = config.data_options
    return replace(
        config,
        data=_whole_path(config.data) or config.data,
        start=_whole_path(config.start),
        weights=_whole_path(config.weights),
        backbone=_with_whole_folder(config.backbone),
        data_options=replace(options, images=_whole_path(options.images)),
    )


def _with_whole_folder(backbone: str | None) -> str | None:
    """The name of a backbone, absolute where it is that of a folder."""
    if backbone is None or not backbone.startswith(IN_FOLDER):
        return backbone
    return f"{IN_FOLDER}{_whole_path(backbone.removeprefix(IN_FOLDER))}"


def _whole_path(path: str | None) -> str | None:
    """A path that exists, or names shards, as an absolute one; a built-in name, or a mistake, as it is."""
    return str(Path(path).absolute()) if path and (Path(path).exists() or is_pattern(path)) else path


def standing(config: TrainConfig) -> Literal["new", "unfinished", "finished"]:
    """How far the run of a configuration is; one that was stopped before its first step is new.

    Raises:
        InputError: when a finished run of other settings is there.
    """
    folder = RunFolder(Path(output_of(config)))
    if folder.can_go_on:
        return "unfinished"
    if not folder.config.exists():
        return "new"
    found = replace(CONFIG.read(folder.config), output=config.output)
    if not is_over(found, EPOCHS.read_lines(folder.metrics)):
        return "new"
    if found != filled(with_whole_paths(config), found):
        raise InputError(
            f"--resume auto: {folder.path} was trained with other settings; --overwrite replaces it, another "
            "--output keeps both"
        )
    return "finished"


def resumed_config(run: Path, method: str | None = None) -> TrainConfig:
    """The configuration of the unfinished run in a folder; `method` names one of the user's own again.

    Raises:
        InputError: when there is none, the training came to its end, or its method is not named.
    """
    folder = RunFolder(run)
    config = CONFIG.read(folder.config)
    if not folder.can_go_on:
        if is_over(config, EPOCHS.read_lines(folder.metrics)):
            raise InputError(f"--resume {run}: nothing to go on with, its training came to its end")
        raise InputError(
            f"--resume {run}: nothing to go on with, it was stopped before its first step; start again with "
            "--overwrite"
        )
    return replace(config, method=allowed_again(config.method, method))


@dataclass(frozen=True, eq=False)
class _Going:
    """Where a resumed training goes on, and the data that it goes on with."""

    state: TrainingState
    origin: Origin


def _prepared(
    config: TrainConfig,
    overwrite: bool,
    watcher: Watcher | None,
    resume: bool = False,
    allow_changed_data: bool = False,
    rehearsed: bool = False,
) -> tuple[Training, _Going | None]:
    """Everything that a training, or its rehearsal, has before its first step; where it resumes."""
    allow(config.method)
    expect_installed(config.log_to)
    folder, config = RunFolder(Path(output_of(config))), with_whole_paths(config)
    config, state, found = _unfinished(folder, config) if resume else (config, None, [])
    if state is None and is_first_process():
        folder.check_free(overwrite)  # before the work, and again when it is claimed
    fabric = launch(config.accelerator, config.devices, config.precision)
    watcher = watcher if watcher is not None and fabric.is_global_zero else Silent()
    for note in found:
        watcher.say(note)
    dataset, splits = read_and_split(config, watcher, None if state is None else folder.splits)
    if state is None and not rehearsed and fabric.is_global_zero:
        warn_of_leak(dataset, splits, watcher, config.data_options.bits)
    going = None if state is None else _going(folder, state, dataset, watcher, allow_changed_data)
    # a run that goes on has decided
    choice = chosen(config, facts_of(config, dataset, splits, fabric.device.type)) if state is None else None
    config, notes = (config, ()) if choice is None else (choice.config, choice.notes)
    beginning = begin(config, None if state is None else folder)
    data = prepare_data(fabric, config, beginning, dataset, splits, watcher, rehearsed=rehearsed)
    training = prepare_training(fabric, config, beginning, data, folder, watcher, fresh=state is None)
    return replace(training, notes=(*notes, *training.notes)), going


def _going(
    folder: RunFolder, state: TrainingState, dataset: Dataset, watcher: Watcher, allowed: bool
) -> _Going:
    origin, notes, same_rows = check_origin(folder, dataset, allowed)
    for note in notes:
        watcher.say(note)
    if not same_rows:
        if state.step:
            watcher.say(f"epoch {state.epoch + 1} begins again: its batches were laid out for other images")
        state = state.for_other_rows()
    return _Going(state, origin)


@contextmanager
def _explained(config: TrainConfig) -> Generator[None]:
    """Says in one line what a device, a process or a network cannot do with these settings."""
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, MemoryError, ValueError) as error:
        if "Expected more than 1 value per channel" in str(error):
            raise InputError(
                f"--batch-size {config.batch_size}: batch normalisation needs at least two images in a "
                "batch; try a larger one"
            ) from None
        if "DataLoader worker" in str(error):
            raise InputError(
                f"--workers {config.workers}: a process that reads images was killed, perhaps for want "
                "of memory; try fewer"
            ) from None
        if isinstance(error, RuntimeError):
            explain_broken(error)
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "DefaultCPUAllocator" not in str(
            error
        ):
            raise
        raise InputError(
            f"--batch-size {config.batch_size}: the device ran out of memory; try half of it, or a smaller "
            "network or --image-size"
        ) from None


def _use_kept(run: Run) -> None:
    """Take the network of the epoch that is judged, where that is not the last."""
    epoch = judged_epoch(run.config, run.epochs)
    if epoch is None or epoch is run.epochs[-1]:
        return
    run.fabric.barrier()  # the first process has written it
    learner, _ = load_model(run.folder.model, run.config.method)
    run.learner = learner.to(run.fabric.device)
    run.watcher.say(
        f"used: the network of epoch {epoch.epoch} of {len(run.epochs)}, the best on the validation images; "
        f"that of the last epoch is kept in {run.folder.last.name}"
    )


def _open(run: Run, going: _Going | None, overwrite: bool, lock: RunLock) -> None:
    """Claim the folder of a new run, or take the epochs after the state out of a resumed one."""
    folder = run.folder
    if going is None:
        folder.claim(overwrite, lock)
        CONFIG.write(folder.config, run.config)
        SPLITS_FILE.write(folder.splits, run.data.splits.named(run.data.dataset.ids))
        ORIGIN.write(folder.origin, Origin.of(folder, run.data.dataset))
        return
    folder.sweep()
    kept = [record for record in EPOCHS.read_lines(folder.metrics) if record.epoch <= going.state.epoch]
    EPOCHS.write_lines(folder.metrics, kept)
    ORIGIN.write(folder.origin, going.origin)


def _unfinished(folder: RunFolder, config: TrainConfig) -> tuple[TrainConfig, TrainingState, list[str]]:
    """The settings and the state of a run that goes on, and sentences on it."""
    found = resumed_config(folder.path, None if config.method == AUTO else config.method)
    found = replace(found, output=config.output)  # a run may have been moved
    if found != filled(config, found):
        raise InputError(f"--resume {folder.path}: a resumed run keeps its own settings, give no others")
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


def _evaluate(run: Run, logging: Logging) -> None:
    """Results and report of a finished training, on test images, or else on validation images."""
    split = next((name for name in ("test", "val") if len(run.data.splits.of(name))), None)
    if split is None:
        run.watcher.say("no images were kept for a test or for validation: the model is not evaluated")
        return
    judged = judge(run, run.data, split)
    if run.fabric.is_global_zero:
        publish(run, judged)
        logging.results(judged.results, run.epochs[-1].step)
