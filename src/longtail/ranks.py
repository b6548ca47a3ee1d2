"""The processes of a job: the rows of all of them are one batch, to mining, means and norms."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, cast, final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from longtail.norms import WholeBatchNorms
from longtail.tensors import full_precision


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


def gather_for_share(tensor: Tensor) -> Tensor:
    """The rows of all processes, for a loss of which each process computes a share.

    Rows and their order are those of `gather_ranks`, whose arguments and errors it has. Each process has
    gradients of its own share, and the backward pass gives each row their sum over processes. That sum is
    W · ∂L/∂row if the gradient of a share is W times what it adds to that of the loss L of the whole batch,
    as with `RankShare.totals`.
    """
    return _GatherForShare.apply(tensor) if _has_others() else tensor  # pyright: ignore[reportReturnType]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004
        return _gathered(tensor)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # noqa: ARG004
        return grad_outputs[0][dist.get_rank() :: dist.get_world_size()] * dist.get_world_size()


class _GatherForShare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004
        return _gathered(tensor)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # noqa: ARG004
        for_each = grad_outputs[0].unflatten(0, (-1, dist.get_world_size())).transpose(0, 1).contiguous()
        own = torch.empty_like(for_each)
        # as much traffic as a reduce-scatter, which gloo has not in every torch, and the same order of adding
        dist.all_to_all_single(own, for_each)
        return full_precision(own).sum(0).to(own.dtype)


def _gathered(tensor: Tensor) -> Tensor:
    tensor = tensor.contiguous()
    if tensor.device.type == "cpu":
        _expect_equal(len(tensor))
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor)
    return torch.stack(parts, 1).flatten(0, 1)


@final
@dataclass(frozen=True)
class RankShare:
    """The share of process r of W in a sum over rows or anchors; a `Share` of `longtail.rectification`."""

    rank: int
    processes: int

    def totals(self, *parts: Tensor) -> list[Tensor]:
        """Sums over all processes, each of its own type, in one exchange.

        Every process computes the same loss L of them, of which it can give its own part alone a gradient.
        The average over processes needs W · ∂L/∂(its own part), so the gradient that arrives is W times
        that of the sum; the backward pass needs no communication.
        """
        if self.processes == 1:
            return list(parts)
        together = torch.cat([part.flatten().double() for part in parts])  # whole numbers are exact in it
        whole = cast(Tensor, _Total.apply(together)).split([part.numel() for part in parts])
        return [total.view_as(part).to(part.dtype) for total, part in zip(whole, parts, strict=True)]

    @torch.no_grad()
    def largest(self, value: Tensor) -> Tensor:
        """The largest of all processes."""
        if self.processes == 1:
            return value
        largest = value.clone()
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest


def own_share() -> RankShare:
    """That of this process; all of it where there are no others."""
    return RankShare(dist.get_rank(), dist.get_world_size()) if _has_others() else RankShare(0, 1)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:  # noqa: ARG004
        whole = part.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # noqa: ARG004
        return grad_outputs[0] * dist.get_world_size()


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
