"""Rows that share a number, and drawing inside or outside of such a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Groups:
    """M members in the order of their numbers, and for each of n askers the members with its number.

    Attributes:
        members: (M,) int64.
        start: (n,) int64, where in `members` the group of each asker begins.
        stop: (n,) int64, where it ends; equal to `start` where there is no such member.
    """

    members: Ints
    start: Ints
    stop: Ints

    @classmethod
    def of(cls, members: Ints, numbers: Ints, asked: Ints) -> Groups:
        """Groups of (M,) members with (M,) numbers, for (n,) numbers that are asked for."""
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        start, stop = (np.searchsorted(ordered, asked, side) for side in ("left", "right"))
        return cls(members[order], start, stop)

    @property
    def size(self) -> Ints:
        """(n,) members with the number of each asker."""
        return self.stop - self.start

    @property
    def others(self) -> Ints:
        """(n,) members with another number."""
        return len(self.members) - self.size

    def inside(self, askers: Ints, rng: np.random.Generator) -> Ints:
        """For each of these askers a random member with its number; it must have one."""
        return self.members[self.start[askers] + rng.integers(self.size[askers])]

    def outside(self, askers: Ints, rng: np.random.Generator) -> Ints:
        """For each of these askers a random member with another number; there must be one."""
        place = self.stop[askers] + rng.integers(self.others[askers])
        return self.members[place % len(self.members)]

    def visits(self, inside: NDArray[np.float64], outside: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M,) expected visits of each member when asker i draws `inside[i]` and `outside[i]` times."""
        near = np.divide(inside, self.size, out=np.zeros_like(inside), where=self.size > 0)
        far = np.divide(outside, self.others, out=np.zeros_like(outside), where=self.others > 0)
        change = np.zeros(len(self.members) + 1)  # from one member to the next
        np.add.at(change, self.start, near - far)
        np.subtract.at(change, self.stop, near - far)
        return far.sum() + np.cumsum(change)[:-1]
