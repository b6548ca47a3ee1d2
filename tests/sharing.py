"""What processes compute in shares, and one process alone: the rows, losses on them, gradients."""

import torch
import torch.distributed as dist

from longtail import ClassRectificationLoss, gather_ranks
from longtail.losses.balanced_contrastive import balanced_contrastive
from longtail.losses.pairs import contrastive, histogram, triplet
from longtail.ranks import gather_for_share, own_share

COMPARISONS = ("relative", "absolute", "distribution")
PROTOTYPES = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
ON_PAIRS = {
    "triplet": triplet,
    "contrastive": contrastive,
    "histogram": lambda rows, labels, share: histogram(rows, labels, 21, share=share),
    "bcl": lambda rows, labels, share: balanced_contrastive(
        rows, labels, PROTOTYPES, PROTOTYPES[..., 0] < 1, share=share
    ),
}


def problem():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 2 * (3 + 4), generator=generator, dtype=torch.float64)
    labels = torch.tensor([[0, 0], [0, 1], [1, 1], [0, 2], [2, -1], [0, 0]] * 2)
    return images, weight, labels


def averaged(gradient, world):
    if world > 1:
        dist.all_reduce(gradient)
    return gradient / world


def in_shares(rank=0, world=1):
    found = {comparison: sharing(comparison, rank, world) for comparison in COMPARISONS}
    found |= {name: paired(name, rank, world) for name in ON_PAIRS}
    return found | {"cubed": cubed(rank, world)}


def sharing(comparison, rank=0, world=1):
    """What is mined in shares, and the gradient of its square: each process needs the loss of all."""
    images, weight, labels = problem()
    weight.requires_grad_()
    out = (images[rank::world] @ weight).view(-1, 2, 7)
    rows = gather_ranks(out[..., :3]), gather_ranks(labels[rank::world]), gather_for_share(out[..., 3:])
    crl = ClassRectificationLoss("instance", comparison, kappa=3)
    found = crl.rectify(*rows, choices=True, share=own_share())
    found.loss.square().backward()
    figures = [value.detach().double() for value in found]
    return figures, averaged(weight.grad, world)


def cubed(rank=0, world=1):
    """(Σ_a Σ_i a (x_a x_i)²)³ of all rows a and i, in shares of rows a, and its gradient."""
    images, weight, _ = problem()
    weight.requires_grad_()
    own = images[rank::world] @ weight
    share = own_share()
    rows = gather_for_share(own)
    products = (own @ rows.t()).square() * torch.arange(12.0, dtype=torch.float64)[rank::world, None]
    total, count = share.totals(products.sum() / 1e4, torch.tensor(len(own)))
    (total**3).backward()
    return total.detach(), count, share.largest(own.detach().amax()), averaged(weight.grad, world)


def paired(name, rank=0, world=1):
    """A loss on own rows beside those of all, and the gradient of its square."""
    images, weight, labels = problem()
    weight.requires_grad_()
    rows = gather_for_share((images[rank::world] @ weight).view(-1, 2, 7)[..., 3:])
    loss = ON_PAIRS[name](rows, gather_ranks(labels[rank::world]), share=own_share())
    loss.square().backward()
    return loss.detach(), averaged(weight.grad, world)
