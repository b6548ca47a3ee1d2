"""Batch normalisation by the rows of all processes, as one process would do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm
from torch.nn.modules._functions import SyncBatchNorm
from torch.overrides import TorchFunctionMode

from longtail.tensors import full_precision


class WholeBatchNorms(TorchFunctionMode):
    """In this context every batch normalisation that learns takes the statistics of all processes' rows.

    It takes the place of the function below the modules. So no module is replaced, names of parameters stay,
    and a norm of another library that has an activation in it (timm) keeps that.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The function itself, unless it is `batch_norm`."""
        return (whole_batch_norm if func is batch_norm else func)(*args, **(kwargs or {}))


def whole_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, with the mean and variance of the rows of all processes.

    Processes may have different numbers of rows. Running statistics are the same in all of them afterwards.

    Raises:
        ValueError: when there is a single value per channel in all processes together.
        RuntimeError: without gradient where it learns, as reentrant activation checkpointing runs it: what is
            computed again in the backward pass lies outside of the context, and would have the statistics
            of one process. (Without reentry torch sees that other tensors are kept, and refuses it.)
    """
    if not training:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if not torch.is_grad_enabled() and weight is not None and weight.requires_grad:
        raise RuntimeError(
            "one_batch: batch normalisation learns here without gradient, as in activation checkpointing; "
            "leave it out of what is checkpointed, or put it into evaluation mode"
        )
    running = running_mean, running_var
    if input.is_cuda:  # its kernels fuse what `_Norm` does in steps; torch has none for a CPU
        group = dist.group.WORLD, dist.get_world_size()
        return SyncBatchNorm.apply(input, weight, bias, *running, eps, momentum, *group)
    return _Norm.apply(input, weight, bias, *running, momentum, eps)  # pyright: ignore[reportReturnType]


class _Norm(torch.autograd.Function):
    """y = w (x - μ) / √(σ² + ε) + b, with μ and σ² over the rows of all processes.

    With g = ∂L/∂y, x̂ = (x - μ) / √(σ² + ε) and means over the same rows,

        ∂L/∂x = w / √(σ² + ε) · (g - mean(g) - x̂ mean(g x̂))
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        mean, squares, count = _moments(full_precision(x))
        if count <= 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got {tuple(x.shape)}")
        variance = squares / count
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((squares / (count - 1)).to(running_var), momentum)
        # in another number than `batch_norm` keeps, so that a checkpoint cannot take the one for the other
        ctx.save_for_backward(x, weight, torch.stack([mean, (variance + eps).rsqrt()]))
        ctx.count = count
        return batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, (mean, scale) = ctx.saved_tensors
        slope, wide = full_precision(grad_outputs[0]), _beside(x.ndim)
        normed = (full_precision(x) - mean[wide]) * scale[wide]
        own = torch.stack([slope.sum(_but_channels(x)), (slope * normed).sum(_but_channels(x))])
        whole = own.clone()
        dist.all_reduce(whole)
        constant, along = whole / ctx.count
        factor = scale if weight is None else scale * weight
        grad = (slope - constant[wide] - normed * along[wide]) * factor[wide]
        of_weight, of_bias = (None, None) if weight is None else (own[1].to(weight), own[0].to(weight))
        return grad.to(x.dtype), of_weight, of_bias, None, None, None, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and sum of squared differences from it, per channel, and the number of values of a channel.

    Each process gives its own three, and they are merged: no difference of large sums, in one exchange.
    """
    dims = _but_channels(x)
    rows = x.numel() // x.shape[1]
    own = x.sum(dims) / max(rows, 1)
    apart = (x - own[_beside(x.ndim)]).square().sum(dims)
    mine = torch.stack([own, apart, torch.full_like(own, rows)])
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    means, squares, counts = torch.stack(parts, 1)  # (W, C) each
    count = counts.sum(0).clamp(min=1)
    mean = (counts * means).sum(0) / count
    return mean, (squares + counts * (means - mean).square()).sum(0), float(count[0])


def _but_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _beside(dims: int) -> tuple[slice | None, ...]:
    """An index that makes (C,) as wide as (N, C, ...)."""
    return (None, slice(None), *(None,) * (dims - 2))
