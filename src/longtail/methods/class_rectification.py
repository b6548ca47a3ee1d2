"""Cross entropy and the Class Rectification Loss, in the poster's and in TPAMI's balance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.methods.base import Method
from longtail.methods.choices import Choices
from longtail.methods.context import Losses, Setting, TrainingData
from longtail.methods.options import CRLOptions
from longtail.methods.recipe import Recipe
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.ranks import gather_for_share, gather_ranks, own_share
from longtail.rectification import ClassRectificationLoss, Rectification, tpami_alpha
from longtail.sampling.epochs import Sampler


class ClassRectification(Method):
    """Batches as sampled, l_bln = w_crl l_crl + w_ce l_ce.

    "sum": w_crl = weight, w_ce = 1 (ICCV 2017 poster). "tpami": w_crl = α, w_ce = 1 - α (TPAMI 2019, eq. 8 as
    reviewed).
    "attributes": w_crl = weight · J, w_ce = 1, since l_ce is a sum over J attributes and l_crl one mean
    over the triplets of all of them: one weight then suits any number of attributes.

    Raises:
        InputError: when an option is out of its range, or the balance needs an explicit alpha.
    """

    def __init__(self, options: Recipe, setting: Setting, model: Classifier) -> None:
        super().__init__(options, setting, model)
        crl = options.crl
        try:
            self.crl = ClassRectificationLoss(
                level=crl.level or "class",
                comparison=crl.comparison,
                kappa=crl.kappa,
                rho=crl.rho,
                margin=crl.margin,
                power=crl.power,
                normalize=not crl.raw_features,
                nodes=crl.nodes,
            )
            self.margin = _margin(crl)
            self.crl_weight, self.ce_weight = _weights(crl, setting.class_counts)
        except ValueError as error:
            raise InputError(f"--crl.{error}") from None

    def observe(self, data: TrainingData, sampler: Sampler, seed: int) -> list[str]:
        """As of any method; from here on it counts which images are mined."""
        self.choices = Choices(len(data.labels))
        return super().observe(data, sampler, seed)

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """The two terms with their weights; mining sees the batch of all processes, or its own part."""
        together = self.options.crl.scope == "global"
        mined = self._of_all(output, batch) if together else self._of_own(output, batch)
        if self.choices is not None and mined.chosen is not None:
            chosen = mined.chosen if together else gather_ranks(mined.chosen.t()).t()
            self.choices.add(gather_ranks(batch.index), chosen)
        terms = {
            "ce": self.ce_weight * self.cross_entropy(output, batch),
            "crl": self.crl_weight * mined.loss,
        }
        return Losses(terms, _statistics(mined, self.margin))

    def _of_own(self, output: ModelOutput, batch: Batch) -> Rectification:
        return self.crl.rectify(output.logits, batch.labels, output.features, choices=self._counting)

    def _of_all(self, output: ModelOutput, batch: Batch) -> Rectification:
        """In the batch of all processes; at instance level each mines its share of the anchors.

        A process with B images receives (W - 1) · B · J · (8 + 4 K) bytes at class level, and
        (W - 1) · B · J · (8 + 8 D) at instance level: features, and their gradients.
        """
        labels = gather_ranks(batch.labels)
        if self.crl.level == "class":
            return self.crl.rectify(gather_ranks(output.logits), labels, choices=self._counting)
        # at instance level logits only tell which classes an attribute has: any row does
        logits = output.logits[:1].detach().expand(len(labels), -1, -1)
        features = gather_for_share(output.features)
        return self.crl.rectify(logits, labels, features, choices=self._counting, share=own_share())

    @property
    def _counting(self) -> bool:
        return self.choices is not None


def _weights(options: CRLOptions, class_counts: list[list[int]]) -> tuple[float, float]:
    if options.balance == "tpami":
        alpha = tpami_alpha(class_counts, options.eta) if options.alpha is None else options.alpha
        return alpha, 1 - alpha
    weight = 1.0 if options.weight is None else options.weight
    return weight * (len(class_counts) if options.balance == "attributes" else 1), 1.0


def _margin(options: CRLOptions) -> float:
    """What the loss is at where all features are one; NaN where that depends on more than the margin."""
    if options.comparison != "relative" or (options.raw_features and options.margin is None):
        return math.nan
    return 0.5 if options.margin is None else options.margin


def _statistics(mined: Rectification, margin: float) -> dict[str, Tensor]:
    return {
        "anchors": mined.anchors.sum().float(),
        "positive_pairs": mined.positive_pairs.float(),
        "negative_pairs": mined.negative_pairs.float(),
        "active_share": torch.where(mined.triplets > 0, mined.active_share, math.nan),
        "margin_share": torch.where(mined.triplets > 0, mined.loss.detach() / margin, math.nan),
        "empty_share": (mined.triplets == 0).float(),
        "kept_share": mined.classes_kept.float(),
        "skipped_share": mined.classes_skipped.float(),
    }
