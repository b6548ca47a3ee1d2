"""Worlds whose densities are known, and what minimises a loss there exactly: no network, no sample.

x is one number on a grid, each class a normal density. A free logit for every x and class stands for a
network that can be anything; the expected loss is minimised over them, and decided on.
"""

from dataclasses import dataclass

import torch

from longtail.methods.base import build_method
from longtail.methods.context import Setting
from longtail.models.classifier import Classifier
from longtail.models.head import AttributeHead
from longtail.models.output import ModelOutput
from longtail.schema import LabelSchema

FROM, TO = -6.0, 8.0
IMAGES = 10_000
NEWTON, QUARTERINGS, LONGEST = 60, 8, 4.0
FLAT, BEND = 1e-7, 1e-11


@dataclass(frozen=True, eq=False)
class World:
    """Classes on a line.

    Attributes:
        counts: training images of each class.
        density: (X, K) of x given the class, sums to 1 over x.
        x: (X,) the grid.
        means: of the classes.
    """

    counts: list[int]
    density: torch.Tensor
    x: torch.Tensor
    means: tuple[float, ...]

    @classmethod
    def of(cls, shares, means, points):
        x = torch.linspace(FROM, TO, points, dtype=torch.float64)
        density = torch.exp(-((x[:, None] - torch.tensor(means)) ** 2) / 2)
        return cls([round(IMAGES * share) for share in shares], density / density.sum(0), x, means)

    @property
    def shares(self):
        counts = torch.tensor(self.counts, dtype=torch.float64)
        return counts / counts.sum()

    @property
    def setting(self):
        schema = LabelSchema.single("kind", [str(k) for k in range(len(self.counts))])
        return Setting(schema, [self.counts], images=IMAGES, vectors=1, features=4, vector=6)

    def balanced_accuracy(self, scores):
        """Of the class with the largest score at each x; equal scores share it."""
        largest = (scores >= scores.amax(1, keepdim=True) - 1e-9).double()
        return float((self.density * largest / largest.sum(1, keepdim=True)).sum(0).mean())

    def best(self):
        """What no decision can exceed."""
        return self.balanced_accuracy(self.density)


TWO = World.of((0.95, 0.05), (0.0, 1.6), 421)
"""Two classes, 5 % positive; Bayes decides .788."""

THREE = World.of((0.8, 0.15, 0.05), (0.0, 1.3, -0.9), 141)


def method_in(world, options, name="ce"):
    """A method that was told what is drawn; the rates of sampling stand in `drawn`."""
    model = Classifier(torch.nn.Linear(6, 6), AttributeHead(6, world.setting.schema, 4))
    return build_method(name, options, world.setting, model)


def criterion_in(world, options, drawn):
    """The loss of a method in float64."""
    return told(method_in(world, options), drawn).criterion.double()


def told(method, drawn):
    """The method after `observe`, in a training that draws classes by these shares."""
    shares = drawn[None].to(method.shares)
    method.criterion.adjust_to(shares)
    method.shares.copy_(method.criterion.seen(shares))
    method.criterion.weighted = True
    return method


def minimiser(criterion, mass):
    """(X, K) logits that minimise Σ_k mass_xk · loss with the label k at every x: Newton's method from 0."""
    criterion = criterion.double()
    weights = criterion.class_weights if criterion.weighted else None
    labels = torch.arange(mass.shape[1])[:, None, None]

    def cost(z, own):
        return sum(m * criterion.of(z[None, None], label, weights) for m, label in zip(own, labels))

    value = torch.vmap(cost)
    own = mass / mass.sum(1, keepdim=True)
    z = torch.zeros_like(own)
    for _ in range(NEWTON):
        slope, bend, before = _bent(lambda z: value(z, own), z)
        if slope.abs().max() < FLAT:
            break
        step = _newton_step(slope, bend)
        for _ in range(QUARTERINGS):
            worse = (value(z + step, own) > before)[:, None]
            if not worse.any():
                break
            step = torch.where(worse, step / 4, step)
        if worse.all():
            break
        z = z + torch.where(worse, 0, step)
    return z


def _bent(value, z):
    """Of (X,) values their slopes (X, K) and second derivatives (X, K, K), and the values."""
    z = z.clone().requires_grad_()
    values = value(z)
    (slope,) = torch.autograd.grad(values.sum(), z, create_graph=True)
    rows = [torch.autograd.grad(slope[:, k].sum(), z, retain_graph=True)[0] for k in range(z.shape[1])]
    return slope.detach(), torch.stack(rows, 1), values.detach()


def _newton_step(slope, bend):
    """-|H|⁻¹ g, no longer than `LONGEST`."""
    size, direction = torch.linalg.eigh(bend)
    along = (direction * slope[..., None]).sum(1)
    step = -(direction * (along / size.abs().clamp(min=BEND))[:, None]).sum(2)
    return step * (LONGEST / step.norm(dim=1, keepdim=True).clamp(min=LONGEST))


def scores_of(method, logits):
    """(X, K) scores of the method's decision."""
    output = ModelOutput(logits[:, None], torch.zeros(len(logits), 1, 4), torch.zeros(len(logits), 4))
    return method.scores(output)[:, 0]
