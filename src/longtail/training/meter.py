"""Means over the batches of an epoch, kept on the device until they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

_MINED = "mined/"


class Means(NamedTuple):
    """Plain numbers and nested lists, None where nothing was counted.

    Attributes:
        loss: of each term, "total" among them.
        mined: of what the method counts in a batch; empty for methods that do not mine.
    """

    loss: dict[str, float | None]
    mined: dict[str, Any]


@dataclass(eq=False)
class Meter:
    """Sums and counts of named tensors; entries that are NaN are left out of their mean."""

    sums: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    counts: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def add(self, terms: Mapping[str, Tensor], mined: Mapping[str, Tensor]) -> None:
        """Add the loss terms of one batch, and what was mined in it."""
        for name, value in {**terms, **{_MINED + name: value for name, value in mined.items()}}.items():
            value = value.detach().float()
            there, known = (~value.isnan()).float(), value.nan_to_num(0.0)
            before = name in self.sums
            self.sums[name] = self.sums[name] + known if before else known
            self.counts[name] = self.counts[name] + there if before else there

    def means(self) -> Means:
        """What was added, each divided by the batches that counted."""
        found = {name: _plain((self.sums[name] / self.counts[name]).tolist()) for name in self.sums}
        mined = {name: found.pop(name) for name in self.sums if name.startswith(_MINED)}
        return Means(found, {name.removeprefix(_MINED): x for name, x in mined.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if value != value else value
