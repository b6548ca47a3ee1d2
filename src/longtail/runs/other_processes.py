"""A training goes on with another number of processes than it began with."""

from __future__ import annotations

from dataclasses import replace

from torch import nn
from torch.nn.modules.dropout import _DropoutNd  # pyright: ignore[reportPrivateUsage]

from longtail.errors import InputError
from longtail.runs.launcher import find_launcher
from longtail.sampling.epochs import Sampler
from longtail.training.config import TrainConfig
from longtail.words import count


def with_devices(config: TrainConfig, asked: int | None = None) -> TrainConfig:
    """The configuration of a run that goes on with as many processes as are asked for, or were started.

    Where neither says anything, it is as many as the run says.
    """
    if asked is not None:
        return replace(config, devices=asked)
    return config if find_launcher(1).kind == "own" else replace(config, devices=1)


def other_processes(
    config: TrainConfig, network: nn.Module, sampler: Sampler, began: int, now: int
) -> tuple[str, ...]:
    """What is no longer equal bit by bit; nothing where their number is the one that it began with.

    Args:
        config: of the training.
        network: that learns.
        sampler: of the batches that it goes on with.
        began: processes that it began with.
        now: processes that it goes on with.

    Raises:
        InputError: when they cannot share its batches.
    """
    if now == began:
        return ()
    if (block := sampler.block) % now:
        fitting = [str(number) for number in range(1, block + 1) if block % number == 0]
        several = ", ".join(fitting if len(fitting) < 9 else [*fitting[:7], "…"])
        raise InputError(
            f"--resume {config.output}: {count(now, 'process', 'processes')} cannot share its batches, which "
            f"were made for {began}; go on with one of {several}"
        )
    reasons = ["sums are taken in another order"]
    if any(isinstance(part, _DropoutNd) and part.p > 0 for part in network.modules()):
        reasons.append("dropout leaves out others")
    if config.method_options.crl.scope == "local":
        reasons.append("each process mines in another part of the batch")
    equal = "weights agree to rounding, not bit by bit" if len(reasons) == 1 else "weights are others"
    return (
        f"began with {count(began, 'process', 'processes')}, goes on with {now}: batches and augmentation "
        f"stay the same, but {' and '.join(reasons)}: {equal}",
    )
