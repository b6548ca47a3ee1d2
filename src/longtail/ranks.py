"""The processes of a job: the rows of all of them are one batch, to mining, means and norms."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from longtail.norms import WholeBatchNorms


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
    """The rows of all processes in one tensor, with the exact gradient.

    Row i of the result is row i // W of process i % W: the order in which one process would have them, where
    rows are dealt in turn, as longtail and torch's `DistributedSampler` do. Every process then computes the
    same loss L of the whole batch. Data-parallel training averages parameter gradients over the W processes,
    so each must contribute W · ∂L/∂(its own rows) for the average to be the gradient of L; the backward pass
    needs no communication.

    Without a process group, or with a single process, the tensor itself is returned.

    Args:
        tensor: (N, ...), of the same shape in every process. Fill a smaller batch up with unlabelled (-1)
            rows, which count for nothing in a loss.

    Raises:
        ValueError: on a CPU, in all processes, when they have different numbers of rows. On a GPU to look
            would stall the device in every step; TORCH_DISTRIBUTED_DEBUG=DETAIL has torch look there.
    """
    if not _has_others():
        return tensor
    return _Gather.apply(tensor)  # pyright: ignore[reportReturnType]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004
        tensor = tensor.contiguous()
        if tensor.device.type == "cpu":
            _expect_equal(len(tensor))
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor)
        return torch.stack(parts, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # noqa: ARG004
        return grad_outputs[0][dist.get_rank() :: dist.get_world_size()] * dist.get_world_size()


def _has_others() -> bool:
    """Whether other processes compute with this one."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _expect_equal(rows: int) -> None:
    """Refuse different numbers of rows before they are exchanged: gloo ends the process, or waits."""
    own = torch.tensor(rows)
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    found = [int(part) for part in parts]
    if len(set(found)) > 1:
        raise ValueError(
            f"gather_ranks: expected as many rows in every process, got {', '.join(map(str, found))}; drop "
            "the last batch, or fill it up with unlabelled (-1) rows"
        )


_ONE_BATCH = ContextVar("one_batch", default=False)


@contextmanager
def one_batch() -> Generator[None]:
    """In this context the rows of all processes count as one batch, for the model and for its losses.

    Means over labelled rows divide by how many there are in all processes together, and batch normalisation
    takes the statistics of all rows. The average over processes of a loss and of its gradient, which
    data-parallel training takes, is then the loss of the whole batch and its gradient. All processes must
    enter it alike, around forward pass and loss; the backward pass may lie outside. With one process, and
    outside of this context, nothing is exchanged.

    Example:
        >>> from longtail.losses.cross_entropy import cross_entropy
        >>> with one_batch():
        ...     loss = cross_entropy(torch.zeros(2, 3), torch.tensor([0, -1]))
        >>> loss
        tensor(1.0986)
    """
    before = _ONE_BATCH.set(True)
    try:
        with WholeBatchNorms() if _has_others() else nullcontext():
            yield
    finally:
        _ONE_BATCH.reset(before)


def processes_together() -> int:
    """How many processes share the batch: W within `one_batch`, otherwise 1."""
    together = _has_others() and _ONE_BATCH.get()  # in this order torch.compile sees a constant
    return dist.get_world_size() if together else 1


def batch_mean(values: Tensor, mask: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """`masked_mean`, within `one_batch` over the rows of all processes: see `batch_ratio`."""
    return batch_ratio((values * mask).sum(dim), mask.sum(dim))


def batch_ratio(total: Tensor, count: Tensor) -> Tensor:
    """What this process adds to a mean over the whole batch.

        W t_r / max(1, Σ_q n_q),     whose average over the W processes is  Σ_r t_r / max(1, Σ_q n_q)

    Args:
        total: t_r, sum over the rows of this process.
        count: n_r, how many those are; without gradient.
    """
    if (world := processes_together()) > 1:
        total, count = total * world, count.detach().clone()
        dist.all_reduce(count)
    return total / count.clamp(min=1)


@torch.no_grad()
def average_ranks(values: Tensor) -> Tensor:
    """Within `one_batch` the average over processes, without gradient."""
    if (world := processes_together()) == 1:
        return values
    whole = values / world
    dist.all_reduce(whole)
    return whole


def in_all_ranks(found: Tensor) -> Tensor:
    """(n,) bool on the CPU, n the same in every process: what is true in all of them."""
    if not _has_others():
        return found
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    counts = found.to(device, torch.uint8)
    dist.all_reduce(counts, dist.ReduceOp.MIN)
    return counts.cpu() > 0


def rows_of_batch(rows: Tensor, order: Tensor) -> Tensor:
    """This process's part of all processes' rows in another order, without gradient.

    With the whole batch x in the order of `gather_ranks`, row i of process r becomes x[order[i W + r]]. Each
    process receives as many rows as it has, whatever W is. Without `one_batch` it is rows[order].

    Args:
        rows: (N, ...), of the same shape in every process.
        order: (W N,) int64, the same in every process, on the CPU.
    """
    if (world := processes_together()) == 1:
        return rows[order.to(rows.device)]
    rank = dist.get_rank()
    asked = [own[own % world == rank] // world for own in order.view(-1, world).unbind(1)]
    wanted = order[rank::world] % world  # the process that each of its rows comes from
    received = torch.empty_like(rows, memory_format=torch.contiguous_format)
    sizes = torch.bincount(wanted, minlength=world).tolist(), [len(places) for places in asked]
    dist.all_to_all_single(received, rows[torch.cat(asked).to(rows.device)].contiguous(), *sizes)
    return received[wanted.argsort(stable=True).argsort().to(rows.device)]


@torch.no_grad()
def share_state(module: nn.Module) -> None:
    """Give every process the parameters and buffers that the first one has."""
    if not _has_others():
        return
    for tensor in module.state_dict().values():
        whole = tensor.contiguous()
        dist.broadcast(whole, 0)
        tensor.copy_(whole)
