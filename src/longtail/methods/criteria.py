"""The forms of cross entropy that a method can minimise, with the weights of the classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.losses.adjusted import adjusted_cross_entropy, log_prior, vector_scaling
from longtail.losses.asymmetric import asymmetric, asymmetric_posterior
from longtail.losses.class_weights import (
    effective_number_weights,
    exp_share_weights,
    inverse_frequency_weights,
)
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.focal import focal, focal_posterior
from longtail.losses.ldam import ldam, ldam_margins, ldam_posterior
from longtail.losses.mixing import mixed_cross_entropy
from longtail.methods.context import Setting
from longtail.methods.options import WeightsName
from longtail.methods.recipe import Recipe


class Criterion(nn.Module, ABC):
    """l_ce in one of its forms. Its tables are made once and are not in the checkpoint.

    Args:
        recipe: of the method; its `class_weights` and the options of the form count.
        setting: attributes, classes and their training images.

    Attributes:
        weighted: whether class weights count by now; they may be deferred.

    Raises:
        InputError: when the form is not for these attributes.
    """

    class_weights: Tensor | None

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        super().__init__()
        self.recipe = recipe
        self.weighted = True
        self.keep("class_weights", WEIGHTS[recipe.class_weights](setting.class_counts, recipe))

    def keep(self, name: str, table: Tensor | None) -> None:
        """Keep a (J, K) table on the device of the module, out of the checkpoint."""
        self.register_buffer(name, table, persistent=False)

    def forward(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch, mixed or not."""
        weights = self.class_weights if self.weighted else None
        if batch.partner is None or batch.share is None:
            return self.of(logits, batch.labels, weights)
        return self.mixed(logits, batch.labels, batch.partner, batch.share, weights)

    @abstractmethod
    def of(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """The loss of (N, J, K) logits at (N, J) labels, with (J, K) class weights or without."""

    def mixed(
        self, logits: Tensor, labels: Tensor, partner: Tensor, share: Tensor, weights: Tensor | None
    ) -> Tensor:
        """The loss at both labels of mixed images, each by its share."""
        share = share.mean()  # one share a batch: only remix has more, and needs the plain loss
        own, other = self.of(logits, labels, weights), self.of(logits, partner, weights)
        return share * own + (1 - share) * other

    def adjust_to(self, shares: Tensor) -> None:
        """Follow what is drawn, where the form depends on it.

        Args:
            shares: (J, K) share of each class among the draws.
        """

    def own(self, logits: Tensor) -> Tensor:
        """The logits whose largest decides, where the form itself says so: at the scale of its training."""
        return logits

    def posterior(self, logits: Tensor) -> Tensor:
        """Logits of the posterior that minimising this form learns: where the classes have shares `seen`.

            softmax(posterior)_k = p(k | x) ∝ seen_k p(x | k)

        So a decision that divides by those shares need not know the form. Exact where the logits can be
        anything at every x; docs/methods.md has the table.
        """
        return logits

    def seen(self, shares: Tensor) -> Tensor:
        """(J, K) shares of the classes in `posterior`, after training.

        Args:
            shares: (J, K) share of each class among the draws; class weights multiply them.
        """
        if self.class_weights is not None:
            shares = shares * self.class_weights.to(shares)
        shares = self.left(shares)
        return shares / shares.sum(1, keepdim=True).clamp(min=1e-12)

    def left(self, shares: Tensor) -> Tensor:
        """The shares, of draws times weights, without what the form itself adjusts for."""
        return shares


class Softmax(Criterion):
    """Plain cross entropy."""

    def of(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """See `cross_entropy`."""
        return cross_entropy(logits, labels, weights)

    def mixed(
        self, logits: Tensor, labels: Tensor, partner: Tensor, share: Tensor, weights: Tensor | None
    ) -> Tensor:
        """Every label by a share of its own, see `mixed_cross_entropy`."""
        return mixed_cross_entropy(logits, labels, partner, share, weights)


class Focal(Criterion):
    """Focal loss."""

    def of(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """See `focal`."""
        return focal(logits, labels, self.recipe.focal.gamma, weights)

    def posterior(self, logits: Tensor) -> Tensor:
        """See `focal_posterior`."""
        return focal_posterior(logits, self.recipe.focal.gamma)


class Shifted(Criterion):
    """Cross entropy of logits with a shift, and perhaps a scale, that training alone adds.

    The shift is τ log r of what the loss sees: r is the share of each class among the draws times its weight,
    from the epoch on in which weights count. So the logits that decide have log r less of each class.
    """

    tau: float
    shift: Tensor
    scale: Tensor | None

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        super().__init__(recipe, setting)
        self.class_counts = setting.class_counts
        self.keep("shift", log_prior(setting.class_counts, self.tau))
        self.keep("scale", None)

    def adjust_to(self, shares: Tensor) -> None:
        """Shift by what is drawn, not by what the data hold; a class never drawn counts as one image."""
        drawn = [
            [share * sum(counts) for share in own[: len(counts)]]
            for own, counts in zip(shares.tolist(), self.class_counts, strict=True)
        ]
        self.shift.copy_(log_prior(drawn, self.tau))

    def of(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """See `adjusted_cross_entropy`."""
        return adjusted_cross_entropy(logits, labels, self._shift_by(weights), self.scale, weights)

    def posterior(self, logits: Tensor) -> Tensor:
        """The logits at their scale; `seen` leaves the shift out."""
        return logits if self.scale is None else logits * self.scale.to(logits)

    def left(self, shares: Tensor) -> Tensor:
        """The shares without the shift."""
        return shares * torch.exp(-self._shift_by(self.class_weights)).to(shares)

    def _shift_by(self, weights: Tensor | None) -> Tensor:
        return self.shift if weights is None else self.shift + self.tau * weights.to(self.shift).log()


class LogitAdjusted(Shifted):
    """Logit adjustment: the shift alone."""

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        self.tau = recipe.adjustment.tau
        super().__init__(recipe, setting)


class VectorScaling(Shifted):
    """Vector scaling: the shift, and a scale by the class counts."""

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        self.tau = recipe.vs.tau
        super().__init__(recipe, setting)
        self.keep("scale", vector_scaling(setting.class_counts, recipe.vs.gamma, self.tau).scale)


class LDAM(Criterion):
    """Margins on cosines."""

    margins: Tensor

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        super().__init__(recipe, setting)
        self.keep("margins", ldam_margins(setting.class_counts, recipe.ldam.margin))

    def of(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """See `ldam`."""
        return ldam(logits, labels, self.margins, self.recipe.ldam.scale, weights)

    def own(self, logits: Tensor) -> Tensor:
        """Cosines at the scale that they were trained at."""
        return logits * self.recipe.ldam.scale

    def posterior(self, logits: Tensor) -> Tensor:
        """See `ldam_posterior`."""
        return ldam_posterior(logits, self.margins, self.recipe.ldam.scale)


class Asymmetric(Criterion):
    """Asymmetric loss, for attributes of two classes."""

    def __init__(self, recipe: Recipe, setting: Setting) -> None:
        super().__init__(recipe, setting)
        wrong = next((a for a in setting.schema.attributes if len(a.classes) != 2), None)
        if wrong is not None:
            raise InputError(
                f"--loss asymmetric: is for attributes of two classes, {wrong.name} has "
                f"{len(wrong.classes)}; choose others with --attributes, or another loss"
            )

    def of(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:  # noqa: ARG002
        """See `asymmetric`; it has weights of its own."""
        asl = self.recipe.asl
        return asymmetric(logits, labels, asl.gamma_pos, asl.gamma_neg, asl.clip)

    def posterior(self, logits: Tensor) -> Tensor:
        """See `asymmetric_posterior`."""
        asl = self.recipe.asl
        return asymmetric_posterior(logits, asl.gamma_pos, asl.gamma_neg, asl.clip)


CRITERIA: Mapping[str, type[Criterion]] = {
    "softmax": Softmax,
    "focal": Focal,
    "logit-adjusted": LogitAdjusted,
    "vector-scaling": VectorScaling,
    "ldam": LDAM,
    "asymmetric": Asymmetric,
}
"""The form of cross entropy by the name that `--loss` takes; what goes with it stands in `LOSSES`."""

WEIGHTS: Mapping[WeightsName, Callable[[list[list[int]], Recipe], Tensor | None]] = {
    "none": lambda _counts, _recipe: None,
    "exp-share": lambda counts, _: exp_share_weights(counts),
    "inverse-frequency": lambda counts, _: inverse_frequency_weights(counts),
    "effective-number": lambda counts, recipe: effective_number_weights(counts, recipe.effective_beta),
}
"""(J, K) class weights from class counts, by the name that `--class-weights` takes."""
