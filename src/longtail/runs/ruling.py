"""How the scores of a model become decisions and prediction sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.decisions.temperature import tempered
from longtail.decisions.thresholds import Aim, Threshold
from longtail.evaluation.metrics import decided
from longtail.runs.calibration import Calibration, Frequencies
from longtail.tables import present_classes


@dataclass(frozen=True, eq=False)
class Ruling:
    """What follows on the scores that a method gives.

    Attributes:
        frequencies: of the classes, and how frequent the scores take them to be.
        temperature: (J,) of the scores, None where they stay as they are.
        thresholds: of attributes of two classes that are decided by one, by column.
        smallest_typical: for each attribute the typicality from which on a class is in the prediction set;
            empty for no sets.
    """

    frequencies: Frequencies
    temperature: Tensor | None = None
    thresholds: Mapping[int, Threshold] = field(default_factory=dict[int, Threshold])
    smallest_typical: Sequence[float] = ()

    @classmethod
    def of(
        cls, frequencies: Frequencies, known: Calibration | None, aim: Aim | None, coverage: float | None
    ) -> Ruling:
        """By what validation images said; without thresholds where there is no aim, without sets likewise."""
        if known is None:
            return cls(frequencies)
        rare = {j: frequencies.rare(j) for j in range(len(frequencies.counts))} if aim else {}
        thresholds = {j: known.threshold(j, own, aim) for j, own in rare.items() if aim and own is not None}
        typical = () if coverage is None else known.smallest_typical(coverage)
        return cls(frequencies, known.temperature, thresholds, typical)

    def calibrated(self, scores: Tensor) -> NDArray[np.float64]:
        """(n, J, K) scores at their temperature."""
        known = self.temperature
        return (scores if known is None else tempered(scores, known)).double().numpy()

    def decisions(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        """(n, J) the class decided for, of calibrated scores (n, J, K)."""
        columns = enumerate(self.frequencies.schema.num_classes)
        return np.stack(
            [decided(scores[:, j, :classes], self.thresholds.get(j)) for j, classes in columns], 1
        )

    def members(self, scores: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """(n, J, K) whether a class is in the prediction set of an image; None where there are no sets.

        The class decided for is always among them.
        """
        if not self.smallest_typical:
            return None
        typical = self.frequencies.typicality(torch.from_numpy(scores).float()).numpy()
        found = typical >= np.array(self.smallest_typical)[:, None]
        found &= present_classes(self.frequencies.schema).numpy()
        np.put_along_axis(found, self.decisions(scores)[..., None], True, 2)
        return found
