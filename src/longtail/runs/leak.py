"""Whether a split that was made by chance has nearly the same images on two sides."""

from __future__ import annotations

from functools import partial

import numpy as np

from longtail.data.dataset import Dataset
from longtail.data.splits import Splits
from longtail.features.fingerprints import looks
from longtail.features.similar import with_partner
from longtail.settings import MOST_BITS
from longtail.threads import Progress
from longtail.training.watcher import Watcher
from longtail.words import count, of_hundred

CHECKED = 10_000
"""Images up to which a training looks for a leak: a millisecond each, a tenth of that once they are known."""

SAMPLE = 256
"""Images of test, or else validation, that are looked at."""

FEWEST = 0.02
"""Share of them from which on a partner in training is worth a warning."""


def warn_of_leak(dataset: Dataset, splits: Splits, watcher: Watcher, bits: int = MOST_BITS) -> str | None:
    """Say `leak_note`, if there is one, and give it back."""
    note = leak_note(dataset, splits, bits, partial(watcher.progress, "comparing images"))
    if note is not None:
        watcher.say(note)
    return note


def leak_note(
    dataset: Dataset, splits: Splits, bits: int = MOST_BITS, on_progress: Progress | None = None
) -> str | None:
    """A warning where test images have near duplicates among the training images, or None.

    Looks only where the user has not said what belongs together: without given splits and groups of several.
    """
    measured = splits.measured
    own = dataset.groups is not None and len(np.unique(dataset.groups)) < len(dataset)
    if own or dataset.split is not None or measured is None or len(dataset) > CHECKED:
        return None
    rows = splits.of(measured)
    sample = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)]
    prints = looks(dataset, bits, on_progress).prints
    found = with_partner(prints, sample, splits.train)
    if found.mean() < FEWEST:
        return None
    share, images = of_hundred(float(found.mean())), count(len(sample), f"{measured} image")
    return (
        f"the split leaks: {share} % of {images} have a near duplicate among the training images, so that "
        "figures measure memory; --group-near-duplicates keeps them on one side"
    )
