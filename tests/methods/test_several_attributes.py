"""What balancing several attributes costs exactly: two attributes that both shape the image."""

import itertools

import numpy as np
import pytest
import torch

from longtail.methods.context import TrainingData
from longtail.methods.options import MethodOptions
from longtail.models.output import ModelOutput
from longtail.sampling.weighted import over_sampling
from longtail.schema import Attribute, LabelSchema

from .conftest import build, observed

SCHEMA = LabelSchema(tuple(Attribute(name, ("no", "yes")) for name in ("first", "second")))
COMBINATIONS = np.array(list(itertools.product([0, 1], repeat=2)))
GRID = np.linspace(-4, 7, 151)


def world(first=0.95, second=0.7, blend=0.6):
    """(4,) probabilities of the combinations of two classes each, and (X, 4) densities of x in the plane.

    An image of class 1 is 1.6 further along its attribute's own axis, and `blend` of that along the other's.
    """
    shares = np.array([[first, 1 - first], [second, 1 - second]])
    p = shares[0, COMBINATIONS[:, 0]] * shares[1, COMBINATIONS[:, 1]]
    means = 1.6 * COMBINATIONS @ np.array([[1, blend], [blend, 1]])
    x = np.stack(np.meshgrid(GRID, GRID), -1).reshape(-1, 1, 2)
    density = np.exp(-((x - means) ** 2).sum(2) / 2)
    return p, density / density.sum(0)


def images(p):
    """(n, 2) labels of 10,000 images."""
    return np.repeat(COMBINATIONS, np.rint(10_000 * p).astype(int), 0)


def drawn(p, power):
    """(4,) shares of the combinations among the draws of the sampler."""
    labels = images(p)
    weights, _ = over_sampling(labels, [2, 2], power=power)
    found = np.bincount(labels @ [2, 1], weights)
    return found / found.sum()


def of_classes(mass):
    """(X, 2, 2) mass of the classes of each attribute, from (X, 4) of the combinations."""
    return np.stack([mass @ (c == COMBINATIONS) for c in (0, 1)], 2)


def balanced_accuracy(p, density, scores):
    """Of the class with the largest score at each x, in percent, a mean over the attributes."""
    true = of_classes(density * p)
    hits = true * (scores.argmax(2)[..., None] == [0, 1])
    return 100 * float((hits.sum(0) / true.sum(0)).mean())


def divided(p, density, q):
    """Balanced accuracy of posteriors under draws q that are divided by the shares of the classes."""
    learned = of_classes(density * q)
    return balanced_accuracy(p, density, learned / learned.sum(0))


def test_dividing_by_shares_does_not_undo_sampling_by_two_attributes():
    p, density = world()
    best = divided(p, density, p)
    lost = [best - divided(p, density, drawn(p, power)) for power in (1.0, 0.5)]
    assert best == pytest.approx(79.6, abs=0.05)
    assert [round(points, 1) for points in lost] == [3.6, 0.6]  # docs/methods.md says so


def test_where_each_attribute_has_pixels_of_its_own_and_no_weight_is_capped_nothing_is_lost():
    p, density = world(0.9, 0.6, blend=0.0)
    assert divided(p, density, drawn(p, 1.0)) == pytest.approx(divided(p, density, p), abs=0.05)


def test_class_weights_in_place_of_sampling_lose_nothing():
    p, density = world()
    labels = images(p)
    data = TrainingData(SCHEMA, labels, np.arange(len(labels)))
    options = MethodOptions(class_weights="inverse-frequency", decision="prior")
    method = build("ce", options, schema=SCHEMA, class_counts=data.class_counts)
    observed(method, data)
    weights, mass = method.criterion.class_weights, torch.from_numpy(density * p)
    logits = (torch.from_numpy(of_classes(density * p)) * weights).log().requires_grad_()

    def expected(z, seen):
        costs = (method.criterion.of(z[None], torch.tensor([y]), weights) for y in COMBINATIONS.tolist())
        return sum(share * cost for share, cost in zip(seen, costs))

    losses = torch.vmap(expected)(logits, mass / mass.sum(1, keepdim=True))
    (slope,) = torch.autograd.grad(losses.sum(), logits)
    assert slope.abs().max() < 1e-6  # training ends at these logits
    scores = method.scores(ModelOutput(logits, torch.zeros(len(mass), 2, 4), torch.zeros(len(mass), 6)))
    assert balanced_accuracy(p, density, scores.detach().numpy()) == pytest.approx(
        divided(p, density, p), abs=1e-3
    )
