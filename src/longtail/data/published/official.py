"""The published data sets that are read in the files their authors distribute."""

from __future__ import annotations

from pathlib import Path

from longtail.data.listing import MANIFEST_SUFFIXES
from longtail.data.published.celeba import CELEBA
from longtail.data.published.cifar import CIFAR10, CIFAR100
from longtail.data.published.darn import XDOMAIN
from longtail.data.published.deepfashion import DEEPFASHION, DEEPFASHION_FINE
from longtail.data.published.layouts import Layout

OFFICIAL: tuple[Layout, ...] = (CELEBA, CIFAR10, CIFAR100, DEEPFASHION, DEEPFASHION_FINE, XDOMAIN)
"""In the order in which they are tried and listed."""


def find_official(path: Path) -> Layout | None:
    """The layout of a folder or archive, or None.

    A manifest labels.csv (.tsv, .parquet) of the user's own beside the published files wins.
    """
    layout = next((layout for layout in OFFICIAL if layout.recognises(path)), None)
    return None if layout is None or _has_manifest(path) else layout


def _has_manifest(path: Path) -> bool:
    own = {f"labels.{ending}" for ending in MANIFEST_SUFFIXES}
    return path.is_dir() and any(entry.name.lower() in own for entry in path.iterdir())
