from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from longtail.data.builtin import BUILTIN
from longtail.images.load import ImageLoader
from longtail.images.normalise import normalise
from longtail.sampling.epochs import ShuffledSampler
from longtail.training.feed import Feed

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)


class Tasks(ShuffledSampler):
    """Draws each image for attribute 0 or 1, and counts how often it lays out."""

    laid_out = 0

    def batches(self, epoch):
        self.laid_out += 1
        return super().batches(epoch)

    def tasks(self, epoch):
        return super().batches(epoch) % 2


def feed(rank: int = 0, processes: int = 1, augmentation: str = "small", **options: Any) -> Feed:
    fabric = SimpleNamespace(device=torch.device("cpu"), global_rank=rank, world_size=processes)
    loader = ImageLoader(BUILTIN["digits"].load(), (8, 8), **options)
    sampler = Tasks(np.arange(40), 8, seed=3, processes=processes)
    return Feed(cast(Any, fabric), loader, sampler, augmentation, 7, MEAN, STD)


def test_an_epoch_that_goes_on_has_the_batches_that_it_would_have_had():
    whole, later = list(feed().epoch(2)), list(feed().epoch(2, 3))
    assert len(whole) == 5
    for batch, again in zip(whole[3:], later, strict=True):
        assert torch.equal(batch.images, again.images)
        assert torch.equal(batch.index, again.index)


def test_a_layout_that_was_kept_is_not_laid_out_again():
    first, second = feed(), feed()
    rows = [batch.index for batch in first.epoch(1)]
    second.layout = first.layout
    assert all(torch.equal(a, b.index) for a, b in zip(rows, second.epoch(1), strict=True))
    assert cast(Tasks, second.sampler).laid_out == 0
    assert (second.steps, second.batch_size) == (5, 8)
    next(second.epoch(2))
    assert cast(Tasks, second.sampler).laid_out == 1


def test_every_process_has_its_own_columns_with_their_labels_and_tasks():
    (whole, *_) = feed().epoch(0)
    parts = [next(feed(rank, 2).epoch(0)) for rank in (0, 1)]
    for rank, part in enumerate(parts):
        assert torch.equal(part.index, whole.index[rank::2])
        assert torch.equal(part.labels, whole.labels[rank::2])
        assert part.task is not None
        assert torch.equal(part.task, part.index % 2)
    assert not torch.equal(parts[0].images, next(feed(0, 2).epoch(1)).images)


def test_without_augmentation_images_are_only_normalised():
    given = feed(augmentation="none")
    (batch, *_) = given.epoch(0)
    ((stored, _, _),) = given.loader.batches([batch.index.numpy()])
    assert torch.equal(batch.images, normalise(stored, MEAN, STD))


@pytest.mark.parametrize("workers", [0, 1])
def test_crops_cut_while_decoding_are_those_cut_from_kept_images(workers: int):
    kept = feed(augmentation="photo").epoch(0)
    anew = feed(augmentation="photo", cache_bytes=0, workers=workers).epoch(0)
    for one, other in zip(kept, anew, strict=True):
        assert torch.equal(one.images, other.images)
