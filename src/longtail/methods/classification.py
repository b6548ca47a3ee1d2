"""The form of cross entropy that a method minimises, with the weights of the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.losses.adjusted import adjusted_cross_entropy, log_prior, vector_scaling
from longtail.losses.asymmetric import asymmetric
from longtail.losses.class_weights import (
    effective_number_weights,
    exp_share_weights,
    inverse_frequency_weights,
)
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.focal import focal
from longtail.losses.ldam import ldam, ldam_margins
from longtail.losses.mixing import mixed_cross_entropy
from longtail.methods.options import MethodOptions
from longtail.methods.parts import Parts
from longtail.schema import LabelSchema


class Classification(nn.Module):
    """l_ce as the parts `loss` and `class_weights` have it. Its tables are made once.

    Args:
        parts: of the method.
        options: of the losses.
        schema: attributes and classes.
        class_counts: for each attribute the training images of each class.

    Attributes:
        weighted: whether class weights count by now; they may be deferred.

    Raises:
        InputError: when the asymmetric loss meets an attribute that has other than two classes.
    """

    class_weights: Tensor | None
    shift: Tensor | None
    scale: Tensor | None
    margins: Tensor | None

    def __init__(
        self, parts: Parts, options: MethodOptions, schema: LabelSchema, class_counts: list[list[int]]
    ) -> None:
        super().__init__()
        self.loss = parts.loss
        self.class_counts = class_counts
        self.options = options
        self.weighted = True
        self._keep("class_weights", _weights(parts, options, class_counts))
        shift, scale, margins = _tables(parts.loss, options, class_counts)
        self._keep("shift", shift)
        self._keep("scale", scale)
        self._keep("margins", margins)
        wrong = next((a for a in schema.attributes if len(a.classes) != 2), None)
        if parts.loss == "asymmetric" and wrong is not None:
            raise InputError(
                f"--loss asymmetric: is for attributes of two classes, {wrong.name} has "
                f"{len(wrong.classes)}; "
                "choose others with --attributes, or another loss"
            )

    def _keep(self, name: str, table: Tensor | None) -> None:
        self.register_buffer(name, table, persistent=False)

    def forward(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch, mixed or not."""
        weights = self.class_weights if self.weighted else None
        if batch.partner is None or batch.share is None:
            return self._of(logits, batch.labels, weights)
        if self.loss == "softmax":
            return mixed_cross_entropy(logits, batch.labels, batch.partner, batch.share, weights)
        share = batch.share.mean()  # one share a batch: only remix has more, and needs the plain loss
        mixed = self._of(logits, batch.labels, weights), self._of(logits, batch.partner, weights)
        return share * mixed[0] + (1 - share) * mixed[1]

    def _of(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        options = self.options
        if self.loss == "focal":
            return focal(logits, labels, options.focal.gamma, weights)
        if self.loss == "asymmetric":
            asl = options.asl
            return asymmetric(logits, labels, asl.gamma_pos, asl.gamma_neg, asl.clip)
        if self.margins is not None:
            return ldam(logits, labels, self.margins, options.ldam.scale, weights)
        if self.shift is not None:
            return adjusted_cross_entropy(logits, labels, self.shift, self.scale, weights)
        return cross_entropy(logits, labels, weights)

    def adjust_to(self, shares: Tensor) -> None:
        """Let logit adjustment shift by what is drawn, not by what the data hold.

        ι_c = τ log(share_c), with a class that is never drawn counted as one image.

        Args:
            shares: (J, K) share of each class among the draws.
        """
        if self.loss != "logit-adjusted" or self.shift is None:
            return
        drawn = [
            [share * sum(counts) for share in own[: len(counts)]]
            for own, counts in zip(shares.tolist(), self.class_counts, strict=True)
        ]
        self.shift.copy_(log_prior(drawn, self.options.adjustment.tau))

    def decided(self, logits: Tensor) -> Tensor:
        """The logits that a decision reads: cosines are brought to the scale they were trained at."""
        return logits * self.options.ldam.scale if self.loss == "ldam" else logits

    def seen(self, shares: Tensor) -> Tensor:
        """(J, K) shares of the classes as the plain logits have them after training.

        Weights multiply the shares of the sampler; a shift of log r that is added in training alone takes
        them away again.
        """
        if self.class_weights is not None:
            shares = shares * self.class_weights.to(shares)
        if self.shift is not None:
            shares = shares * torch.exp(-self.shift).to(shares)
        return shares / shares.sum(1, keepdim=True).clamp(min=1e-12)


def _weights(parts: Parts, options: MethodOptions, counts: list[list[int]]) -> Tensor | None:
    if parts.class_weights == "exp-share":
        return exp_share_weights(counts)
    if parts.class_weights == "inverse-frequency":
        return inverse_frequency_weights(counts)
    if parts.class_weights == "effective-number":
        return effective_number_weights(counts, options.effective_beta)
    return None


def _tables(
    loss: str, options: MethodOptions, counts: list[list[int]]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Shift, scale and margins of the logits."""
    if loss == "logit-adjusted":
        return log_prior(counts, options.adjustment.tau), None, None
    if loss == "vector-scaling":
        tables = vector_scaling(counts, options.vs.gamma, options.vs.tau)
        return tables.shift, tables.scale, None
    if loss == "ldam":
        return None, None, ldam_margins(counts, options.ldam.margin)
    return None, None, None
