"""What a reader of an official layout offers: how it is recognised, opened, and described to people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from longtail.data.dataset import Dataset


@dataclass(frozen=True)
class Layout:
    """A published data set in the files its authors distribute.

    Attributes:
        name: what it is called, also in results.
        size: images and splits, in words.
        labels: what is recognised, in words.
        licence: what its authors allow, in words.
        source: where to get it, an address.
        expected: files and folders, one per line, as they lie below the folder that is given.
        recognises: whether a folder or file looks like it, by names alone; cheap, never raises.
        load: reads labels and finds images; raises InputError that says what is missing and where to
            get it.
    """

    name: str
    size: str
    labels: str
    licence: str
    source: str
    expected: tuple[str, ...]
    recognises: Callable[[Path], bool]
    load: Callable[[Path], Dataset]
