"""The steps of the loop: their rates, how far they go, and in which precision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from longtail.data.builtin import BUILTIN
from longtail.images.load import ImageLoader
from longtail.methods.options import MethodOptions
from longtail.sampling.epochs import Curriculum, Sampler, ShuffledSampler
from longtail.training.config import TrainConfig
from longtail.training.feed import Feed
from longtail.training.fit import fit
from longtail.training.journal import Journal
from longtail.training.learner import Learner
from longtail.training.record import EpochRecord
from longtail.training.schedule import learning_rate

from .test_checkpoint import CARD


class Kept(Journal):
    """Keeps the figures of all epochs."""

    def __init__(self) -> None:
        self.records: list[EpochRecord] = []

    def epoch(self, record: EpochRecord) -> None:
        self.records.append(record)


def learner() -> Learner:
    """A fresh one, with the same weights every time."""
    torch.manual_seed(0)
    schema = BUILTIN["digits"].load().schema
    counts = [[3] * schema.max_classes]
    card = replace(CARD, schema=schema, class_counts=counts, method="ce", method_options=MethodOptions())
    return card.build()


def fitted(
    given: Learner,
    images: int = 30,
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
    sampler: Sampler | None = None,
    **settings: Any,
) -> list[EpochRecord]:
    """Trains on digits in batches of ten, and gives the figures of all epochs."""
    fabric, journal = Fabric(accelerator="cpu", devices=1, precision=precision), Kept()
    sampler = sampler or ShuffledSampler(np.arange(images), 10, 0)
    loader = ImageLoader(BUILTIN["digits"].load(), (8, 8))
    feed = Feed(fabric, loader, sampler, "none", 0, CARD.mean, CARD.std)
    fit(given, TrainConfig("digits", method="ce", **settings), feed, journal)
    return journal.records


def test_the_rate_rises_once_and_falls_over_all_epochs():
    records = fitted(learner(), epochs=5, learning_rate=0.02, warmup=0.3)
    expected = [learning_rate(step, 15, 0.02, 0.3) for step in (2, 5, 8, 11, 14)]
    assert [record.learning_rate for record in records] == pytest.approx(expected)


def test_steps_are_counted_whatever_the_lengths_of_epochs():
    long, short = (ShuffledSampler(np.arange(images), 10, 0) for images in (50, 20))
    records = fitted(learner(), sampler=Curriculum(long, short, 2), epochs=4)
    assert [record.step for record in records] == [5, 10, 12, 14]


def test_a_gradient_is_scaled_down_to_the_largest_norm_and_a_smaller_one_stays():
    def moved(clip: float | None) -> float:
        given, before = learner(), learner()
        plain: dict[str, Any] = {"learning_rate": 0.5, "warmup": 0.0, "momentum": 0.0, "weight_decay": 0.0}
        fitted(given, images=10, epochs=1, clip_gradient=clip, **plain)
        pairs = zip(given.parameters(), before.parameters(), strict=True)
        return math.hypot(*(float((one - other).detach().norm()) for one, other in pairs))

    norm = moved(None) / 0.5
    assert moved(norm / 4) == pytest.approx(0.5 * norm / 4, rel=1e-3)
    assert moved(norm * 4) == moved(None)


def test_in_mixed_precision_the_network_computes_in_16_bits_and_weights_and_losses_stay_in_32():
    given, seen = learner(), list[torch.dtype]()

    def see(_module: nn.Module, _images: object, vectors: torch.Tensor) -> None:
        seen.append(vectors.dtype)

    def see_loss(_module: nn.Module, _batch: object, losses: tuple[dict[str, torch.Tensor], object]) -> None:
        seen.append(losses[0]["ce"].dtype)

    given.model.backbone.register_forward_hook(see)
    given.register_forward_hook(see_loss)
    fitted(given, precision="bf16-mixed", epochs=1)
    assert seen == [torch.bfloat16, torch.float32] * 3
    assert {parameter.dtype for parameter in given.parameters()} == {torch.float32}
