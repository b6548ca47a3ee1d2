"""Batches to try the loss on: drawn by hypothesis, or one fixed batch in which every comparison has work."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

LEVELS = ("class", "instance")
COMPARISONS = ("relative", "absolute", "distribution")
PRODUCTS = [
    *((level, comparison) for level in LEVELS for comparison in COMPARISONS),
    ("class", "log-odds"),
]


class Batch(NamedTuple):
    """Logits (N, J, K) padded with -inf, labels (N, J), features (N, J or 1, D); leaves of the graph."""

    logits: Tensor
    labels: Tensor
    features: Tensor


class Shape(NamedTuple):
    """What decides a batch; `seed` decides the numbers inside."""

    images: int
    num_classes: tuple[int, ...]
    styles: tuple[str, ...]
    unlabelled: float
    shared: bool
    spread: float
    padding: int
    seed: int


def column(style: str, images: int, classes: int, draw: random.Random) -> list[int]:
    """Labels of one attribute: "even" makes ties in the counts, "one" leaves a single class."""
    if style == "one":
        return [draw.randrange(classes)] * images
    if style == "even":
        labels = [i % classes for i in range(images)]
        draw.shuffle(labels)
        return labels
    weights = [2.0**-c if style == "skewed" else 1.0 for c in range(classes)]
    draw.shuffle(weights)
    return draw.choices(range(classes), weights, k=images)


def make(shape: Shape) -> Batch:
    """The batch of a shape, in float64, with scores that differ from one another."""
    draw, generator = random.Random(shape.seed), torch.Generator().manual_seed(shape.seed)
    attributes, width = len(shape.num_classes), max(shape.num_classes) + shape.padding
    labels = torch.full((shape.images, attributes), -1)
    logits = torch.randn(shape.images, attributes, width, generator=generator, dtype=torch.float64)
    logits *= shape.spread
    for j, (classes, style) in enumerate(zip(shape.num_classes, shape.styles)):
        logits[:, j, classes:] = -math.inf
        labels[:, j] = torch.tensor(column(style, shape.images, classes, draw), dtype=torch.int64)
    hidden = torch.rand(labels.shape, generator=generator) < shape.unlabelled
    groups = 1 if shape.shared else attributes
    features = torch.randn(shape.images, groups, 3, generator=generator, dtype=torch.float64) * shape.spread
    return Batch(logits.requires_grad_(), labels.masked_fill(hidden, -1), features.requires_grad_())


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Batches of 1 to 40 images, 1 to 6 attributes of 2 to 8 classes each."""
    num_classes = tuple(draw(st.lists(st.integers(2, 8), min_size=1, max_size=6)))
    style = st.sampled_from(["skewed", "uniform", "even", "skewed", "one"])
    return Shape(
        images=draw(st.one_of(st.integers(1, 40), st.integers(12, 40))),
        num_classes=num_classes,
        styles=tuple(draw(st.lists(style, min_size=len(num_classes), max_size=len(num_classes)))),
        unlabelled=draw(st.sampled_from([0.0, 0.0, 0.3, 0.8])),
        shared=draw(st.booleans()),
        spread=draw(st.sampled_from([0.2, 1.0, 4.0])),
        padding=draw(st.sampled_from([0, 0, 2])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def busy_batch(images: int = 24, seed: int = 1, shared: bool = False) -> Batch:
    """A batch with minorities, singles, ties, missing labels and padded classes, in three attributes."""
    styles = ("skewed", "uniform", "even")
    return make(Shape(images, (2, 5, 4), styles, 0.1, shared, 1.0, 0, seed))
