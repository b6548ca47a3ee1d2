"""A check of labels as if the images had been judged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import Dataset
from longtail.diagnosing.labels import AttributeCheck, ClassSuspects, LabelCheck, Suspect
from longtail.schema import Attribute, LabelSchema


class Shades:
    """Grey images in memory; every tenth is missing."""

    def __init__(self, images: int) -> None:
        self.images = images

    def __len__(self) -> int:
        return self.images

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> NDArray[np.uint8]:
        if index % 10 == 9:
            raise FileNotFoundError(2, "No such file or directory")
        return np.full((200, 100, 3), index % 256, np.uint8)


def shades(images: int, names: tuple[str, ...] = ("colour",), **rest: Any) -> Dataset:
    """Images with labels `odd` and `even`, called image 0, image 1 ... where nothing else is said."""
    labels = np.stack([(np.arange(images) + j) % 2 for j in range(len(names))], 1)
    schema = LabelSchema(tuple(Attribute(name, ("even", "odd")) for name in names))
    ids = rest.pop("ids", [f"image {row}" for row in range(images)])
    return Dataset("shades", schema, rest.pop("labels", labels), ids, Shades(images), **rest)


def doubted(dataset: Dataset, *rows: int, twins: dict[int, tuple[int, ...]] | None = None) -> LabelCheck:
    """A check that lists these rows, of every attribute; the last image could not be read."""
    found = []
    for attribute, labels in zip(dataset.schema.attributes, dataset.labels.T, strict=True):
        suspicion = np.where(labels < 0, np.nan, np.linspace(0.9, 0.1, len(labels)))
        suspicion[-1] = np.nan
        suspects = [
            Suspect(
                row,
                dataset.ids[row],
                attribute.name,
                attribute.classes[labels[row]],
                attribute.classes[(labels[row] + 1) % len(attribute.classes)],
                float(suspicion[row]),
                rank,
                tuple(dataset.ids[other] for other in (twins or {}).get(row, ())),
            )
            for rank, row in enumerate(rows, 1)
        ]
        classes = [
            ClassSuspects(name, *(int(sum(own == k)) for own in (labels, labels, labels[[*rows]])))
            for k, name in enumerate(attribute.classes)
        ]
        found.append(AttributeCheck(attribute.name, suspicion, tuple(classes), tuple(suspects)))
    return LabelCheck(tuple(found), 0.05, 1)
