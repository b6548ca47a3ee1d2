"""The training loop: flat, and the same for every method."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from longtail.errors import InputError
from longtail.images.load import ImageLoader
from longtail.methods.context import EpochContext
from longtail.sampling.epochs import Sampler
from longtail.training.config import TrainConfig
from longtail.training.interruption import Interruption
from longtail.training.learner import Learner
from longtail.training.meter import Meter
from longtail.training.schedule import learning_rate

Place = tuple[int, int, int]
"""Of a batch: epoch, step, process."""


class Observer(Protocol):
    """Who watches a training: a progress bar, a log."""

    def step(self, epoch: int, step: int, steps: int, meter: Meter) -> None:
        """After each step; reading the meter waits for the device."""
        ...

    def epoch(self, record: dict[str, Any]) -> None:
        """After each epoch, with its line of metrics.jsonl."""
        ...


@dataclass(frozen=True, eq=False)
class Feed:
    """Where batches come from.

    Attributes:
        loader: rows -> uint8 images.
        sampler: epoch -> rows.
        parts: the place of a batch and its number of images -> the parts of them that the loader is to
            decode; None where it gives whole images.
        prepare: uint8 images on the device and the place of their batch -> augmented and normalised images.
        features: rows -> features of their images as they are, for methods that look at them.
    """

    loader: ImageLoader
    sampler: Sampler
    parts: Callable[[Place, int], Tensor] | None
    prepare: Callable[[Tensor, Place], Tensor]
    features: Callable[[NDArray[np.int64]], Tensor]


def fit(
    fabric: Fabric,
    learner: Learner,
    config: TrainConfig,
    feed: Feed,
    *,
    validate: Callable[[], dict[str, float | None] | None],
    observer: Observer,
    save: Callable[[dict[str, Any]], None],
    state: dict[str, Any] | None = None,
) -> bool:
    """Train, and say whether the training came to its end.

    SGD with momentum under `learning_rate`; each step minimises the sum of the method's loss terms.
    The state is saved after every epoch, and after the current step when the user interrupts; a
    training that goes on from it takes the same steps as one that was never interrupted.

    Args:
        fabric: launched; decides devices, processes and precision.
        learner: model and method, changed in place.
        config: the recipe.
        feed: batches.
        validate: figures after an epoch, or None.
        observer: is told of steps and epochs.
        save: keeps a state.
        state: to go on from.

    Raises:
        InputError: when the loss is no longer finite, before it can spoil the weights.
    """
    optimizer = torch.optim.SGD(
        learner.parameters(),
        lr=config.peak_rate,
        momentum=config.momentum,
        weight_decay=config.decay,
        nesterov=config.momentum > 0,
    )
    module, stepper = fabric.setup(learner, optimizer)
    meter, epoch, step, seconds = Meter(), 0, 0, 0.0
    layout: tuple[NDArray[np.int64], NDArray[np.int64] | None] | None = None
    if state is not None:
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        meter = Meter(*(_to_device(part, fabric.device) for part in state["meter"]))
        epoch, step, seconds = state["epoch"], state["step"], state["seconds"]
        layout = _layout_of(state)

    def snapshot() -> dict[str, Any]:
        return {
            "learner": learner.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "meter": (meter.sums, meter.counts),
            "epoch": epoch,
            "step": step,
            "seconds": seconds,
            # a method may have laid the epoch out by features that are no longer there
            "layout": None if layout is None or step == 0 else [_tensor(part) for part in layout],
        }

    with Interruption() as interruption:
        while epoch < config.epochs:
            waited, first, began = feed.loader.wait_seconds, step, time.perf_counter()
            context = EpochContext(epoch, config.epochs, step, learner.model, feed.features)
            learner.method.start_epoch(context)
            learner.train()
            if layout is None:
                layout = feed.sampler.batches(epoch), feed.sampler.tasks(epoch)
            rows, tasks = layout
            steps, batch_size = rows.shape
            rate = 0.0
            own = [_own(batch, fabric) for batch in rows[step:]]
            places = [(epoch, number, fabric.global_rank) for number in range(step, steps)]
            parts = None if feed.parts is None else map(feed.parts, places, map(len, own))
            for place, (images, labels, index) in zip(places, feed.loader.batches(own, parts), strict=True):
                rate = learning_rate(
                    epoch * steps + step, config.epochs * steps, config.peak_rate, config.warmup
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                images = feed.prepare(images.to(fabric.device, non_blocking=True), place)

                labels, index = labels.to(fabric.device), index.to(fabric.device)
                terms, mined = module(images, labels, index, _task(tasks, step, fabric))
                total = torch.stack(list(terms.values())).sum()
                stop = _stop(fabric, total, terms, interruption.requested, epoch, step)

                fabric.backward(total)
                if config.clip_gradient is not None:
                    fabric.clip_gradients(module, stepper, max_norm=config.clip_gradient)
                stepper.step()
                stepper.zero_grad()

                meter.add(
                    {"total": total, **terms, **{f"mined/{name}": value for name, value in mined.items()}}
                )
                step += 1
                observer.step(epoch, step, steps, meter)
                if stop:
                    seconds += time.perf_counter() - began
                    save(snapshot())
                    return False

            learner.method.end_epoch(context)
            elapsed = time.perf_counter() - began
            seconds += elapsed
            record = {
                "epoch": epoch + 1,
                "step": (epoch + 1) * steps,
                "learning_rate": rate,
                "seconds": seconds,
                "images_per_second": (step - first) * batch_size / elapsed,
                "input_wait_share": (feed.loader.wait_seconds - waited) / elapsed,
                **_figures(meter),
                "validation": validate(),
            }
            observer.epoch(record)
            meter, epoch, step, seconds, layout = Meter(), epoch + 1, 0, 0.0, None
            save(snapshot())
    return True


def _own(batch: NDArray[np.int64], fabric: Fabric) -> NDArray[np.int64]:
    """What of a batch belongs to this process."""
    return np.ascontiguousarray(batch[fabric.global_rank :: fabric.world_size])


def _stop(
    fabric: Fabric, total: Tensor, terms: dict[str, Tensor], requested: bool, epoch: int, step: int
) -> bool:
    """Whether any process was asked to stop; all processes leave together.

    Raises:
        InputError: when the loss of any process is not finite.
    """
    finite = bool(total.isfinite())
    if fabric.world_size > 1:
        flags = torch.tensor([float(not finite), float(requested)], device=fabric.device)
        broken, asked = cast(Tensor, fabric.all_reduce(flags, reduce_op="sum")).tolist()
        finite, requested = not broken, bool(asked)
    if finite:
        return requested
    values = ", ".join(f"{name} = {float(value.detach()):.4g}" for name, value in terms.items())
    raise InputError(
        f"epoch {epoch + 1}, step {step + 1}: the loss is no longer finite ({values}); the weights were not "
        "updated with it; try a smaller --learning-rate, --clip-gradient 1, or --precision 32"
    )


def _figures(meter: Meter) -> dict[str, Any]:
    """Loss terms and, where the method mines, what it mined."""
    means = meter.means()
    mined = {name.removeprefix("mined/"): value for name, value in means.items() if name.startswith("mined/")}
    loss = {name: value for name, value in means.items() if not name.startswith("mined/")}
    return {"loss": loss, "mined": mined} if mined else {"loss": loss}


def _layout_of(state: dict[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64] | None] | None:
    """The batches of a stopped epoch, None where the next one begins."""
    if state["layout"] is None:
        return None
    rows, tasks = state["layout"]
    return rows.numpy(), None if tasks is None else tasks.numpy()


def _tensor(part: NDArray[np.int64] | None) -> Tensor | None:
    return None if part is None else torch.from_numpy(np.ascontiguousarray(part))


def _task(tasks: NDArray[np.int64] | None, step: int, fabric: Fabric) -> Tensor | None:
    """This process's columns of the attributes that a batch is drawn for."""
    if tasks is None:
        return None
    return torch.from_numpy(_own(tasks[step], fabric)).to(fabric.device)


def _to_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
