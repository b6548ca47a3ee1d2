"""A share of the anchors for each process, and what processes must tell each other then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

from torch import Tensor


class Share(Protocol):
    """Process r of W mines the anchors r, r + W, … of all, and sums are taken over all processes.

    Every process then knows the loss L of all anchors, and its gradient is W times what its own anchors add
    to that of L: their average over processes is the gradient of L.
    """

    @property
    def rank(self) -> int:
        """r."""
        ...

    @property
    def processes(self) -> int:
        """W."""
        ...

    def totals(self, *parts: Tensor) -> list[Tensor]:
        """The sum of each over all processes, of its own type; a gradient arrives times W in each of them."""
        ...

    def largest(self, value: Tensor) -> Tensor:
        """The largest of all processes, without gradient."""
        ...


@final
@dataclass(frozen=True)
class Alone:
    """All anchors, where there is nobody to share them with."""

    rank: int = 0
    processes: int = 1

    def totals(self, *parts: Tensor) -> list[Tensor]:
        """The parts."""
        return list(parts)

    def largest(self, value: Tensor) -> Tensor:
        """The value."""
        return value


ALONE = Alone()
