"""How many near duplicates data hold, and how well they agree with groups that are known.

    python benchmarks/near.py DATA ... [--group-column COLUMN]

Read the share of pairs within given groups that are found, the share of found pairs that lie within one, and
the share of test images of a split by chance that have a partner among its training images. Where the data
have no groups, or larger ones, look at the pictures of `longtail diagnose DATA --pictures FILE`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from longtail.data.splits import split_dataset
from longtail.features.fingerprints import looks
from longtail.features.similar import near_duplicates, with_partner
from longtail.runs.data import read_dataset
from longtail.training.data_options import DataOptions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+")
    parser.add_argument("--group-column")
    options = parser.parse_args()
    for name in options.data:
        measure(name, options.group_column)


def measure(name: str, column: str | None) -> None:
    """One line for a data set, and one more where it has groups."""
    dataset = read_dataset(name, DataOptions(group_column=column))
    start = time.perf_counter()
    found = looks(dataset)
    looked = time.perf_counter()
    near_duplicates(found.prints)
    seconds = looked - start, time.perf_counter() - looked
    sizes = np.bincount(found.groups)
    several = sizes[sizes > 1]
    splits = split_dataset(replace(dataset, groups=None, split=None))
    leak = with_partner(found.prints, splits.test, splits.train).mean()
    print(
        f"{dataset.name}: {len(dataset):,} images; {len(several):,} groups of {several.sum():,} images, "
        f"the largest {sizes.max()}; {leak:.0%} of test images have a partner in training; "
        f"fingerprints {seconds[0]:.1f} s, pairs {seconds[1]:.1f} s"
    )
    if dataset.groups is not None:
        both = pairs(found.groups * (dataset.groups.max() + 1) + dataset.groups)
        print(
            f"  {both / max(pairs(dataset.groups), 1):.1%} of the pairs in given groups are found; "
            f"{both / max(pairs(found.groups), 1):.1%} of the found pairs are in one"
        )


def pairs(groups: NDArray[np.int64]) -> int:
    """Pairs of images that share a group."""
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


if __name__ == "__main__":
    main()
