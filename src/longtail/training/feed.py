"""Finished batches of a training: laid out, read, augmented, normalised, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from longtail.data.dataset import Batch
from longtail.features.vectors import VectorLoader
from longtail.images.augment import MIRROR, augment_and_normalise, crops, draw_mirrored, draw_parts
from longtail.images.changes import Share
from longtail.images.load import Loader
from longtail.sampling.epochs import Sampler


@dataclass(frozen=True, eq=False)
class Layout:
    """The batches of an epoch, those of all processes together.

    Attributes:
        epoch: counted from 0.
        rows: (steps, batch) int64, rows of the data set.
        tasks: (steps, batch) int64 attribute that each image is drawn for, or None.
    """

    epoch: int
    rows: NDArray[np.int64]
    tasks: NDArray[np.int64] | None


@dataclass(eq=False)
class Feed:
    """Gives the batches of any epoch, to each process its own part of them.

    The random numbers of a batch are a function of seed, epoch and step, so that a resumed epoch goes on with
    the batches that it would have had, and an image is changed alike however many processes there are.

    Attributes:
        fabric: launched.
        loader: reads the images.
        sampler: lays out an epoch.
        augmentation: name of the preset.
        seed: of the augmentation.
        mean, std: what images are normalised by.
        layout: of the epoch that was begun last. A stopped training keeps it: a method may have laid it
            out by features that are no longer there.
        processes: that the batches were made for; another number may share them, see `Sampler.block`.
    """

    fabric: Fabric
    loader: Loader
    sampler: Sampler
    augmentation: str
    seed: int
    mean: Sequence[float]
    std: Sequence[float]
    layout: Layout | None = None
    processes: int = 1

    def epoch(self, epoch: int, from_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from a step on; they are laid out now, unless `layout` has them."""
        if self.layout is None or self.layout.epoch != epoch:
            self.layout = Layout(epoch, self.sampler.batches(epoch), self.sampler.tasks(epoch))
        return self._batches(self.layout, from_step)

    @property
    def steps(self) -> int:
        """Batches of the epoch that was begun last."""
        return 0 if self.layout is None else len(self.layout.rows)

    @property
    def batch_size(self) -> int:
        """Images of a batch of it, of all processes together."""
        return 0 if self.layout is None else self.layout.rows.shape[1]

    def _batches(self, layout: Layout, from_step: int) -> Iterator[Batch]:
        # where images are decoded for every batch, each is cropped in its own pixels while it is decoded
        cropped = crops(self.augmentation) and not self.loader.cached
        mirrored = isinstance(self.loader, VectorLoader) and self.augmentation == MIRROR
        draw = draw_parts if cropped else draw_mirrored if mirrored else None
        steps = range(from_step, len(layout.rows))
        rows = [self._own(layout.rows[step]) for step in steps]
        size, share = (3, *self.loader.size), Share(self.fabric.global_rank, self.fabric.world_size)
        drawn = (self._generator(layout.epoch, step) for step in steps)
        parts = draw and (draw((len(own), *size), random, share) for own, random in zip(rows, drawn))
        read = self.loader.batches(rows, parts)
        for step, (images, labels, index) in zip(steps, read, strict=True):
            device, random = self.fabric.device, self._generator(layout.epoch, step)
            images = images.to(device, non_blocking=True)
            if images.dtype == torch.uint8:  # vectors are ready as they are
                images = augment_and_normalise(
                    images, self.augmentation, random, self.mean, self.std, cropped=cropped, share=share
                )
            tasks = layout.tasks
            task = None if tasks is None else torch.from_numpy(self._own(tasks[step])).to(device)
            yield Batch(images, labels.to(device), index.to(device), task)

    def _own(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.ascontiguousarray(batch[self.fabric.global_rank :: self.fabric.world_size])

    def _generator(self, epoch: int, step: int) -> torch.Generator:
        place = (self.seed, epoch, step, 0)
        number = np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1
        return torch.Generator().manual_seed(int(number))
