"""Everything between the pixels of an image and its decision, as one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from longtail.decisions.sets import typicality
from longtail.decisions.temperature import tempered
from longtail.decisions.thresholds import Threshold
from longtail.exporting.resize import Resize
from longtail.losses.tables import present_classes
from longtail.runs.calibration import Frequencies
from longtail.runs.run import Run
from longtail.training.learner import Learner


@dataclass(frozen=True, eq=False)
class Rules:
    """What turns scores into decisions.

    Attributes:
        temperature: (J,) of the scores, None where they stay as they are.
        thresholds: of attributes of two classes that are decided by one, by column.
        smallest_typical: for each attribute the typicality from which on a class is in the prediction set;
            empty for no sets.
        frequencies: of the classes, where there are sets.
    """

    temperature: Tensor | None = None
    thresholds: Mapping[int, Threshold] = field(default_factory=dict[int, Threshold])
    smallest_typical: Sequence[float] = ()
    frequencies: Frequencies | None = None

    @classmethod
    def of(cls, run: Run) -> Rules:
        """Those of a run as it decides."""
        temperature = None if run.calibration is None else run.calibration.temperature
        return cls(temperature, run.thresholds, run.smallest_typical, run.frequencies)


class Decider(nn.Module):
    """Images as they are stored -> probabilities and decisions, by the functions that `predict` calls.

    Args:
        learner: in evaluation mode, with the decision that is to be made.
        size: (height, width) of the images that it takes.
        rules: that follow on its scores.
    """

    temperature: Tensor | None
    assumed: Tensor
    shares: Tensor
    least: Tensor

    def __init__(self, learner: Learner, size: tuple[int, int], rules: Rules) -> None:
        super().__init__()
        self.resize = Resize(size)
        self.learner = learner
        self.rules = rules
        self.register_buffer("temperature", rules.temperature, persistent=False)
        if rules.frequencies is not None and rules.smallest_typical:
            least = torch.tensor(rules.smallest_typical)[:, None].expand_as(rules.frequencies.assumed)
            # beyond the classes of an attribute nothing is typical enough
            least = least.masked_fill(~present_classes(rules.frequencies.schema), torch.inf)
            self.register_buffer("assumed", rules.frequencies.assumed.float(), persistent=False)
            self.register_buffer("shares", rules.frequencies.shares.float(), persistent=False)
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
        if not self.rules.smallest_typical:
            return probabilities, decision
        typical = typicality(probabilities, self.assumed, self.shares) >= self.least
        return probabilities, decision, typical | one_hot(decision, probabilities.shape[2]).bool()

    def _decision(self, probabilities: Tensor) -> Tensor:
        columns = list(probabilities.argmax(2).unbind(1))
        for j, threshold in self.rules.thresholds.items():
            enough = probabilities[:, j, threshold.rare] >= threshold.value
            columns[j] = torch.where(enough, threshold.rare, 1 - threshold.rare)
        return torch.stack(columns, 1)
