"""LMLE: clusters inside each class, quintuplets of them, and the nearest clusters decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from longtail.data.dataset import Batch
from longtail.decisions.neighbours import choose_references
from longtail.losses.quintuplet import quintuplet
from longtail.methods.base import Method
from longtail.methods.context import EpochContext, Losses, Rows, Setting, TrainingData
from longtail.methods.decisions import KEPT, NearestClusters, cluster_table
from longtail.methods.recipe import Recipe
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.sampling.clusters import Clusters, cluster_classes
from longtail.sampling.epochs import Curriculum, Sampler, ShuffledSampler, switch_epoch
from longtail.sampling.quintuplets import PLACES, QuintupletSampler, mine
from longtail.tensors import full_precision

ANCHORS = 25
"""Anchors that share their random candidates."""


@dataclass(frozen=True, eq=False)
class _Pool:
    """Part of the training images with their features and clusters."""

    rows: Rows  # (n,) sorted
    features: Tensor  # (n, J or 1, D) float32, unit length
    clusters: list[Clusters]  # of every attribute


class LMLE(Method):
    """Stage 1: l_ce. Stage 2: l_ce + l_quintuplet on quintuplets, every class alike; clusters decide.

    The first stage gives the features that are clustered first, as the paper takes them from a network
    trained before. Before each epoch of the second the classes are clustered and the anchors of the
    epoch get their quintuplets, on the features that the network has by then, over a `pool` of the
    training images that is drawn anew and holds at least 20 images of every class. An epoch reads as
    many images as there are, five a quintuplet; each quintuplet is for one attribute, in turn.

    Memory beside the network, for a pool of n images, J attributes and features of size D: 4 n J D bytes
    of features and 4 n J of clusters; 80,000 images × 40 attributes × 64: 0.82 GB and 13 MB.

    Deviations: an anchor is compared with some `candidates` of the pool only, and cross entropy goes on
    in the second stage; without these two all features fall to one point, where the loss is g₁ + g₂ + g₃
    (see docs/decisions.md). With `alone` cross entropy trains the classifier without changing the
    features. The paper clusters anew after 5000 steps, here after an epoch; the length of the first
    stage and the margins are guesses.

    Source: Huang, Li, Loy, Tang, CVPR 2016, eq. 1-3 and figure 3.
    """

    def __init__(self, options: Recipe, setting: Setting, model: Classifier) -> None:
        super().__init__(options, setting, model)
        self.lmle = options.lmle
        self.clusters = cluster_table(options.lmle, setting)
        self._next: _Pool | None = None

    def draw(self, data: TrainingData, batch_size: int, seed: int, processes: int) -> Sampler:
        """Plain batches first, then five blocks a batch, laid out when an epoch starts."""
        plain = ShuffledSampler(data.rows, batch_size, seed, processes)
        quintuplets = QuintupletSampler(data.rows, data.labels[data.rows], batch_size, seed, processes)
        return Curriculum(plain, quintuplets, switch_epoch(self.lmle.first_stage, data.epochs))

    def observe(self, data: TrainingData, sampler: Sampler, seed: int) -> list[str]:
        """Keep what the quintuplets of an epoch are mined by."""
        if not (isinstance(sampler, Curriculum) and isinstance(sampler.second, QuintupletSampler)):
            raise TypeError("sampler: expected the one that `draw` made")
        self._data, self._seed = data, seed
        self._quintuplets, self.switch = sampler.second, sampler.switch
        return super().observe(data, sampler, seed)

    def start_epoch(self, context: EpochContext) -> None:
        """Cluster, mine, and lay the batches out."""
        super().start_epoch(context)
        context.model.head.detached = self.lmle.alone and context.epoch >= self.switch
        if context.epoch < self.switch or context.step > 0:
            return  # stage 1; or the batches of a stopped epoch are kept in its state
        pool = self._next or self._cluster(context, context.epoch)
        attribute, anchors = self._quintuplets.anchors(context.epoch)
        table = np.full((PLACES, len(anchors)), -1, np.int64)
        rng = np.random.default_rng((self._seed, context.epoch))
        for j, clusters in enumerate(pool.clusters):
            own = np.flatnonzero(attribute == j)
            features = _own(pool.features, j)
            labels = torch.from_numpy(self._data.labels[pool.rows, j])
            assignment = torch.from_numpy(clusters.assignment)
            for batch in np.split(own, range(ANCHORS, len(own), ANCHORS)):
                places = np.searchsorted(pool.rows, anchors[batch])
                seen = self._candidates(places, len(pool.rows), rng)
                inside = torch.from_numpy(np.searchsorted(seen, places))
                found = mine(features[seen], labels[seen], assignment[seen], inside).numpy()
                table[:, batch] = np.where(found >= 0, pool.rows[seen[found]], -1)
        self._quintuplets.lay_out(context.epoch, table)

    def _candidates(self, anchors: Rows, pool: int, rng: np.random.Generator) -> Rows:
        """Places in the pool that some anchors are compared with, the anchors among them; sorted."""
        if not 0 < self.lmle.candidates < pool:
            return np.arange(pool)
        return np.union1d(anchors, rng.choice(pool, self.lmle.candidates, replace=False))

    def end_epoch(self, context: EpochContext) -> None:
        """Cluster on the features as they are now: to decide with, and for the next epoch."""
        self._next = self._cluster(context, context.epoch + 1)
        super().end_epoch(context)

    def _cluster(self, context: EpochContext, epoch: int) -> _Pool:
        rows = self._pool(epoch)
        features = normalize(context.features(rows), dim=2)
        clusters = [
            cluster_classes(_own(features, j).numpy(), self._data.labels[rows, j], counts, self._seed + epoch)
            for j, counts in enumerate(self.clusters)
        ]
        if isinstance(self.decision, NearestClusters):
            self.decision.keep(clusters)
        return _Pool(rows, features, clusters)

    def _pool(self, epoch: int) -> Rows:
        """The anchors of an epoch and a random part of the training images."""
        rows = self._data.rows
        part = round(self.lmle.pool * len(rows))
        chosen = choose_references(self._data.labels[rows], part, KEPT, self._seed + epoch)
        return np.union1d(rows[chosen], self._quintuplets.anchors(epoch)[1])

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce, and in the second stage the triple hinge of each quintuplet in its attribute's feature."""
        if batch.task is None:
            return Losses({"ce": self.cross_entropy(output, batch)})
        features = full_precision(output.features)
        drawn = batch.task.clamp(min=0).clamp(max=features.shape[1] - 1)
        points = features.take_along_dim(drawn[:, None, None], 1).squeeze(1)
        embeddings = points.unflatten(0, (PLACES, -1))
        valid = (batch.task >= 0).unflatten(0, (PLACES, -1))
        hinges = quintuplet(embeddings, valid, (self.lmle.g1, self.lmle.g2, self.lmle.g3))
        return Losses({"ce": self.cross_entropy(output, batch), "quintuplet": hinges})


def _own(features: Tensor, attribute: int) -> Tensor:
    """(n, D) features of an attribute, or those that all share."""
    return features[:, min(attribute, features.shape[1] - 1)]
