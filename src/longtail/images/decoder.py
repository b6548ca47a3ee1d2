"""Decodes rows of a store, in this thread or in all of a process."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from longtail.data.dataset import ImageStore
from longtail.errors import InputError
from longtail.images.decode import Part, Pixels, Size, decode, refuse

Group = tuple[NDArray[np.int64], list[Part] | None]
"""Rows, and the rectangles that their images show; None: the whole images."""

Decoded = tuple[NDArray[np.int64], Tensor | InputError]
"""Rows and their images (N, H, W, C) uint8, or what is wrong with the first that cannot be decoded."""

Result = tuple[int, InputError | None]
"""A row, and what is wrong with its image."""

CHUNK = 32
"""Most images a task of the thread pool: a small one is decoded faster than a task is started."""


class Decoder(TorchDataset[Decoded]):
    """Decodes rows of a store; what worker processes get a copy of.

    Args:
        store: where the files lie.
        size: H, W of the images.
        channels: 3 for RGB, 1 for grey.
    """

    def __init__(self, store: ImageStore, size: Size, channels: int) -> None:
        self.store = store
        self.size = size
        self.channels = channels

    def empty(self, images: int) -> Tensor:
        """(N, H, W, C) uint8, not yet filled."""
        return torch.empty((images, *self.size, self.channels), dtype=torch.uint8)

    def __getitem__(self, group: Group) -> Decoded:
        rows, parts = group
        images = self.empty(len(rows))
        return _first_fault(rows, images, self._fill(rows, parts, images, np.arange(len(rows))))

    def with_threads(self, group: Group) -> Decoded:
        """The same with a thread for every processor."""
        rows, parts = group
        images = self.empty(len(rows))
        return _first_fault(rows, images, self.in_threads(rows, parts, images, np.arange(len(rows))))

    def in_threads(
        self,
        rows: NDArray[np.int64],
        parts: list[Part] | None,
        out: Tensor | None,
        places: NDArray[np.int64],
    ) -> Iterator[Result]:
        """Decode rows into their places of `out`: the decoders let other threads run meanwhile."""
        if len(rows) == 0:
            return
        threads = _processors()
        size = min(CHUNK, math.ceil(len(rows) / threads))

        def fill(start: int) -> list[Result]:
            piece = slice(start, start + size)
            return list(self._fill(rows[piece], parts and parts[piece], out, places[piece]))

        with ThreadPoolExecutor(threads) as pool:
            try:
                for results in pool.map(fill, range(0, len(rows), size)):
                    yield from results
            finally:
                pool.shutdown(cancel_futures=True)  # when the first failure stopped it

    def _fill(
        self,
        rows: NDArray[np.int64],
        parts: list[Part] | None,
        out: Tensor | None,
        places: NDArray[np.int64],
    ) -> Iterator[Result]:
        target = None if out is None else out.numpy()
        for row, part, place in zip(
            rows.tolist(), parts or repeat(None, len(rows)), places.tolist(), strict=True
        ):
            try:
                pixels = self._image(row, part)
            except InputError as error:
                yield row, error
                continue
            if target is not None:
                target[place] = pixels
            yield row, None

    def _image(self, row: int, part: Part | None) -> Pixels:
        name = self.store.name(row)
        try:
            data = self.store.read(row)
        except OSError as error:
            reason = error.strerror or str(error).removeprefix(f"{name}: ")
            refuse(name, f"cannot be read ({reason})")
        return decode(data, name, self.size, self.channels, part)


def _first_fault(rows: NDArray[np.int64], images: Tensor, results: Iterator[Result]) -> Decoded:
    return rows, next((error for _, error in results if error is not None), images)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
