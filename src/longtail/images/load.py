"""From rows of a data set to uint8 batches: decoded once and kept where memory allows, else streamed."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.dataset import Dataset
from longtail.errors import InputError
from longtail.images.decode import Part, Size, printable
from longtail.images.decoder import CHUNK, Decoded, Decoder, Group, Stream
from longtail.images.normalise import measure_normalisation
from longtail.settings import MOST_BITS
from longtail.threads import Progress

Rows = Sequence[int] | NDArray[np.int64]
"""Row numbers of a data set."""

HostBatch = tuple[Tensor, Tensor, Tensor]
"""Before the device: images (N, C, H, W) uint8, labels (N, J) int64, rows of the data set (N,) int64.

The channels of a pixel lie side by side in memory, as an image is decoded."""

CACHE_BYTES = 2**30
"""Most memory for decoded images, in every process that trains."""


MEASURED = 2048
"""Most images that mean and deviation of the channels are measured on."""


class Unreadable(NamedTuple):
    """An image that cannot be decoded: its row, its name, and what is wrong with it."""

    row: int
    name: str
    reason: str


class Loader(Protocol):
    """What gives the network its input: images, or vectors in their place."""

    wait_seconds: float

    @property
    def size(self) -> Size:
        """(height, width) of the images."""
        ...

    @property
    def cached(self) -> bool:
        """Whether what it gives is kept whole, so that it can be cropped only afterwards."""
        ...

    @property
    def unreadable(self) -> list[Unreadable]:
        """What `readable` left out, in the order found."""
        ...

    def batches(
        self, batch_indices: Iterable[Rows], parts: Iterable[Tensor] | None = None
    ) -> Iterator[HostBatch]:
        """One batch for every group of rows, in order."""
        ...

    def readable(self, indices: Rows) -> NDArray[np.int64]:
        """The rows whose images can be decoded, in the order given."""
        ...


class ImageLoader:
    """Gives the images and labels of any rows, batch by batch, in the order asked for.

    Where all images of the data set fit into `cache_bytes` once decoded (N C H W bytes), each is decoded
    when it is first asked for, and kept. Otherwise `workers` processes decode ahead; without them,
    threads of this process decode when a batch is asked for. All three give the same bytes.

    Args:
        dataset: where images and labels come from. Several threads read its store at once.
        size: H, W of the batches.
        bits: that values of 16 bits use.
        workers: processes that decode ahead, where the images do not fit.
        skip_unreadable: whether `readable` leaves out images that cannot be decoded, or stops.
        cache_bytes: most memory for decoded images, in every process that trains.
        on_progress: hears of every few images that `readable` decodes.

    Attributes:
        size: as given.
        unreadable: what `readable` left out, in the order found.
        wait_seconds: how long the consumers of `batches` have waited for them, all in all.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: Size,
        *,
        bits: int = MOST_BITS,
        workers: int = 0,
        skip_unreadable: bool = False,
        cache_bytes: int = CACHE_BYTES,
        on_progress: Progress | None = None,
    ) -> None:
        self.size = size
        self.unreadable: list[Unreadable] = []
        self.wait_seconds = 0.0
        self._dataset = dataset
        self._decoder = Decoder(dataset.images, size, bits)
        self._workers = workers
        self._skip_unreadable = skip_unreadable
        self._on_progress = on_progress
        needed = len(dataset) * 3 * size[0] * size[1]
        self._cache = self._decoder.empty(len(dataset)) if needed <= cache_bytes else None
        # Rows that were decoded: into the cache, or, where there is none, to see whether they can be.
        self._known = np.zeros(len(dataset), np.bool_)
        self._idle_streams: list[Stream] = []

    @property
    def cached(self) -> bool:
        """Whether decoded images are kept in memory."""
        return self._cache is not None

    def batches(
        self, batch_indices: Iterable[Rows], parts: Iterable[Tensor] | None = None
    ) -> Iterator[HostBatch]:
        """One batch for every group of rows, in order.

        The groups are taken as they are needed, a few ahead where processes decode; no work before the
        first batch grows with the size of the data set.

        Args:
            batch_indices: groups of rows.
            parts: for every group (N, 4) int64, the rectangles that its images show, see `decode`; not
                where images are kept, since they are kept whole.

        Raises:
            InputError: when an image cannot be decoded; it names the image and what is wrong. No image
                is ever left out here: only draw batches from what `readable` returned.
        """
        if parts is not None and self.cached:
            raise ValueError("parts: images of this loader are kept whole")
        groups = _groups(batch_indices, parts)
        streamed = self._cache is None and self._workers > 0
        source = self._streamed(groups) if streamed else (self._decoded(*group) for group in groups)
        # An error keeps this frame alive. Workers must end before: collected later, in a cycle, they
        # have lost the queue that tells them to, and are waited for five seconds.
        with closing(source):
            for rows, images in self._timed(source):
                if isinstance(images, InputError):
                    raise self._refusal(images)
                labels = torch.from_numpy(self._dataset.labels[rows])
                yield images.permute(0, 3, 1, 2), labels, torch.from_numpy(rows)

    def readable(self, indices: Rows) -> NDArray[np.int64]:
        """The rows whose images can be decoded, in the order given.

        With `skip_unreadable` all of them are decoded, and `unreadable` lists those left out. Without it
        the first one stops; images that are not kept in memory are then first looked at in their batch.

        Raises:
            InputError: when an image cannot be decoded and is not to be skipped, or when none can be.
        """
        rows = _as_rows(indices)
        kept = self.decodable(rows)
        if len(rows) > 0 and len(kept) == 0:
            last = self.unreadable[-1]
            raise InputError(f"none of the {len(rows):,} images can be read; {last.name}: {last.reason}")
        return kept

    def decodable(self, indices: Rows) -> NDArray[np.int64]:
        """The same as `readable`, but there may be none.

        Raises:
            InputError: when an image cannot be decoded and is not to be skipped.
        """
        rows = _as_rows(indices)
        if self._cache is None and not self._skip_unreadable:
            return rows
        listed = {item.row for item in self.unreadable}
        for row, error in self._decode_unknown(rows, self._on_progress):
            if not self._skip_unreadable:
                raise self._refusal(error)
            if row not in listed:
                name = self._dataset.images.name(row)
                self.unreadable.append(Unreadable(row, name, str(error).removeprefix(f"{printable(name)}: ")))
        return rows[self._known[rows]]

    def normalisation(
        self, indices: Rows, sample: int = MEASURED
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of every channel over at most `sample` rows, spread evenly.

        Raises:
            InputError: as `batches`.
            ValueError: when there are no rows.
        """
        rows = _as_rows(indices)
        chosen = rows[np.linspace(0, len(rows) - 1, min(sample, len(rows))).astype(np.int64)]
        groups = np.array_split(chosen, max(1, len(chosen) // 128))
        return measure_normalisation(images for images, _, _ in self.batches(groups))

    def _decoded(self, rows: NDArray[np.int64], parts: list[Part] | None) -> Decoded:
        """Images that threads of this process decode, or that are taken from the cache."""
        if self._cache is None:
            return self._decoder.with_threads((rows, parts))
        for _, error in self._decode_unknown(rows, None):
            return rows, error
        return rows, self._cache.index_select(0, torch.from_numpy(rows))

    def _decode_unknown(
        self, rows: NDArray[np.int64], on_progress: Progress | None
    ) -> Iterator[tuple[int, InputError]]:
        """Decodes the rows that were not decoded before; gives those that fail."""
        missing = np.unique(rows[~self._known[rows]])
        results = self._decoder.in_threads(missing, None, self._cache, missing)
        for done, (row, error) in enumerate(results, start=1):
            if error is None:
                self._known[row] = True
            else:
                yield row, error
            if on_progress and (done % CHUNK == 0 or done == len(missing)):
                on_progress(done, len(missing))

    def _streamed(self, groups: Iterable[Group]) -> Generator[Decoded, None, None]:
        """Images of groups of rows, decoded ahead by worker processes."""
        stream = self._idle_streams.pop() if self._idle_streams else Stream(self._decoder, self._workers)
        yield from stream.run(groups)
        # A stream left half-way is not used again: its workers still hold what nobody asked for.
        self._idle_streams.append(stream)

    def _timed(self, source: Iterator[Decoded]) -> Iterator[Decoded]:
        while True:
            start = time.perf_counter()
            item = next(source, None)
            self.wait_seconds += time.perf_counter() - start
            if item is None:
                return
            yield item

    def _refusal(self, error: InputError) -> InputError:
        if self._skip_unreadable:
            return InputError(f"{error}; it was not checked beforehand, or has changed since")
        return InputError(f"{error}; repair or remove it, or pass --skip-unreadable to leave such images out")


def _groups(batch_indices: Iterable[Rows], parts: Iterable[Tensor] | None) -> Iterator[Group]:
    if parts is None:
        return ((_as_rows(rows), None) for rows in batch_indices)
    pairs = zip(batch_indices, parts, strict=True)
    return ((_as_rows(rows), cast("list[Part]", own.tolist())) for rows, own in pairs)


def _as_rows(rows: Rows) -> NDArray[np.int64]:
    return np.asarray(rows, np.int64)
