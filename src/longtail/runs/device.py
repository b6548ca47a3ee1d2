"""Devices, processes and precision of a job."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from typing import Any, cast

from lightning_fabric import Fabric

from longtail.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h

_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def launch(accelerator: str = "auto", devices: int = 1, precision: str = "32") -> Fabric:
    """Start the processes of a job; with several, each of them returns from here.

    Raises:
        InputError: when the machine has no such device.
    """
    try:
        with warnings.catch_warnings():
            # Fabric would go on in another precision than the one asked for
            warnings.filterwarnings("error", "You passed .*AMP with fp16 is not supported")
            fabric = Fabric(
                accelerator=accelerator,
                devices=devices,
                strategy="ddp" if devices > 1 else "auto",
                precision=_PRECISION[precision],
            )
    except UserWarning:
        raise InputError(f"--precision {precision}: not on this device, expected 32 or bf16") from None
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--accelerator {accelerator} --devices {devices}: not on this machine ({reason})"
        ) from None
    cast(Any, fabric).launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
    return fabric


def keep_freed_memory() -> None:
    """Have the C library keep the memory that tensors give back for the next ones (Linux, glibc).

    Left to itself it gives large pieces back to the system, which has to clear them before it hands them
    out again: the same gigabytes in every training step, for up to a third of its time.
    """
    allocator = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if allocator is not None:
        allocator(_M_MMAP_MAX, 0)
        allocator(_M_TRIM_THRESHOLD, -1)


def is_first_process() -> bool:
    """Whether this is the process that a person started, before or after `launch`."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0
