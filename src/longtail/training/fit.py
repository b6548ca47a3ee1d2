"""The training loop: flat, and the same for every method."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.features.vectors import VectorLoader
from longtail.methods.context import EpochContext, Rows, TrainingData
from longtail.ranks import one_batch, share_state
from longtail.training.config import TrainConfig
from longtail.training.feed import Feed
from longtail.training.inference import outputs_of
from longtail.training.interruption import Interruption
from longtail.training.journal import Journal
from longtail.training.learner import TOTAL, Learner
from longtail.training.meter import Meter
from longtail.training.optimizer import build_optimizer, set_rates
from longtail.training.record import EpochRecord
from longtail.training.state import TrainingState


def fit(
    learner: Learner, config: TrainConfig, feed: Feed, journal: Journal, state: TrainingState | None = None
) -> signal.Signals | None:
    """Train; the signal that stopped it, or None when the training came to its end.

    Each step minimises the sum of the method's loss terms, by the optimizer of the configuration under
    `learning_rate`. The learner is changed in place. The journal is given its state before the first step,
    after steps and epochs whenever that is due, at the end, and after the current step when the user
    interrupts; a training that goes on from a `state` takes the same steps as one that was never interrupted.
    It ends when all epochs are done, or the journal has enough.

    Raises:
        InputError: when the loss is no longer finite, before it can spoil the weights.
    """
    fabric = feed.fabric
    optimizer = build_optimizer(learner, config)
    module, stepper = fabric.setup(learner, optimizer)
    meter, start, step, seconds = Meter(), 0, 0, 0.0
    choices = learner.method.choices
    if state is not None:
        meter = state.restore(learner, optimizer, feed)
        if choices is not None:
            choices.restore(state.choices)
        start, step, seconds = state.epoch, state.step, state.seconds
    taken = sum(map(feed.sampler.steps, range(start)))  # epochs of one method may differ in length

    def keep(epoch: int, seconds: float) -> None:
        journal.save(TrainingState.of(learner, optimizer, feed, meter, epoch, step, seconds, choices))

    def rates(epoch: int, step: int) -> None:
        set_rates(optimizer, epoch * feed.steps + step, config.planned_epochs * feed.steps, config.warmup)

    with Interruption() as interruption:
        if state is None:
            keep(0, 0.0)  # a training that is killed in its first epoch can go on, too
        for epoch in range(start, config.planned_epochs):
            if journal.has_enough():
                break
            began, waited, first = time.perf_counter(), feed.loader.wait_seconds, step
            context = _context(learner, config, feed, epoch, step)
            learner.method.start_epoch(context)
            learner.train()
            for batch in feed.epoch(epoch, step):
                rates(epoch, step)
                total, losses, mined = _losses(module, batch)
                losses, stop = _agree(fabric, losses, interruption.received is not None, epoch, step)
                _update(fabric, module, stepper, total, config.clip_gradient)
                meter.add(losses, mined)
                step += 1
                journal.step(epoch, step, feed.steps, meter)
                if stop or journal.is_due():
                    keep(epoch, seconds + time.perf_counter() - began)
                if stop:
                    return interruption.received or signal.SIGINT  # or another process was asked

            rates(epoch, feed.steps - 1)  # a resumed epoch may have had no step left
            learner.method.end_epoch(context)
            share_state(learner)  # what is judged is what the first process saves
            elapsed, means = time.perf_counter() - began, meter.means()
            seconds += elapsed
            taken += step
            journal.epoch(
                EpochRecord(
                    epoch=epoch + 1,
                    step=taken,
                    learning_rate=max(group["lr"] for group in optimizer.param_groups),
                    seconds=seconds,
                    images_per_second=(step - first) * feed.batch_size / elapsed,
                    input_wait_share=(feed.loader.wait_seconds - waited) / elapsed,
                    loss=means.loss,
                    mined=means.mined or None,
                    validation=journal.validate(),
                )
            )
            meter, step, seconds = Meter(), 0, 0.0
            if journal.is_due() or journal.has_enough():
                keep(epoch + 1, 0.0)
        # asked behind the last step; several processes would have to agree, and are nearly done
        return interruption.received if fabric.world_size == 1 else None


def solve(
    learner: Learner,
    config: TrainConfig,
    feed: Feed,
    data: TrainingData,
    validation: Rows,
    journal: Journal,
) -> None:
    """Train a method that needs no steps; arguments as of `fit`, with the rows that it may look at."""
    began = time.perf_counter()
    context = _context(learner, config, feed, 0, 0)
    solved = learner.method.solve(context, data, validation)
    share_state(learner)
    for note in solved.notes:
        journal.say(note)
    seconds = time.perf_counter() - began
    record = EpochRecord(
        epoch=1,
        step=1,
        learning_rate=0.0,
        seconds=seconds,
        images_per_second=len(data.rows) / seconds,
        input_wait_share=0.0,
        loss={TOTAL: solved.loss},
        validation=journal.validate(),
    )
    journal.epoch(record)


def rehearse(learner: Learner, config: TrainConfig, feed: Feed) -> None:
    """The first step of `fit` without its update: forward and backward pass of one batch.

    Raises:
        InputError: as `fit` does.
    """
    fabric = feed.fabric
    module, _ = fabric.setup(learner, build_optimizer(learner, config))
    learner.method.start_epoch(_context(learner, config, feed, 0, 0))
    learner.train()
    total, losses, _ = _losses(module, next(feed.epoch(0)))
    _agree(fabric, losses, False, 0, 0)
    fabric.backward(total)


def _context(learner: Learner, config: TrainConfig, feed: Feed, epoch: int, step: int) -> EpochContext:
    features = partial(outputs_of, feed.fabric, learner, feed.loader, learner.features)
    mirror = feed.loader.mirror if isinstance(feed.loader, VectorLoader) else None
    mirrored = mirror and partial(outputs_of, feed.fabric, learner, mirror, learner.features)
    return EpochContext(epoch, config.planned_epochs, step, learner.model, features, mirrored)


def _losses(module: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The sum that is minimised, with its terms behind it, and what was mined; see `one_batch`."""
    with one_batch():
        terms, mined = module(batch.images, batch.labels, batch.index, batch.task)
    total = torch.stack(list(terms.values())).sum()
    return total, {TOTAL: total, **terms}, mined


def _update(
    fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, total: Tensor, clip: float | None
) -> None:
    fabric.backward(total)
    if clip is not None:
        fabric.clip_gradients(module, optimizer, max_norm=clip)
    optimizer.step()
    optimizer.zero_grad()


def _agree(
    fabric: Fabric, losses: dict[str, Tensor], requested: bool, epoch: int, step: int
) -> tuple[dict[str, Tensor], bool]:
    """The losses of the whole batch, "total" first, and whether any process was asked to stop.

    All processes leave together.

    Raises:
        InputError: when the loss of any process is not finite.
    """
    losses = {name: value.detach().reshape(()).float() for name, value in losses.items()}
    if fabric.world_size > 1:
        own = torch.stack([*losses.values(), torch.tensor(float(requested), device=fabric.device)])
        *values, asked = cast(Tensor, fabric.all_reduce(own, reduce_op="mean")).unbind()
        losses, requested = dict(zip(losses, values)), bool(asked > 0)
    if bool(losses[TOTAL].isfinite()):
        return losses, requested
    values = ", ".join(f"{name} = {float(value):.4g}" for name, value in losses.items() if name != TOTAL)
    raise InputError(
        f"epoch {epoch + 1}, step {step + 1}: the loss is no longer finite ({values}); the weights were not "
        "updated with it; try a smaller --learning-rate, --clip-gradient 1, or --precision 32"
    )
