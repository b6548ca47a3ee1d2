"""A whole training: read, train, evaluate, report."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from longtail.data.dataset import SPLITS
from longtail.data.splits import SPLITS_FILE
from longtail.errors import InputError, Interrupted
from longtail.methods.find import allow, is_outside
from longtail.runs.beforehand import look_beforehand
from longtail.runs.beginning import begin
from longtail.runs.calibrate import calibrate
from longtail.runs.device import explain_broken, launch
from longtail.runs.evaluate import judge, publish
from longtail.runs.folder import RunFolder
from longtail.runs.journal import RunJournal
from longtail.runs.launcher import is_first_process
from longtail.runs.lock import RunLock
from longtail.runs.loggers import Logger, Logging, expect_installed
from longtail.runs.mined import keep_mined
from longtail.runs.origin import ORIGIN, Origin
from longtail.runs.places import folder_of, with_whole_paths
from longtail.runs.preparation import Training, prepare_data, prepare_training
from longtail.runs.reading import read_and_split
from longtail.runs.resuming import Going, going_on, unfinished
from longtail.runs.run import Run
from longtail.training.best import judged_epoch
from longtail.training.checkpoint import load_model
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.defaults import chosen
from longtail.training.facts import facts_of
from longtail.training.fit import fit, rehearse, solve
from longtail.training.record import EPOCHS
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
    folder = folder_of(config)
    with RunLock(folder.lock) as lock:
        with _explained(config):
            if is_first_process():
                _lock_early(folder, resume, lock)
            training, going = _prepared(config, overwrite, watcher, resume, allow_changed_data)
        _train(training, going, overwrite, logger, lock)
    return folder.path


def _train(
    training: Training, going: Going | None, overwrite: bool, logger: Logger | None, lock: RunLock
) -> None:
    """From the first step, or where it goes on, to the results."""
    run, fabric, config = training.run, training.feed.fabric, training.run.config
    run.watcher.begin(config.planned_epochs)
    for note in training.notes:
        run.watcher.say(note)
    logging = Logging(run.watcher.say)
    if fabric.is_global_zero:
        _open(run, going, overwrite, lock)
        logging.open(config, run.folder, logger)
    journal = RunJournal(run, logging)
    with closing(logging), _explained(config):
        fabric.barrier()
        if going is None:
            look_beforehand(run)
        if config.row.solved:
            known, checked = run.data.training(), run.data.splits.val
            solve(run.learner, config, training.feed, known, checked, journal)
            journal.keep_model()
        elif stopped := fit(run.learner, config, training.feed, journal, going and going.state):
            again = f" --method {config.method}" if is_outside(config.method) else ""
            place = run.folder.path
            raise Interrupted(
                f"stopped, the model so far is kept; go on with: longtail train --resume {place}{again}",
                stopped,
            )
        keep_mined(run)
        _use_kept(run)
        calibrate(run)
        journal.keep_epochs()
        _evaluate(run, logging)
    if fabric.is_global_zero:
        for file in run.folder.unfinished:
            file.unlink(missing_ok=True)
    fabric.barrier()


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
        rehearse(run.learner, run.config, feed)
    if not run.fabric.is_global_zero:
        return []
    sizes = ", ".join(f"{len(run.data.splits.of(name)):,} {name}" for name in SPLITS)
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


def _prepared(
    config: TrainConfig,
    overwrite: bool,
    watcher: Watcher | None,
    resume: bool = False,
    allow_changed_data: bool = False,
    rehearsed: bool = False,
) -> tuple[Training, Going | None]:
    """Everything that a training, or its rehearsal, has before its first step; where it resumes."""
    allow(config.method)
    expect_installed(config.log_to)
    folder, config = folder_of(config), with_whole_paths(config)
    config, state, found = unfinished(folder, config) if resume else (config, None, [])
    if state is None and is_first_process():
        folder.check_free(overwrite)  # before the work, and again when it is claimed
    fabric = launch(config.accelerator, config.devices, config.precision)
    watcher = watcher if watcher is not None and fabric.is_global_zero else Silent()
    for note in found:
        watcher.say(note)
    dataset, splits = read_and_split(config, watcher, None if state is None else folder.splits)
    going = None if state is None else going_on(folder, state, dataset, watcher, allow_changed_data)
    # a run that goes on has decided
    choice = chosen(config, facts_of(config, dataset, splits, fabric.device.type)) if state is None else None
    config, notes = (config, ()) if choice is None else (choice.config, choice.notes)
    beginning = begin(config, None if state is None else folder)
    data = prepare_data(fabric, config, beginning, dataset, splits, watcher, rehearsed=rehearsed)
    training = prepare_training(fabric, config, beginning, data, folder, watcher, state)
    return replace(training, notes=(*notes, *training.notes)), going


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


def _open(run: Run, going: Going | None, overwrite: bool, lock: RunLock) -> None:
    """Claim the folder of a new run, or take the epochs after the state out of a resumed one."""
    folder = run.folder
    if going is None:
        folder.claim(overwrite, lock)
        CONFIG.write(folder.config, run.config)
        SPLITS_FILE.write(folder.splits, run.data.splits.named(run.data.dataset.ids))
        ORIGIN.write(folder.origin, Origin.begun(folder, run.data.dataset, run.config.start))
        EPOCHS.write_lines(folder.metrics, [])
        return
    folder.sweep()
    for file in folder.judged:
        file.unlink(missing_ok=True)
    kept = [record for record in EPOCHS.read_lines(folder.metrics) if record.epoch <= going.state.epoch]
    EPOCHS.write_lines(folder.metrics, kept)
    ORIGIN.write(folder.origin, going.origin)


def _evaluate(run: Run, logging: Logging) -> None:
    """Results and report of a finished training, on test images, or else on validation images."""
    split = run.data.splits.measured
    if split is None:
        run.watcher.say("no images were kept for a test or for validation: the model is not evaluated")
        return
    judged = judge(run, run.data, split)
    if run.fabric.is_global_zero:
        publish(run, judged)
        logging.results(judged.results, run.epochs[-1].step)
