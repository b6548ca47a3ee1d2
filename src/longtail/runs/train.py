"""A whole training: read, train, evaluate, report."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from lightning_fabric import Fabric
from torch import Tensor

from longtail.data.dataset import SPLITS
from longtail.errors import InputError, Interrupted
from longtail.evaluation.metrics import evaluate as figures_of
from longtail.files import file_name
from longtail.methods.find import allow, allowed_again, is_outside
from longtail.methods.recipe import recipe
from longtail.runs.device import is_first_process, launch
from longtail.runs.evaluate import Trained, judge, predictions_of, publish
from longtail.runs.folder import RunFolder, read_json, write_json
from longtail.runs.preparation import (
    Prepared,
    augmentation,
    augmentation_name,
    model_card,
    normaliser,
    prepare,
    rows_of,
)
from longtail.runs.watcher import Silent, Watcher
from longtail.training.checkpoint import ModelCard, load_network, load_state, save_model, save_state
from longtail.training.config import TrainConfig
from longtail.training.fit import Feed, fit
from longtail.training.inference import extract_features, predict_scores
from longtail.training.learner import Learner
from longtail.training.record import EPOCHS, EpochRecord

MOST_WAIT = 0.02
"""Share of an epoch that a model may wait for images before the user hears of it."""


def train(
    config: TrainConfig, *, overwrite: bool = False, resume: bool = False, watcher: Watcher | None = None
) -> Path:
    """Train as configured, evaluate on the test images, and return the folder of the run.

    Args:
        config: the recipe.
        overwrite: replace a run that is there already.
        resume: go on with the unfinished run in `config.output`; its own config.json must agree.
        watcher: is told how it goes.

    Raises:
        InputError: when something the user gave cannot be used.
        Interrupted: when the user stopped the training; what was trained is kept.
    """
    watcher = watcher or Silent()
    allow(config.method)
    folder = RunFolder(Path(output_of(config)))
    config = with_whole_paths(config)
    state = _unfinished(folder, config) if resume else None
    if state is None and is_first_process():
        folder.check_free(overwrite)  # before the work, and again when it is claimed
    fabric = launch(config.accelerator, config.devices, config.precision)
    if not fabric.is_global_zero:
        watcher = Silent()

    prepared = prepare(config, watcher, folder.splits if resume else None)
    start = _start(config)
    card = model_card(config, prepared, start[1] if start else None)
    preset = augmentation_name(config, card.image_size)
    torch.manual_seed(config.seed)
    learner = card.build(pretrained=state is None and not config.from_scratch)
    if start is not None and state is None:
        _go_on_from(start, learner, card, config.start)
    learner.method.begin(learner.model)
    watcher.say(_what_is_trained(config, card, learner))
    sampler = learner.method.draw(prepared.training, config.batch_size, config.seed, fabric.world_size)
    for note in learner.method.observe(prepared.training, sampler, config.seed):
        watcher.say(note)
    if fabric.is_global_zero:
        _open(folder, config, prepared, state, overwrite)
    fabric.barrier()

    journal = _Journal(fabric, folder, learner, card, watcher)
    decision = recipe(config.method, config.method_options).decision
    trained = Trained(learner, card, config, journal.records, decision)
    try:
        finished = fit(
            fabric,
            learner,
            config,
            Feed(
                prepared.loader,
                sampler,
                *augmentation(card, preset, config.seed, prepared.loader),
                partial(extract_features, fabric, learner, prepared.loader, normaliser(card)),
            ),
            validate=lambda: _validation(fabric, trained, prepared),
            observer=journal,
            save=journal.save,
            state=state,
        )
    except torch.OutOfMemoryError:
        raise InputError(
            f"--batch-size {config.batch_size}: the device ran out of memory; try half of it"
        ) from None
    if not finished:
        again = f" --method {config.method}" if is_outside(config.method) else ""
        raise Interrupted(
            f"stopped, the model so far is kept; go on with: longtail train --resume {folder.path}{again}"
        )
    final = next((name for name in ("test", "val") if len(rows_of(prepared.splits, name))), None)
    if final is None:
        watcher.say("no images were kept for a test or for validation: the model is not evaluated")
    else:
        results = judge(fabric, trained, prepared.dataset, prepared.loader, prepared.splits, final, watcher)
        if fabric.is_global_zero:
            publish(folder, trained, results)
    if fabric.is_global_zero:
        folder.state.unlink(missing_ok=True)
    fabric.barrier()
    return folder.path


def plan(config: TrainConfig, *, overwrite: bool = False, watcher: Watcher | None = None) -> list[str]:
    """What `train` would do, in sentences; nothing is written.

    Raises:
        InputError: as `train` would.
    """
    watcher = watcher or Silent()
    allow(config.method)
    folder = RunFolder(Path(output_of(config)))
    folder.check_free(overwrite)
    prepared = prepare(config, watcher)
    start = _start(config)
    card = model_card(config, prepared, start[1] if start else None)
    learner = card.build()
    sampler = learner.method.draw(prepared.training, config.batch_size, config.seed, config.devices)
    sizes = ", ".join(f"{len(rows_of(prepared.splits, name))} {name}" for name in SPLITS)
    return [
        f"images: {sizes}",
        _what_is_trained(config, card, learner),
        *learner.method.observe(prepared.training, sampler, config.seed),
        f"augmentation: {augmentation_name(config, card.image_size)}",
        f"{config.epochs} epochs of {sampler.steps(0)} steps, batches of {config.batch_size}, "
        f"seed {config.seed}",
        f"the run would be written to {folder.path}"
        + (", in place of the one that is there" if folder.config.exists() else ""),
    ]


def output_of(config: TrainConfig) -> str:
    """The run's folder: as asked, or named after data, method and seed."""
    if config.output is not None:
        return config.output
    return f"runs/{Path(config.data).stem}-{file_name(config.method)}-seed{config.seed}"


def with_whole_paths(config: TrainConfig) -> TrainConfig:
    """The configuration with absolute paths, so that its run can be used from any folder."""
    data, images, start = map(_whole_path, (config.data, config.data_options.images, config.start))
    options = replace(config.data_options, images=images)
    return replace(config, data=data or config.data, start=start, data_options=options)


def _whole_path(path: str | None) -> str | None:
    """A path that exists as an absolute one; a built-in name, or a mistake, as it is."""
    return str(Path(path).absolute()) if path is not None and Path(path).exists() else path


def resumed_config(run: Path, method: str | None = None) -> TrainConfig:
    """The configuration of an unfinished run.

    Args:
        run: its folder.
        method: the method of the user's own that it trains.

    Raises:
        InputError: when there is none, the training came to its end, or its method is not named.
    """
    folder = RunFolder(run)
    config = TrainConfig.from_dict(read_json(folder.config))
    if not folder.state.exists():
        ended = (
            "its training came to its end" if folder.model.exists() else "it was stopped in its first epoch"
        )
        raise InputError(f"--resume {run}: nothing to go on with, {ended}")
    return replace(config, method=allowed_again(config.method, method))


class _Journal:
    """Writes what happens in the training to the run's folder, and passes it on to the watcher."""

    def __init__(
        self, fabric: Fabric, folder: RunFolder, learner: Learner, card: ModelCard, watcher: Watcher
    ) -> None:
        self.first = fabric.is_global_zero
        self.folder = folder
        self.learner = learner
        self.card = card
        self.records = EPOCHS.read_lines(folder.metrics)
        self.step = watcher.step
        self._watcher = watcher
        self._told = False

    def epoch(self, record: dict[str, Any]) -> None:
        self.records.append(msgspec.convert(record, EpochRecord))
        if self.first:
            EPOCHS.write_lines(self.folder.metrics, self.records)  # a line half written would block --resume
        self._watcher.epoch(record)
        if record["input_wait_share"] > MOST_WAIT and not self._told:
            self._told = True
            share = 100 * record["input_wait_share"]
            self._watcher.say(
                f"{share:.0f}% of the epoch was spent waiting for images; more --workers may help"
            )

    def save(self, state: dict[str, Any]) -> None:
        if self.first:
            save_model(self.folder.model, self.learner, self.card)
            save_state(self.folder.state, state)


def _open(
    folder: RunFolder, config: TrainConfig, prepared: Prepared, state: dict[str, Any] | None, overwrite: bool
) -> None:
    """Claim the folder of a new run, or take the epochs after the state out of a resumed one."""
    if state is None:
        folder.claim(overwrite)
        write_json(folder.config, config.to_dict())
        write_json(folder.splits, prepared.splits.to_dict(prepared.dataset.ids))
        return
    kept = [record for record in EPOCHS.read_lines(folder.metrics) if record.epoch <= state["epoch"]]
    EPOCHS.write_lines(folder.metrics, kept)


def _unfinished(folder: RunFolder, config: TrainConfig) -> dict[str, Any]:
    if (
        replace(resumed_config(folder.path, config.method), output=config.output) != config
    ):  # a run may have been moved
        raise InputError(f"--resume {folder.path}: a resumed run keeps its own settings, give no others")
    return load_state(folder.state)


def _validation(fabric: Fabric, trained: Trained, prepared: Prepared) -> dict[str, float | None] | None:
    rows = prepared.splits.val
    if not len(rows):
        return None
    scores = predict_scores(fabric, trained.learner, prepared.loader, rows, normaliser(trained.card))
    figures = figures_of(predictions_of(trained, prepared.dataset, rows, scores)).mean
    return msgspec.to_builtins(figures.map(lambda value: None if math.isnan(value) else value))


def _start(config: TrainConfig) -> tuple[dict[str, Tensor], ModelCard] | None:
    """The trained network that a training starts from, None where it starts afresh."""
    return None if config.start is None else load_network(RunFolder(Path(config.start)).model)


def _go_on_from(
    start: tuple[dict[str, Tensor], ModelCard], learner: Learner, card: ModelCard, run: str | None
) -> None:
    """Give a learner the network of a trained run.

    Raises:
        InputError: when the run has another network, or other attributes or classes.
    """
    weights, found = start
    for what in (
        "backbone",
        "features",
        "hidden",
        "shared_feature",
        "feature_layer",
        "image_size",
        "schema",
    ):
        if getattr(found, what) != getattr(card, what):
            said = "" if what == "schema" else f" {getattr(found, what)}, not {getattr(card, what)}"
            raise InputError(f"--from {run}: was trained with another {what.replace('_', ' ')}{said}")
    try:
        learner.model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"--from {run}: expected weights that fit their model card, got {reason}") from None


def _what_is_trained(config: TrainConfig, card: ModelCard, learner: Learner) -> str:
    height, width = card.image_size
    return (
        f"{config.method} on {card.backbone}, {learner.model.num_parameters:,} parameters, "
        f"images of {height}x{width} pixels"
    )
