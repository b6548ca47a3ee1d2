"""Data sets that need no file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from longtail.data.classes import describe_attributes
from longtail.data.dataset import Dataset
from longtail.data.names import Names
from longtail.data.stores import ArrayStore
from longtail.schema import Attribute, LabelSchema

_DIGIT = Attribute("digit", tuple("0123456789"))
_PARITY = Attribute("parity", ("even", "odd"))
_LOOP = Attribute("loop", ("no", "yes"))
_LOOPED = (0, 6, 8, 9)  # a handwritten 4 is mostly open at the top, so it counts as without


@dataclass(frozen=True)
class Builtin:
    """A data set that `open_dataset` knows by name.

    Attributes:
        description: one sentence on what it shows.
        images: how many.
        attributes: what is recognised.
        licence: under what the data may be used.
        layout: where the images come from.
        load: makes the data set.
    """

    description: str
    images: int
    attributes: tuple[Attribute, ...]
    licence: str
    layout: str
    load: Callable[[], Dataset]


@cache
def _read() -> Any:
    """The digits, read once in a process, which may train on them many times."""
    from sklearn.datasets import load_digits

    return load_digits()


def _load(name: str, attributes: tuple[Attribute, ...]) -> Dataset:
    data = _read()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., None]
    digits = data.target
    columns = [digits, digits % 2, np.isin(digits, _LOOPED)]  # in the order of the three attributes
    labels = np.stack(columns[: len(attributes)], 1).astype(np.int64)
    names = Names(f"{name}-{row:04d}" for row in range(len(images)))
    schema = LabelSchema(attributes)
    notes = (f"{len(images):,} images of scikit-learn, 8×8 grey", *describe_attributes(schema, labels))
    return Dataset(name, schema, labels, names, ArrayStore(images, names), notes=notes)


BUILTIN: dict[str, Builtin] = {
    name: Builtin(
        description,
        images=1797,
        attributes=attributes,
        licence="CC BY 4.0: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998"
        " (test part)",
        layout="8×8 grey, in scikit-learn",
        load=partial(_load, name, attributes),
    )
    for name, description, attributes in (
        ("digits", "Handwritten digits, balanced: impose a long tail to practise", (_DIGIT,)),
        (
            "digits-attributes",
            "The same digits, three attributes per image: digit, parity, closed loop (0, 6, 8, 9)",
            (_DIGIT, _PARITY, _LOOP),
        ),
    )
}
"""The built-in data sets by name, for the command line."""
