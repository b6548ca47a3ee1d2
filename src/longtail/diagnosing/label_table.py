"""All images, their labels and what is suspect of them: a manifest to edit, which is read again."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS, Dataset
from longtail.data.tables.roles import GUIDES, IMAGE_COLUMNS, SUGGESTED, SUSPICION
from longtail.diagnosing.labels import LabelCheck
from longtail.files import written_aside
from longtail.schema import UNLABELLED

Column = tuple[str, Sequence[str]]
"""A name, and a text for each image."""


def write_label_table(path: Path, dataset: Dataset, check: LabelCheck) -> None:
    """A CSV with a row for each image, in the order of the data.

    Its columns: the image, each attribute as given, what guides splits and training, and for each attribute
    `suggested_X`, filled for suspects alone, and `suspicion_X`. A group is a number.

    Raises:
        InputError: when it cannot be written.
    """
    columns = [*given_columns(dataset), *_found_columns(dataset, check)]
    with (
        written_aside(path) as aside,
        aside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for name, _ in columns])
        writer.writerows(zip(*(cells for _, cells in columns), strict=True))


def given_columns(dataset: Dataset) -> Iterator[Column]:
    """What the data set says of its images; a guide that is named as an attribute is called `X_column`."""
    names = dataset.schema.names
    taken = {name.lower() for name in names}
    yield next(name for name in (*IMAGE_COLUMNS, "image_column") if name not in taken), dataset.ids
    for attribute, labels in zip(dataset.schema.attributes, dataset.labels.T, strict=True):
        yield attribute.name, _named(attribute.classes, labels)
    for role, cells in _guides(dataset):
        yield f"{role}_column" if role in taken else role, cells


def _guides(dataset: Dataset) -> Iterator[Column]:
    domains = dataset.domains
    found: dict[str, Sequence[str] | None] = {
        "split": None if dataset.split is None else _named(SPLITS, dataset.split),
        "group": _numbered(dataset.groups),
        "identity": _numbered(dataset.identities),
        "domain": None if domains is None else _named(domains.names, domains.codes),
        "match": _numbered(dataset.matches),
    }
    return ((role, cells) for role in GUIDES if (cells := found[role]) is not None)


def _found_columns(dataset: Dataset, check: LabelCheck) -> Iterator[Column]:
    for found in check.attributes:
        suggested = [""] * len(dataset)
        for suspect in found.suspects:
            suggested[suspect.row] = suspect.suggested
        yield f"{SUGGESTED}{found.name}", suggested
        yield (
            f"{SUSPICION}{found.name}",
            ["" if np.isnan(value) else f"{value:.4f}" for value in found.suspicion.tolist()],
        )


def _named(names: Sequence[str], codes: NDArray[np.integer]) -> list[str]:
    places: list[int] = codes.tolist()
    return ["" if place == UNLABELLED else names[place] for place in places]


def _numbered(codes: NDArray[np.int64] | None) -> list[str] | None:
    return None if codes is None else ["" if code < 0 else str(code) for code in codes.tolist()]
