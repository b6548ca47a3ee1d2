"""state.pt: what a training needs to go on. It holds plain values and tensors, and is never unpickled."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtail.errors import InputError, first_line
from longtail.files import written_aside
from longtail.methods.choices import Choices
from longtail.training.feed import Feed, Layout
from longtail.training.meter import Meter


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training between two steps; its fields are the keys of the file.

    Attributes:
        learner: weights and buffers of model and method.
        optimizer: its state.
        rng: of torch's global generator.
        device_rng: of the device's, None on a CPU.
        scale: by which gradients of 16 bits are multiplied, and how it grows; empty in other precisions.
        meter: sums and counts of the epoch so far.
        epoch: that is under way, counted from 0.
        step: next step of it.
        seconds: that it took so far.
        layout: rows and tasks of its batches, where a step of it was taken.
        choices: how often each image was mined so far, see `Choices`; None where nothing is counted.
        processes: that the batches are made for: as many as the training began with.
    """

    learner: dict[str, Any]
    optimizer: dict[str, Any]
    rng: Tensor
    meter: tuple[dict[str, Tensor], dict[str, Tensor]]
    epoch: int
    step: int
    seconds: float
    layout: tuple[Tensor, Tensor | None] | None
    choices: Tensor | None
    processes: int
    device_rng: Tensor | None
    scale: dict[str, Any]

    def __post_init__(self) -> None:
        if self.epoch < 0 or self.step < 0:
            raise ValueError(f"expected an epoch and a step from 0 up, got {self.epoch} and {self.step}")
        if self.processes < 1:
            raise ValueError(f"expected a number of processes from 1 up, got {self.processes}")
        if self.layout is not None and self.step > len(self.layout[0]):
            raise ValueError(f"expected a step of an epoch of {len(self.layout[0])}, got {self.step}")

    @classmethod
    def of(
        cls,
        learner: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        feed: Feed,
        meter: Meter,
        epoch: int,
        step: int,
        seconds: float,
        choices: Choices | None = None,
    ) -> TrainingState:
        """The state of a training, as `restore` puts it back."""
        layout = None
        if step and feed.layout is not None:
            rows, tasks = feed.layout.rows, feed.layout.tasks
            layout = torch.tensor(rows), None if tasks is None else torch.tensor(tasks)
        fabric = feed.fabric
        return cls(
            learner=learner.state_dict(),
            optimizer=optimizer.state_dict(),
            rng=torch.get_rng_state(),
            meter=(meter.sums, meter.counts),
            epoch=epoch,
            step=step,
            seconds=seconds,
            layout=layout,
            choices=choices and choices.times,
            processes=feed.processes,
            device_rng=None if fabric.device.type == "cpu" else _generator(fabric.device).get_rng_state(),
            scale=fabric.strategy.precision.state_dict(),
        )

    def for_other_rows(self) -> TrainingState:
        """The same from the start of its epoch, without what is known of rows that now hold other images."""
        return replace(self, step=0, seconds=0.0, meter=({}, {}), layout=None, choices=None)

    def restore(self, learner: torch.nn.Module, optimizer: torch.optim.Optimizer, feed: Feed) -> Meter:
        """Put weights, optimizer, random numbers and batches back, and give back what was measured so far.

        Raises:
            InputError: when they are not of this training.
        """
        try:
            return self._restore(learner, optimizer, feed)
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"--resume: the state is not that of this training ({first_line(error)}); start again with "
                "--overwrite"
            ) from None

    def _restore(self, learner: torch.nn.Module, optimizer: torch.optim.Optimizer, feed: Feed) -> Meter:
        learner.load_state_dict(self.learner)
        optimizer.load_state_dict(self.optimizer)
        torch.set_rng_state(self.rng)
        fabric = feed.fabric
        if self.device_rng is not None and fabric.device.type != "cpu":
            _generator(fabric.device).set_rng_state(self.device_rng)
        if self.scale:
            fabric.strategy.precision.load_state_dict(self.scale)
        if self.layout is not None:
            rows, tasks = self.layout
            feed.layout = Layout(self.epoch, rows.numpy(), None if tasks is None else tasks.numpy())
        sums, counts = ({name: x.to(fabric.device) for name, x in part.items()} for part in self.meter)
        return Meter(sums, counts)


def _generator(device: torch.device) -> Any:  # torch has no name for what these modules have in common
    """The module that holds the random numbers of a GPU."""
    return torch.get_device_module(device)


SEAL = b"sha256"
"""What stands between the content of a file and its checksum, at its end."""


def save_state(path: Path, state: TrainingState, before: Path | None = None) -> None:
    """Write a state with a checksum aside first, then rename it; the one that was there becomes `before`."""
    content = io.BytesIO()  # torch reports a full disk in words of its own
    torch.save(vars(state), content)
    checksum = sha256(content.getbuffer()).digest()
    content.seek(0, io.SEEK_END)
    content.write(SEAL + checksum)
    with written_aside(path) as aside:
        aside.write_bytes(content.getbuffer())
        if before is not None and path.exists():
            path.replace(before)


def load_state(path: Path) -> TrainingState:
    """The state that `save_state` wrote; only tensors and plain values are accepted.

    Raises:
        InputError: when the file is missing, damaged, of another version, or holds anything else.
    """
    content = _sealed(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles of other programs; they are refused
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # what a reader raises on damage is any of a dozen
        raise InputError(
            f"{path}: damaged, or not a state that longtail wrote; nothing in it was run"
        ) from None
    if not isinstance(found, dict) or set(found) != {field.name for field in fields(TrainingState)}:
        raise InputError(
            f"{path}: not a state of this version of longtail; go on with the version that wrote it, or "
            "start again with --overwrite"
        )
    try:
        return TrainingState(**found)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); start again with --overwrite") from None


def _sealed(path: Path) -> bytes:
    """The content of a file whose checksum is right."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no training to go on with; start again with --overwrite") from None
    size = len(content) - len(SEAL) - sha256().digest_size
    held = content[: max(size, 0)]
    if content[len(held) :] != SEAL + sha256(held).digest():
        raise InputError(
            f"{path}: damaged, or not a state that this version of longtail wrote (its checksum is wrong)"
        )
    return held
