"""How often a training chose each image to compare others with."""

from __future__ import annotations

import torch
from torch import Tensor


class Choices:
    """Counts on the device of the training, without waiting for it: 8 bytes for each image of the data set.

    They are no buffer, so that neither models nor the exchange between processes carry them.

    Args:
        images: N, of the data set.

    Attributes:
        times: (2, N) int32, pairs in which an image was the hard positive, and the hard negative.
    """

    def __init__(self, images: int) -> None:
        self.times = torch.zeros(2, images, dtype=torch.int32)

    @torch.no_grad()
    def add(self, index: Tensor, chosen: Tensor) -> None:
        """Count a batch.

        Args:
            index: (n,) int64 rows of the data set; a row may be there twice.
            chosen: (2, n), see `Rectification.chosen`.
        """
        if self.times.device != index.device:
            self.times = self.times.to(index.device)
        self.times.index_add_(1, index, chosen.to(torch.int32))

    def restore(self, times: Tensor | None) -> None:
        """Go on from the counts of a stopped training; from 0 where it kept none, or had other images."""
        if times is not None and times.shape == self.times.shape:
            self.times = times.to(self.times, copy=True)
