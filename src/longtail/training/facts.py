"""From data that are split to what the choice of defaults is made by; needs torch."""

from __future__ import annotations

import numpy as np

from longtail.data.dataset import Dataset
from longtail.data.splits import Splits
from longtail.images.sizes import suggest_size
from longtail.models.lite0 import has_weights
from longtail.sampling.weighted import over_sampling, under_sampling
from longtail.training.config import TrainConfig
from longtail.training.defaults import DataFacts


def facts_of(config: TrainConfig, dataset: Dataset, splits: Splits, device: str) -> DataFacts:
    """What the choice of defaults is made by; the kind of the device is that of torch."""
    labels, classes = dataset.labels[splits.train], dataset.schema.num_classes
    options, drawn = config.method_options, len(splits.train)
    if options.replicate:
        drawn = over_sampling(labels, classes, replicate=True)[1]
    elif (options.sampler or config.row.options.sampler) == "under":
        drawn = under_sampling(labels, classes)[1]
    checked = dataset.class_counts(splits.val)
    return DataFacts(
        attributes=len(classes),
        training=len(splits.train),
        validation=len(splits.val),
        of_a_class=min(float(np.median(counts)) for counts in checked),
        drawn=max(drawn, 1),
        side=max(config.size or suggest_size(dataset.images)),
        weights=has_weights(),
        gpu=device == "cuda",
    )
