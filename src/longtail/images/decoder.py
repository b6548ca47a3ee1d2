"""Decodes rows of a store: in this thread, in all of a process, or ahead in worker processes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from longtail.data.dataset import ImageStore
from longtail.errors import InputError
from longtail.images.decode import Part, Pixels, Size, decode, refuse
from longtail.settings import MOST_BITS
from longtail.threads import cores

Group = tuple[NDArray[np.int64], list[Part] | None]
"""Rows, and the rectangles that their images show; None: the whole images."""

Decoded = tuple[NDArray[np.int64], Tensor | InputError]
"""Rows and their images (N, H, W, C) uint8, or what is wrong with the first that cannot be decoded."""

Result = tuple[int, InputError | None]
"""A row, and what is wrong with its image."""

CHUNK = 32
"""Most images per task of the thread pool: a small one is decoded faster than a task is started."""


class Decoder(TorchDataset[Decoded]):
    """Decodes rows of a store. Each worker process gets a copy of it.

    Args:
        store: where the files lie.
        size: H, W of the images.
        bits: that values of 16 bits use.
    """

    def __init__(self, store: ImageStore, size: Size, bits: int = MOST_BITS) -> None:
        self.store = store
        self.size = size
        self.bits = bits

    def empty(self, images: int) -> Tensor:
        """(N, H, W, 3) uint8, not yet filled."""
        return torch.empty((images, *self.size, 3), dtype=torch.uint8)

    def __getitem__(self, group: Group) -> Decoded:
        return self._gathered(group, self._fill)

    def with_threads(self, group: Group) -> Decoded:
        """The same with a thread for every processor."""
        return self._gathered(group, self.in_threads)

    def _gathered(self, group: Group, fill: Callable[..., Iterator[Result]]) -> Decoded:
        rows, parts = group
        images = self.empty(len(rows))
        results = fill(rows, parts, images, np.arange(len(rows)))
        return rows, next((error for _, error in results if error is not None), images)

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
        threads = cores()
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
        shown = parts or [None] * len(rows)
        for row, part, place in zip(rows.tolist(), shown, places.tolist(), strict=True):
            try:
                pixels = self._image(row, part)
                if out is not None:
                    out.numpy()[place] = pixels
                yield row, None
            except InputError as error:
                yield row, error

    def _image(self, row: int, part: Part | None) -> Pixels:
        name = self.store.name(row)
        try:
            data = self.store.read(row)
        except OSError as error:
            reason = error.strerror or str(error).removeprefix(f"{name}: ")
            refuse(name, f"cannot be read ({reason})")
        return decode(data, name, self.size, part, self.bits)


class Stream:
    """Worker processes that decode ahead; they live on between two runs."""

    def __init__(self, decoder: Decoder, workers: int) -> None:
        self._groups = _Groups()
        self._loader: DataLoader[Decoded] = DataLoader(
            decoder,
            batch_size=None,
            sampler=self._groups,
            num_workers=workers,
            collate_fn=_unchanged,
            worker_init_fn=_open_own_store,
            persistent_workers=True,
            generator=torch.Generator(),  # else a seed for the workers is drawn from the global generator
        )

    def run(self, groups: Iterable[Group]) -> Iterator[Decoded]:
        """Images of every group of rows, in order."""
        self._groups.current = groups
        return iter(self._loader)


class _Groups:
    """What a stream is to decode next: a data loader keeps its workers only as long as its sampler."""

    def __init__(self) -> None:
        self.current: Iterable[Group] = ()

    def __iter__(self) -> Iterator[Group]:
        return iter(self.current)


def _unchanged(decoded: Any) -> Any:
    return decoded


def _open_own_store(_worker: int) -> None:
    # A forked worker inherits open files, and with them one reading position shared by all processes.
    # Copying goes through the same hooks as pickling, after which a store opens what it needs anew.
    decoder = cast("Decoder", cast("Any", get_worker_info()).dataset)
    decoder.store = copy.copy(decoder.store)
