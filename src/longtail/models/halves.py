"""The two parts of a network that was not written to be cut, as those of timm: found, then tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

STAGES = ("blocks", "stages", "layers", "layer4")
"""What networks call the parts whose last one is the last stage, or that stage itself."""


CLOSE = 1e-5
"""Largest difference between the parts and the whole, as a share of the length of the vectors."""


def halves_of(network: nn.Module, images: Tensor) -> tuple[nn.Module, nn.Module] | None:
    """Images -> what the last stage is given, and from there -> vectors; None where no such parts are found.

    A network's parts stand in the order in which images pass them; how many of those after the last stage
    come before the network's own `forward_head` is found by trying, on random images of the given shape.

    Args:
        network: in evaluation mode, images -> vectors.
        images: of the shape that it takes.
    """
    name = next((name for name in STAGES if hasattr(network, name)), None)
    if name is None or not hasattr(network, "forward_head"):
        return None
    parts = dict(network.named_children())
    place = [*parts].index(name)
    before, stage, rest = [*parts.values()][:place], parts[name], [*parts.values()][place + 1 :]
    *earlier, last = [stage] if name == "layer4" else stage.children()
    stem, some = _Until(network, [*before, *earlier], last), torch.rand_like(images)
    with torch.no_grad():
        expected = network(some)
        for taken in range(len(rest) + 1):
            tail = _From(last, rest, taken, cast("Callable[[Tensor], Tensor]", network.forward_head))
            if _equal(stem, tail, some, expected):
                return stem, tail
    return None


def _equal(stem: nn.Module, tail: nn.Module, images: Tensor, expected: Tensor) -> bool:
    try:
        found = tail(stem(images))
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False  # parts that do not fit behind each other
    if found.shape != expected.shape:
        return False
    return bool((found - expected).norm() < CLOSE * expected.norm())  # fresh weights may give tiny vectors


class _Reached(Exception):
    """The last stage was reached, with these maps."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps


class _Until(nn.Module):
    """A network until its last stage: what that is given.

    Its parts are those that images pass before; the network as a whole is none of them.
    """

    def __init__(self, network: nn.Module, parts: list[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.own = nn.ParameterList(network.parameters(recurse=False))  # position embedding, class token
        self._run = network.forward
        self._last = (last,)  # in a tuple, a module is no part

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, ...)."""
        handle = self._last[0].register_forward_pre_hook(_stop, with_kwargs=True)
        try:
            self._run(images)
        except _Reached as reached:
            return reached.maps
        finally:
            handle.remove()
        raise RuntimeError("the last stage was not reached")


def _stop(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    maps, *more = inputs
    if more or any(value is not None for value in named.values()):
        raise ValueError("the last stage is given more than maps")  # such as a rotation by place
    raise _Reached(maps)


class _From(nn.Module):
    """The last stage, the parts of the network that follow it, and the network's way to vectors."""

    def __init__(
        self, last: nn.Module, rest: list[nn.Module], taken: int, head: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.last = last
        self.rest = nn.ModuleList(rest)
        self._taken = taken
        self._head = head

    def forward(self, maps: Tensor) -> Tensor:
        """(N, ...) -> (N, B)."""
        maps = self.last(maps)
        for part in [*self.rest][: self._taken]:
            maps = part(maps)
        return self._head(maps)
