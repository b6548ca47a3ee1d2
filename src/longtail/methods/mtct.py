"""MTCT: first the clean domain, then both, tied by a ranking across domains."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from longtail.data.dataset import Batch, Tags
from longtail.errors import InputError
from longtail.losses.tste import tste
from longtail.methods.base import Method
from longtail.methods.context import EpochContext, Facts, Losses, Setting, TrainingData
from longtail.methods.recipe import Recipe
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.sampling.epochs import Curriculum, Sampler, ShuffledSampler, switch_epoch
from longtail.sampling.triplets import CrossDomainTripletSampler
from longtail.tensors import full_precision

CLEAN_NAMES = ("shop", "clean")
"""Names of the clean domain, unless the user gives another."""


class MTCT(Method):
    """Stage 1: l_ce on the clean domain. Stage 2: l_ce on all images + w l_t-STE across domains.

    A triplet is a street image in the trained network, the clean image of the same thing and one of
    another in the network as it was after stage 1, which stays as it is; compared are the backbones'
    vectors at unit length. Without domains only stage 1 runs, on all images; without matches stage 2
    has no ranking.

    Source: Dong, Gong, Zhu, WACV 2017; stage lengths, weight and kernel are guesses, see `MTCTOptions`.
    """

    def __init__(self, options: Recipe, setting: Setting, model: Classifier) -> None:
        super().__init__(options, setting, model)
        self.source = None
        if len(setting.domains) > 1:
            self.source = copy.deepcopy(model.backbone).requires_grad_(False).eval()
        self.switch: float = math.inf
        self.ranked = False
        self.stage = 1

    @classmethod
    def facts(cls, data: TrainingData) -> Facts:
        """The domains that training images come from."""
        if data.domains is None:
            return Facts()
        codes = np.unique(data.domains.codes[data.rows])
        return Facts(domains=tuple(data.domains.names[code] for code in codes[codes >= 0].tolist()))

    def train(self, mode: bool = True) -> MTCT:
        """Everything but the network of stage 1, which stays in evaluation mode."""
        super().train(mode)
        if self.source is not None:
            self.source.eval()
        return self

    def draw(self, data: TrainingData, batch_size: int, seed: int, processes: int) -> Sampler:
        """The clean domain, then triplets across domains with as many other images beside them."""
        every = ShuffledSampler(data.rows, batch_size, seed, processes)
        if data.domains is None or self.source is None:
            return every
        clean = data.domains.codes[data.rows] == _clean_code(data.domains, self.options.mtct.clean_domain)
        switch = switch_epoch(self.options.mtct.first_stage, data.epochs)
        first = ShuffledSampler(data.rows[clean], batch_size, seed, processes)
        matches = None if data.matches is None else data.matches[data.rows]
        if matches is None or not _matched(clean, matches):
            return Curriculum(first, every, switch)
        second = CrossDomainTripletSampler(data.rows, clean, matches, batch_size, seed, processes)
        return Curriculum(first, second, switch)

    def observe(self, data: TrainingData, sampler: Sampler, seed: int) -> list[str]:
        """Keep when the second stage begins, and whether it ranks."""
        said = super().observe(data, sampler, seed)
        if not isinstance(sampler, Curriculum):
            return ["mtct: images come from one domain (no column domain), so only stage 1 runs", *said]
        self.switch = sampler.switch
        self.ranked = isinstance(sampler.second, CrossDomainTripletSampler)
        if not self.ranked:
            lack = "mtct: no image has a match in the other domain (column match), so stage 2 does not rank"
            said = [lack, *said]
        return said

    def start_epoch(self, context: EpochContext) -> None:
        """Go to the second stage when its time has come, with a copy of the network so far."""
        super().start_epoch(context)
        self.stage = 1 if context.epoch < self.switch else 2
        if context.epoch == self.switch and context.step == 0 and self.source is not None:
            self.source.load_state_dict(context.model.backbone.state_dict())

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """l_ce, and the ranking in the second stage."""
        terms = {"ce": self.cross_entropy(output, batch)}
        if self.stage == 2 and self.ranked:
            terms["ranking"] = self.options.mtct.weight * self._ranking(output, batch)
        return Losses(terms)

    def _ranking(self, output: ModelOutput, batch: Batch) -> Tensor:
        if self.source is None:
            raise ValueError("expected a source network")
        anchor = full_precision(output.vector).chunk(4)[0]
        _, positive, negative, _ = batch.images.chunk(4)
        with torch.no_grad():
            found = full_precision(self.source(torch.cat([positive, negative])))
        positive, negative = normalize(found, dim=1).chunk(2)
        return tste(normalize(anchor, dim=1), positive, negative, self.options.mtct.alpha)


def _clean_code(domains: Tags, asked: str | None) -> int:
    names = (asked,) if asked is not None else CLEAN_NAMES
    found = next((name for name in names if name in domains.names), None)
    if found is None:
        raise InputError(
            f"--mtct.clean-domain: expected one of {', '.join(domains.names)}, the domain to learn first"
            + ("" if asked is None else f", got {asked!r}")
        )
    return domains.names.index(found)


def _matched(clean: NDArray[np.bool_], matches: NDArray[np.int64]) -> bool:
    """Whether an image of the other domain has a clean match, and other clean images to tell it from."""
    own, other = matches[clean], matches[~clean & (matches >= 0)]
    return bool(np.isin(own, other).any()) and len(np.unique(own)) > 1
