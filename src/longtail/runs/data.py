"""The data of a run: read, split, and ready to be loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from longtail.data.dataset import SPLITS, Dataset
from longtail.data.sources import open_dataset
from longtail.data.splits import Splits
from longtail.data.tables.roles import ColumnChoice
from longtail.features.cache import cache_folder
from longtail.features.fingerprints import grouped
from longtail.features.vectors import BATCH, FixedNetwork, VectorLoader, open_cache
from longtail.images.load import CACHE_BYTES, ImageLoader, Loader
from longtail.methods.context import TrainingData
from longtail.ranks import Processes
from longtail.runs.device import OneProcess
from longtail.schema import LabelSchema
from longtail.training.data_options import DataOptions
from longtail.training.inference import outputs_of
from longtail.training.watcher import Watcher
from longtail.words import count


@dataclass(frozen=True, eq=False)
class Data:
    """Images, which of them train, choose and measure, and how they are read.

    Attributes:
        dataset: as found.
        splits: rows of train, val and test.
        loader: reads images in the size of the model, or vectors in their place.
        network: what makes the vectors, None where there are images.
        rehearsed: only a first batch is needed, so that no image is read before it, and none is kept.
    """

    dataset: Dataset
    splits: Splits
    loader: Loader
    network: FixedNetwork | None = None
    rehearsed: bool = False

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        splits: Splits,
        size: tuple[int, int],
        options: DataOptions,
        watcher: Watcher,
        workers: int = 0,
        rehearsed: bool = False,
    ) -> Data:
        """Data that are read in a size; the watcher hears how far it is."""
        loader = ImageLoader(
            dataset,
            size,
            bits=options.value_bits,
            workers=workers,
            skip_unreadable=options.skip_unreadable,
            cache_bytes=0 if rehearsed else CACHE_BYTES,
            on_progress=partial(watcher.progress, "reading images"),
        )
        return cls(dataset, splits, loader, rehearsed=rehearsed)

    def on_vectors(self, fabric: Processes, network: FixedNetwork, size: int, mirrored: bool = False) -> Data:
        """The same with the vectors, of `size` numbers, that a fixed network makes of the images.

        With `mirrored`, also those of the images mirrored left to right, for the training. All processes
        compute them together, and the first one keeps them. In a rehearsal each computes those of its own
        batch.
        """
        images = self.loader
        if not isinstance(images, ImageLoader):
            return self

        together = OneProcess(fabric.device) if self.rehearsed else fabric
        shared = together.world_size > 1

        def vectors_of(network: FixedNetwork, mirror: VectorLoader | None = None) -> VectorLoader:
            network = network.to(fabric.device)
            compute = partial(outputs_of, together, network, images, network, batch_size=BATCH)
            write = fabric.is_global_zero and not self.rehearsed
            cache = open_cache(cache_folder(), network, size, trimmed=fabric.is_global_zero)
            return VectorLoader(images, self.dataset, cache, compute, write, mirror, shared)

        mirror = vectors_of(network.of_mirrored()) if mirrored else None
        return replace(self, loader=vectors_of(network, mirror), network=network)

    def training(self, epochs: int = 1) -> TrainingData:
        """What a method may know of them in a training of so many epochs."""
        data = self.dataset
        identities = data.groups if data.identities is None else data.identities
        return TrainingData(
            data.schema, data.labels, self.splits.train, epochs, identities, data.domains, data.matches
        )

    def readable(self, watcher: Watcher, names: Sequence[str] = SPLITS) -> Data:
        """The same without unreadable images in the splits of these names; they are said by name.

        Raises:
            InputError: see `ImageLoader.readable`.
        """
        parts = {name: self.loader.readable(self.splits.of(name)) for name in names}
        if isinstance(self.loader, VectorLoader) and self.loader.mirror is not None:
            self.loader.mirror.readable(parts.get("train", []))
        for _, name, reason in self.loader.unreadable:
            watcher.say(f"left out {name}: {reason}")
        if self.loader.unreadable:
            watcher.say(f"{count(len(self.loader.unreadable), 'unreadable image')} left out")
        return replace(self, splits=replace(self.splits, **parts))


def read_dataset(
    data: str, options: DataOptions, known: LabelSchema | None = None, watcher: Watcher | None = None
) -> Dataset:
    """The data set that the options describe; see `open_dataset` for `known`, what a model recognises.

    Near duplicates are found where the options ask for it; the watcher hears how far that is.

    Raises:
        InputError: when the data cannot be read, or are too many to be compared with each other.
    """
    choice = ColumnChoice(
        image=options.image_column,
        attributes=options.attributes,
        split=options.split_column,
        group=options.group_column,
        identity=options.identity_column,
        domain=options.domain_column,
        match=options.match_column,
    )
    dataset = open_dataset(
        data, choice, images=options.images, skip_missing=options.skip_missing, known=known
    )
    if not options.group_near_duplicates:
        return dataset
    progress = None if watcher is None else partial(watcher.progress, "comparing images")
    return grouped(dataset, options.value_bits, progress)
