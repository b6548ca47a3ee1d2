"""The first steps of every method on a network with batch normalisation, by any number of processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from longtail.data.dataset import Tags
from longtail.methods.context import EpochContext, TrainingData
from longtail.methods.find import class_of
from longtail.methods.options import (
    CRLOptions,
    DeepID2Options,
    KNNOptions,
    LMLEOptions,
    MethodOptions,
    MTCTOptions,
)
from longtail.methods.recipe import recipe
from longtail.methods.rows import METHODS
from longtail.ranks import average_ranks, one_batch
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard
from longtail.training.learner import Learner

BATCH, EPOCH = 40, 1  # the second epoch is in the second stage of those that have two
WORLD = 2
LOG_ODDS = "crl-iccv+log-odds"
CASES = [(method, attributes) for method in (*METHODS, LOG_ODDS) for attributes in (1, 3)]
OPTIONS = MethodOptions(
    deepid2=DeepID2Options(window=50),
    knn=KNNOptions(k=5, references=60),
    lmle=LMLEOptions(cluster_size=10, k=3, first_stage=0.5),
    mtct=MTCTOptions(first_stage=0.5),
)


def problem(attributes: int, classes: int | None) -> tuple[TrainingData, Tensor]:
    """80 images, a quarter of their labels missing, more of them in the first half."""
    random, n = np.random.default_rng(attributes), 80
    sizes = [classes or size for size in (4, 2, 3)][:attributes]
    schema = LabelSchema(tuple(Attribute(f"a{j}", tuple("abcd"[:size])) for j, size in enumerate(sizes)))
    labels = np.stack([random.choice(size, n, p=_tail(size)) for size in sizes], 1)
    labels[random.random(labels.shape) < np.linspace(0.5, 0.0, n)[:, None]] = -1
    rows, domains = np.arange(n), Tags(("shop", "street"), np.arange(n) % 2)
    data = TrainingData(schema, labels, rows, 2, rows // 4, domains, rows // 2)
    images = torch.from_numpy(random.normal(size=(n, 3, 8, 8))) + torch.from_numpy(labels[:, 0]).view(
        -1, 1, 1, 1
    )
    return data, images


def _tail(size: int) -> list[float]:
    shares = [0.45**k for k in range(size)]
    return [share / sum(shares) for share in shares]


def learner_of(case: str, data: TrainingData, kind: torch.dtype) -> Learner:
    """It begins with the same weights every time."""
    torch.manual_seed(0)
    method, options = case.partition("+")[0], OPTIONS
    if case == LOG_ODDS:
        options = replace(OPTIONS, crl=CRLOptions("class", "log-odds"))
    found = class_of(method).facts(data)
    card = ModelCard(
        schema=data.schema,
        class_counts=data.class_counts,
        images=len(data.rows),
        backbone="convnet",
        features=8,
        hidden=0,
        shared_feature=False,
        image_size=(8, 8),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        method=method,
        method_options=options,
        identities=found.identities,
        domains=found.domains,
        feature_layer=recipe(method, options).feature_layer,
    )
    learner = card.build()
    learner.method.begin(learner.model)
    return learner.to(kind)


def average(gradients: list[Tensor], world: int) -> None:
    """As data-parallel training does, all in one exchange."""
    if world > 1:
        together = torch.cat([value.flatten() for value in gradients]) / world
        dist.all_reduce(together)
        for value, mean in zip(gradients, together.split([value.numel() for value in gradients])):
            value.copy_(mean.view_as(value))


def trained(
    method: str, attributes: int, kind: torch.dtype, rank: int = 0, world: int = 1
) -> dict[str, Tensor]:
    """Gradients of the first step, weights and buffers after the last, and what was logged in each."""
    data, images = problem(attributes, 2 if method == "asl" else None)
    learner = learner_of(method, data, kind)
    sampler = learner.method.draw(data, BATCH, 0, WORLD)
    learner.method.observe(data, sampler, 0)

    def features(rows: np.ndarray) -> Tensor:
        with torch.no_grad():
            return learner.eval().features(images[rows].to(kind)).float()

    learner.method.start_epoch(EpochContext(EPOCH, 2, 0, learner.model, features))
    learner.train()
    batches, tasks = sampler.batches(EPOCH), sampler.tasks(EPOCH)
    learned = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(learned.values(), lr=0.1, momentum=0.9)
    found: dict[str, Tensor] = {}
    for step in range(2 if attributes > 1 else 1):
        rows = batches[step % len(batches), rank::world]
        task = None if tasks is None else torch.from_numpy(tasks[step % len(batches), rank::world].copy())
        with one_batch():
            terms, mined = learner(
                images[rows].to(kind), torch.from_numpy(data.labels[rows]), torch.from_numpy(rows), task
            )
            found |= {f"{step} {name}": average_ranks(value.detach()) for name, value in terms.items()}
        found |= {f"{step} mined {name}": value for name, value in mined.items()}
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        gradients = {name: p.grad for name, p in learned.items() if p.grad is not None}
        average(list(gradients.values()), world)
        if step == 0:
            found |= {f"gradient {name}": value.clone() for name, value in gradients.items()}
        optimizer.step()
    return found | {f"state {name}": value.clone() for name, value in learner.state_dict().items()}
