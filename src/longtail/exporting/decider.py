"""Everything between the pixels of an image and its decision, as one network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from longtail.decisions.sets import typicality
from longtail.decisions.temperature import tempered
from longtail.exporting.resize import Resize
from longtail.runs.ruling import Ruling
from longtail.tables import present_classes
from longtail.training.learner import Learner


class Decider(nn.Module):
    """Images as they are stored -> probabilities and decisions, by the functions that `predict` calls.

    Args:
        learner: in evaluation mode, with the decision that is to be made.
        size: (height, width) of the images that it takes.
        ruling: what follows on its scores.
    """

    temperature: Tensor | None
    assumed: Tensor
    shares: Tensor
    least: Tensor

    def __init__(self, learner: Learner, size: tuple[int, int], ruling: Ruling) -> None:
        super().__init__()
        self.resize = Resize(size)
        self.learner = learner
        self.ruling = ruling
        self.register_buffer("temperature", ruling.temperature, persistent=False)
        if ruling.smallest_typical:
            least = torch.tensor(ruling.smallest_typical)[:, None].expand_as(ruling.frequencies.assumed)
            # beyond the classes of an attribute nothing is typical enough
            least = least.masked_fill(~present_classes(ruling.frequencies.schema), torch.inf)
            self.register_buffer("assumed", ruling.frequencies.assumed.float(), persistent=False)
            self.register_buffer("shares", ruling.frequencies.shares.float(), persistent=False)
            self.register_buffer("least", least, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, H, W, 3) uint8 of any N, H and W -> probabilities (N, J, K), decision (N, J) int64, with sets
        also members (N, J, K) bool.

        A probability is 0 where an attribute has no such class.
        """
        return self.decide(self.resize(images))

    def decide(self, images: Tensor) -> tuple[Tensor, ...]:
        """The same of images (N, 3, height, width) uint8 that have the right size."""
        scores = self.learner.scores(images)
        probabilities = scores if self.temperature is None else tempered(scores, self.temperature)
        decision = self._decision(probabilities)
        if not self.ruling.smallest_typical:
            return probabilities, decision
        typical = typicality(probabilities, self.assumed, self.shares) >= self.least
        return probabilities, decision, typical | one_hot(decision, probabilities.shape[2]).bool()

    def _decision(self, probabilities: Tensor) -> Tensor:
        columns = list(probabilities.argmax(2).unbind(1))
        for j, threshold in self.ruling.thresholds.items():
            enough = probabilities[:, j, threshold.rare] >= threshold.value
            columns[j] = torch.where(enough, threshold.rare, 1 - threshold.rare)
        return torch.stack(columns, 1)
