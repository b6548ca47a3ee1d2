"""Small branches beside the layers of a vision transformer, which learn while it stays as it is."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from longtail.errors import InputError

SHARE = 0.01
"""Of the network's parameters, what all adapters together may have."""

MARK = ".adapter."
"""What the names of their parameters in a network have in them."""

SCALE = 0.1
"""s, how much an adapter counts, as in its paper."""


class Adapter(nn.Module):
    """A bottleneck that adds to what a layer gives; nothing at first.

        y + s · U relu(D LN(x)),     U = 0 at first

    Args:
        width: of x and y.
        bottleneck: of D.

    Source: Chen et al., "AdaptFormer", NeurIPS 2022, section 3.2; for long tails with a logit-adjusted loss
    Shi et al., "Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts", ICML 2024.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.kaiming_uniform_(self.down.weight, nonlinearity="relu")
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) -> the same, what is added."""
        return SCALE * self.up(torch.relu(self.down(self.norm(x))))


def add_adapters(network: nn.Module, name: str) -> list[Adapter]:
    """Put an adapter beside the MLP of every block of a transformer; its other parameters keep their names.

    An adapter reads what the MLP reads, so its own norm comes after that of the block. Bottlenecks are as
    wide as `SHARE` allows.

    Raises:
        InputError: when the network, called `name` in messages, is no transformer of such blocks.
    """
    blocks: list[nn.Module] = [*getattr(network, "blocks", ())]
    if not blocks or not all(isinstance(getattr(block, "mlp", None), nn.Module) for block in blocks):
        raise InputError(
            f"--finetune adapters: {name} is no vision transformer; name one, such as --backbone "
            "timm:vit_small_patch16_224, or choose --finetune last"
        )
    width = cast(int, network.num_features)
    room = SHARE * sum(parameter.numel() for parameter in network.parameters()) / len(blocks)
    bottleneck = max(1, int((room - 3 * width) / (2 * width + 1)))  # beside D and U a norm and two biases
    adapters = [Adapter(width, bottleneck) for _ in blocks]
    for block, adapter in zip(blocks, adapters, strict=True):
        block.adapter = adapter
        cast(nn.Module, block.mlp).register_forward_hook(partial(_add, adapter))
    return adapters


def _add(adapter: Adapter, _: nn.Module, inputs: tuple[Tensor, ...], given: Tensor) -> Tensor:
    return given + adapter(inputs[0])
