"""Who started the processes of a job: nobody yet, torchrun, or Slurm's srun. No torch here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from longtail.errors import InputError
from longtail.words import count


@dataclass(frozen=True)
class Launcher:
    """Where the processes come from, and how many there are.

    Attributes:
        kind: "own" where the job starts its processes itself.
        devices: processes on this machine.
        nodes: machines.
        rank: of this process among all; None where the job starts them itself.
    """

    kind: Literal["own", "torchrun", "srun"]
    devices: int
    nodes: int = 1
    rank: int | None = None


def find_launcher(devices: int, environment: Mapping[str, str] = os.environ) -> Launcher:
    """The launcher that started this process; `devices` is what the user asks for, 1 says nothing.

    A batch script of Slurm is no launcher: its processes are started by srun, as one step of the job.

    Raises:
        InputError: when the user asks for other processes than were started.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        here, all_ = (_number(environment, name) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        _expect(devices, here, "torchrun", f"torchrun --nproc-per-node {devices}")
        return Launcher("torchrun", here, all_ // here, _number(environment, "RANK"))
    if "SLURM_STEP_ID" in environment and "SLURM_NTASKS" in environment:
        nodes, all_ = _number(environment, "SLURM_NNODES", 1), _number(environment, "SLURM_NTASKS")
        if all_ % nodes:
            raise InputError(
                f"srun: started {all_} tasks on {nodes} machines; ask for as many on each, with "
                "--ntasks-per-node"
            )
        here = all_ // nodes
        _expect(devices, here, "srun", f"srun --ntasks-per-node {devices}")
        if all_ > 1:
            return Launcher("srun", here, nodes, _number(environment, "SLURM_PROCID"))
    return Launcher("own", devices)


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the first process of a job, before or after the others were started."""
    rank = find_launcher(1, environment).rank
    if rank is not None:
        return rank == 0
    return all(environment.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))


def _expect(asked: int, started: int, launcher: str, instead: str) -> None:
    if asked not in (1, started):
        raise InputError(
            f"--devices {asked}: {launcher} started {count(started, 'process', 'processes')} on this "
            f"machine; leave --devices out, or use {instead}"
        )


def _number(environment: Mapping[str, str], name: str, usual: int | None = None) -> int:
    try:
        found = int(environment[name])
    except (KeyError, ValueError):
        if usual is not None:
            return usual
        raise InputError(f"{name}: expected a number in the environment of a launched process") from None
    return found
