"""Images that worker processes decode ahead."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, get_worker_info

from longtail.images.decoder import Decoded, Decoder, Group


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
