"""The processes of a job, and rows of all of them: mining sees the whole batch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Processes(Protocol):
    """The processes of a job, and this one's device; a launched Fabric is one."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        ...

    @property
    def world_size(self) -> int:
        """How many processes there are."""
        ...

    @property
    def global_rank(self) -> int:
        """Which of them this is, from 0."""
        ...

    @property
    def is_global_zero(self) -> bool:
        """Whether it is the first, which writes files."""
        ...

    def autocast(self) -> AbstractContextManager[None]:
        """In this context numbers have the precision of the job."""
        ...

    def barrier(self) -> None:
        """Wait for all of them."""
        ...


def gather_ranks(tensor: Tensor) -> Tensor:
    """The tensors of all processes, one after the other along dimension 0, with the exact gradient.

    Every process then computes the same loss L of the whole batch. Data-parallel training averages
    parameter gradients over the W processes, so each must contribute W · ∂L/∂(its own rows) for the
    average to be the gradient of L; the backward pass needs no communication.

    Without a process group, or with a single process, the tensor itself is returned.

    Args:
        tensor: (N, ...), of the same shape in every process. Uneven batches are padded by the
            caller with unlabelled (-1) rows, which count for nothing in the loss.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return tensor
    return _Gather.apply(tensor)  # pyright: ignore[reportReturnType]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        world = dist.get_world_size()
        ctx.rows = tensor.shape[0]
        parts = [torch.empty_like(tensor) for _ in range(world)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        first = dist.get_rank() * ctx.rows
        return grad_outputs[0][first : first + ctx.rows] * dist.get_world_size()
