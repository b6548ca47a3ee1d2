"""Devices, processes and precision of a job."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from longtail.errors import InputError, first_line
from longtail.runs.heartbeat import Company, watch_processes
from longtail.runs.launcher import Launcher, find_launcher

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h

_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def launch(accelerator: str = "auto", devices: int = 1, precision: str = "32") -> Fabric:
    """Start the processes of a job, or join those that torchrun or srun started; each returns from here.

    Raises:
        InputError: when the machine has no such device, or other processes were started than asked for.
    """
    launcher = find_launcher(devices)
    if sys.flags.safe_path:
        os.environ["PYTHONSAFEPATH"] = "1"  # nor do the others import what lies in the current folder
    from lightning_fabric import Fabric  # its import takes about as long as that of torch

    try:
        with _without_remarks(), warnings.catch_warnings():
            # Fabric would go on in another precision than the one asked for
            warnings.filterwarnings("error", "You passed .*AMP with fp16 is not supported")
            fabric = Fabric(
                accelerator=accelerator,
                devices=launcher.devices,
                num_nodes=launcher.nodes,
                strategy="ddp" if launcher.devices * launcher.nodes > 1 else "auto",
                precision=_PRECISION[precision],
                plugins=_environment(launcher),
            )
    except UserWarning:
        raise InputError(f"--precision {precision}: not on this device, expected 32 or bf16") from None
    except (RuntimeError, ValueError) as error:
        asked = f"--accelerator {accelerator} --devices {launcher.devices}"
        raise InputError(f"{asked}: not on this machine ({first_line(error)})") from None
    with _without_remarks():
        cast(Any, fabric).launch()
    if fabric.world_size > 1 and not _company:
        started = getattr(cast(Any, fabric).strategy.launcher, "procs", ())
        _company.append(watch_processes(fabric.global_rank, fabric.world_size, started))
    if fabric.device.type == "cpu":
        keep_freed_memory()
    return fabric


@contextmanager
def _without_remarks() -> Generator[None]:
    """Fabric says on standard error in which precision and process it begins, whoever calls it."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _environment(launcher: Launcher) -> Any:
    """What tells Fabric its place among the processes; it would take a batch script of Slurm for a task."""
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if launcher.kind == "srun":
        return SLURMEnvironment(auto_requeue=False)
    return TorchElasticEnvironment() if launcher.kind == "torchrun" else LightningEnvironment()


def explain_broken(error: RuntimeError) -> None:
    """End with a line that names the process to which the connection broke, if that is what happened."""
    for company in _company:
        company.explain(error)


_company: list[Company] = []
"""The processes of this job: at most one, since a process that trains several times starts them once."""


@dataclass(frozen=True)
class OneProcess:
    """A process that computes alone, in full precision, and trains nothing; see `Processes`.

    Attributes:
        device: where.
    """

    device: torch.device
    world_size = 1
    global_rank = 0
    is_global_zero = True

    def autocast(self) -> nullcontext[None]:
        """Numbers stay as they are."""
        return nullcontext()

    def barrier(self) -> None:
        """There is nobody to wait for."""


def one_process(accelerator: str = "auto") -> OneProcess:
    """This process with the first device of a kind; of "auto" that which `launch` takes.

    Raises:
        InputError: when the machine has no such device.
    """
    found = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available(), "cpu": True}
    there = [kind for kind, is_there in found.items() if is_there]
    kind = there[0] if accelerator == "auto" else accelerator
    if kind not in there:
        kinds = ", ".join(["auto", *there])
        raise InputError(f"--accelerator {kind}: not on this machine, expected one of {kinds}")
    if kind == "cpu":
        keep_freed_memory()
    return OneProcess(torch.device(kind, 0) if kind == "cuda" else torch.device(kind))


def keep_freed_memory() -> None:
    """Have the C library keep the memory that tensors give back for the next ones (Linux, glibc).

    Left to itself it gives large pieces back to the system, which has to clear them before it hands them
    out again: the same gigabytes in every training step, for up to a third of its time.
    """
    allocator = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if allocator is not None:
        allocator(_M_MMAP_MAX, 0)
        allocator(_M_TRIM_THRESHOLD, -1)
