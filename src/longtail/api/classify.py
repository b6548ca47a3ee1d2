"""Stores of images -> what a run says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import Dataset, ImageStore
from longtail.images.load import ImageLoader
from longtail.runs.predict import Prediction
from longtail.runs.run import Run
from longtail.schema import UNLABELLED


class Look(NamedTuple):
    """The first arguments of `Run.scores`."""

    rows: NDArray[np.int64]
    loader: ImageLoader


def look_at(run: Run, store: ImageStore, *, skip_unreadable: bool = False) -> Look:
    """The images that can be read, and what reads them."""
    schema = run.card.schema
    labels = np.full((len(store), schema.num_attributes), UNLABELLED, dtype=np.int64)
    dataset = Dataset("images", schema, labels, [store.name(row) for row in range(len(store))], store)
    size, bits = run.card.image_size, run.card.bits
    loader = ImageLoader(dataset, size, bits=bits, skip_unreadable=skip_unreadable)
    rows = loader.readable(np.arange(len(store)))
    for _, name, reason in loader.unreadable:
        run.watcher.say(f"left out {name}: {reason}")
    return Look(rows, loader)


def classified(run: Run, store: ImageStore, *, skip_unreadable: bool = False) -> Iterator[Prediction]:
    """What it says of every image that can be read."""
    look = look_at(run, store, skip_unreadable=skip_unreadable)
    if not len(look.rows):
        return
    scores = run.scores(*look, store.name)
    for row, score in zip(look.rows.tolist(), scores):
        probabilities = {
            attribute.name: dict(zip(attribute.classes, values.tolist()))
            for attribute, values in zip(run.card.schema.attributes, score)
        }
        labels = {name: max(values, key=values.__getitem__) for name, values in probabilities.items()}
        yield Prediction(store.name(row), labels, probabilities)
