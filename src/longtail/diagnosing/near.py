"""Groups of images that are nearly the same, as exposures of one scene are."""

from __future__ import annotations

import numpy as np

from longtail.data.dataset import Dataset
from longtail.diagnosing.image_check import DuplicateSet, ImageDiagnosis, duplicate_set
from longtail.settings import MOST_BITS
from longtail.threads import Progress

MOST_COMPARED = 30_000
"""Images up to which near duplicates are looked for unasked: 45 s on one core."""


def find_near(
    dataset: Dataset,
    check: ImageDiagnosis,
    bits: int | None = None,
    on_progress: Progress | None = None,
) -> tuple[DuplicateSet, ...] | None:
    """Near duplicates, by their ids; None where there are more images than `MOST_COMPARED`.

    Identical images are part of a group, but make none that has no others: `check` has those.
    """
    if len(dataset) > MOST_COMPARED:
        return None
    # decoding needs torch, which a look at the labels alone does not
    from longtail.features.fingerprints import looks

    groups = looks(dataset, bits or MOST_BITS, on_progress).groups
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    found = (duplicate_set(dataset, rows.tolist()) for rows in members if len(rows) > 1)
    identical = {same.ids for same in check.duplicates}
    return tuple(sorted((near for near in found if near.ids not in identical), key=lambda near: near.ids))
