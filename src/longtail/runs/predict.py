"""What a trained model says of new images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from longtail.data.dataset import Dataset, ImageStore
from longtail.data.listing import list_source, require_images
from longtail.data.names import Names
from longtail.data.stores import FileStore
from longtail.errors import InputError
from longtail.images.load import ImageLoader
from longtail.runs.run import Run
from longtail.schema import UNLABELLED
from longtail.training.watcher import Silent, Watcher


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        image: its path, or the archive and the member's name.
        labels: for each attribute the class with the largest score.
        probabilities: for each attribute the score of every class.
    """

    image: str
    labels: dict[str, str]
    probabilities: dict[str, dict[str, float]]


def predict(
    path: Path,
    images: Sequence[str],
    *,
    decision: str | None = None,
    method: str | None = None,
    accelerator: str = "auto",
    skip_unreadable: bool = False,
    watcher: Watcher | None = None,
) -> Iterator[Prediction]:
    """Classify files, all images in folders, and all images in zip archives, in the order given.

    A run of a method of your own needs that named as `method`.

    Raises:
        InputError: when the run, or an image that is not skipped, cannot be used, or scores are not finite.
    """
    watcher = watcher or Silent()
    run = Run.open(path, accelerator, watcher, method=method)
    run.decide_by(decision)
    if run.unfinished is not None:
        watcher.say(run.unfinished)
    schema = run.card.schema
    for store in _stores(images, watcher):
        labels = np.full((len(store), schema.num_attributes), UNLABELLED, dtype=np.int64)
        names = [store.name(row) for row in range(len(store))]
        dataset = Dataset("images", schema, labels, names, store)
        size, bits = run.card.image_size, run.card.bits
        loader = ImageLoader(dataset, size, bits=bits, skip_unreadable=skip_unreadable)
        rows = loader.readable(np.arange(len(store)))
        for _, name, reason in loader.unreadable:
            watcher.say(f"left out {name}: {reason}")
        if not len(rows):
            continue
        scores = run.scores(rows, loader, store.name, partial(watcher.progress, "predicting"))
        for row, score in zip(rows.tolist(), scores):
            probabilities = {
                attribute.name: dict(zip(attribute.classes, values.tolist()))
                for attribute, values in zip(schema.attributes, score)
            }
            labels_of = {name: max(values, key=values.__getitem__) for name, values in probabilities.items()}
            yield Prediction(store.name(row), labels_of, probabilities)


def _is_file(image: str) -> bool:
    return Path(image).suffix.lower() != ".zip" and not Path(image).is_dir()


def _stores(images: Sequence[str], watcher: Watcher) -> Iterator[ImageStore]:
    """Files that follow each other together, every folder and archive on its own."""
    for are_files, group in groupby(images, key=_is_file):
        paths = list(group)
        if are_files:
            missing = next((path for path in paths if not Path(path).exists()), None)
            if missing is not None:
                raise InputError(f"{missing}: no such file; expected images, folders or zip archives")
            yield FileStore(Path(), Names(paths))
            continue
        for path in map(Path, paths):
            found = list_source(path)
            require_images(found, path)
            for note in found.all_notes():
                watcher.say(f"{path}: {note}")
            yield found.store()
