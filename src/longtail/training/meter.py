"""Means over the batches of an epoch, kept on the device until they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Sums and counts of named tensors; entries that are NaN are left out of their mean."""

    def __init__(
        self, sums: dict[str, Tensor] | None = None, counts: dict[str, Tensor] | None = None
    ) -> None:
        self.sums = sums or {}
        self.counts = counts or {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one batch."""
        for name, value in values.items():
            value = value.detach().float()
            present = ~value.isnan()
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.nan_to_num(0.0)
            self.counts[name] = self.counts.get(name, torch.zeros_like(value)) + present

    def means(self) -> dict[str, Any]:
        """Means as plain numbers and nested lists, None where nothing was counted."""
        return {name: _plain((self.sums[name] / self.counts[name]).tolist()) for name in self.sums}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if value != value else value
