"""DeepID2: attributes, identities, and pairs of identities."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longtail.data.dataset import Batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.verification import best_margin, verification
from longtail.methods.base import Method
from longtail.methods.context import Facts, Losses, Setting, TrainingData
from longtail.methods.recipe import Recipe
from longtail.models.classifier import Classifier
from longtail.models.output import ModelOutput
from longtail.ranks import gather_ranks
from longtail.sampling.epochs import Sampler, ShuffledSampler
from longtail.sampling.pairs import IdentityPairSampler
from longtail.tensors import full_precision


class DeepID2(Method):
    """Batches of identity pairs, l = l_ce + w_id l_ident + λ l_verif on the backbone's vector.

    l_ce recognises the attributes, as the compared systems use the network; the other two are the
    paper's, l_ident the cross entropy over all identities. The margin of the verification is no parameter:
    in every step it is the distance that tells the recent pairs apart best. Without identities only l_ce
    is left, on shuffled batches.

    Source: Sun, Chen, Wang, Tang, NIPS 2014, eq. 1-3; λ and the window of the margin as remembered.
    """

    identities: Tensor
    distances: Tensor
    same: Tensor
    known: Tensor
    filled: Tensor

    def __init__(self, options: Recipe, setting: Setting, model: Classifier) -> None:
        super().__init__(options, setting, model)
        self.num_identities = setting.identities
        if setting.identities:  # else it would be a parameter that no loss reaches
            self.classifier = nn.Linear(setting.vector, setting.identities)
        self.register_buffer("identities", torch.empty(0, dtype=torch.int64), persistent=False)
        window = options.deepid2.window
        self.register_buffer("distances", torch.zeros(window))
        self.register_buffer("same", torch.zeros(window, dtype=torch.bool))
        self.register_buffer("known", torch.zeros(window, dtype=torch.bool))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @classmethod
    def facts(cls, data: TrainingData) -> Facts:
        """How many identities there are to tell apart: none where no two training images show the same."""
        if data.identities is None:
            return Facts()
        codes = identity_codes(data.identities, data.rows)[data.rows]
        images = np.bincount(codes[codes >= 0])
        return Facts(identities=len(images) if (images > 1).any() else 0)

    def draw(self, data: TrainingData, batch_size: int, seed: int, processes: int) -> Sampler:
        """Pairs, half of them of one identity; position i and i + N/2 of a batch are a pair."""
        if data.identities is None or not self.num_identities:
            return ShuffledSampler(data.rows, batch_size, seed, processes)
        codes = identity_codes(data.identities, data.rows)
        return IdentityPairSampler(data.rows, codes[data.rows], batch_size, seed, processes)

    def observe(self, data: TrainingData, sampler: Sampler, seed: int) -> list[str]:
        """Keep who is shown in each image."""
        said = super().observe(data, sampler, seed)
        if data.identities is None or not self.num_identities:
            return [
                "deepid2: no two training images show the same identity (columns identity, group), so it "
                "trains without identification and verification",
                *said,
            ]
        codes = identity_codes(data.identities, data.rows)
        self.identities = torch.from_numpy(codes).to(self.shares.device)
        return said

    def loss(self, output: ModelOutput, batch: Batch) -> Losses:
        """The three terms."""
        terms = {"ce": self.cross_entropy(output, batch)}
        if not self.num_identities:
            return Losses(terms)
        identity = self.identities.to(batch.index.device)[batch.index]
        first, second = full_precision(output.vector).chunk(2)
        one, other = identity.chunk(2)
        same, valid = one == other, (one >= 0) & (other >= 0)
        margin = self._margin((first - second).detach().norm(dim=1), same, valid)
        terms["identification"] = self.options.deepid2.identification * cross_entropy(
            self.classifier(output.vector), identity
        )
        terms["verification"] = self.options.deepid2.verification * verification(
            first, second, same, valid, margin
        )
        return Losses(terms, {"margin": margin})

    def _margin(self, distances: Tensor, same: Tensor, valid: Tensor) -> Tensor:
        """The margin of the recent pairs, these among them, in the order of the whole batch."""
        pairs = [gather_ranks(own) for own in (distances, same, valid)]
        number, window = len(pairs[0]), len(self.same)
        place = (self.filled + torch.arange(number, device=same.device)[-window:]) % window
        for kept, own in zip((self.distances, self.same, self.known), pairs):
            kept[place] = own[-window:].to(kept.dtype)
        self.filled += number
        return best_margin(self.distances, self.same, self.known)


def identity_codes(identities: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) int64 identities of the training images numbered from 0, -1 for all others.

    Example:
        >>> identity_codes(np.array([7, 5, -1, 7, 9]), np.array([0, 1, 2, 3])).tolist()
        [1, 0, -1, 1, -1]
    """
    codes = np.full(len(identities), -1, np.int64)
    known = rows[identities[rows] >= 0]
    codes[known] = np.unique(identities[known], return_inverse=True)[1]
    return codes
