"""What the validation images say of a model's scores: how sure they may be, thresholds, prediction sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from longtail.decisions.sets import smallest_typical, typicality
from longtail.decisions.temperature import best_temperature, tempered
from longtail.decisions.thresholds import ANALYTIC, Aim, Threshold, tuned_threshold
from longtail.errors import InputError
from longtail.evaluation.metrics import rare_class
from longtail.schema import UNLABELLED, LabelSchema
from longtail.tables import count_table
from longtail.training.sealed import read_sealed, write_sealed

FEWEST_IMAGES = 50
"""Validation images, in effect, below which the temperature of an attribute stays 1."""


@dataclass(frozen=True, eq=False)
class Frequencies:
    """How frequent the classes of a model are.

    Attributes:
        schema: attributes and classes.
        counts: for each attribute the training images of each class.
        assumed: (J, K) float, share of each class where the scores are posteriors.
    """

    schema: LabelSchema
    counts: list[list[int]]
    assumed: Tensor

    @cached_property
    def shares(self) -> Tensor:
        """(J, K) share of each class among the training images."""
        counts = count_table(self.counts).double()
        return counts / counts.sum(1, keepdim=True).clamp(min=1)

    def weights(self, labels: Tensor, column: int) -> Tensor:
        """(n,) weights of labelled images under which classes are as frequent as the scores assume; sum 1."""
        assumed = self.assumed[column].double()
        images = torch.bincount(labels, minlength=len(assumed))
        weights = (assumed / images.clamp(min=1))[labels]
        return weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)

    def typicality(self, scores: Tensor) -> Tensor:
        """(..., J, K), see `longtail.decisions.sets.typicality`."""
        return typicality(scores, self.assumed.to(scores), self.shares.to(scores))

    def rare(self, column: int) -> int | None:
        """The rarer of two classes, None for an attribute of more."""
        return rare_class(np.array(self.counts[column]))


@dataclass(frozen=True, eq=False)
class Calibration:
    """What validation images say of the scores of one decision.

    Attributes:
        labels: (n, J) int64 classes of the images, -1 = unlabelled.
        temperature: (J,) float32, 1 where there were too few images.
        effective: (J,) float32, the images that it was found on, in effect: 1 / Σ w_i².
        scores: (n, J) float32, the score of that class at this temperature.
        typical: (n, J) float32, the typicality of that class.
    """

    labels: Tensor
    temperature: Tensor
    effective: Tensor
    scores: Tensor
    typical: Tensor

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor, frequencies: Frequencies) -> Calibration:
        """Find it.

        Args:
            scores: (n, J, K) float32 of validation images.
            labels: (n, J) int64, -1 = unlabelled.
            frequencies: of the classes.
        """
        found = [_temperature(scores, labels, column, frequencies) for column in range(labels.shape[1])]
        temperature, effective = (torch.tensor(values, dtype=torch.float32) for values in zip(*found))
        scores = tempered(scores, temperature)
        true = labels.clamp(min=0)[..., None]
        parts = (table.gather(2, true)[..., 0] for table in (scores, frequencies.typicality(scores)))
        return cls(labels, temperature, effective, *parts)

    def smallest_typical(self, coverage: float) -> list[float]:
        """For each attribute the typicality from which on a class is in the prediction set."""
        known = self.labels != UNLABELLED
        return [
            smallest_typical(own[rows], coverage)
            for own, rows in zip(self.typical.unbind(1), known.unbind(1), strict=True)
        ]

    def threshold(self, column: int, rare: int, aim: Aim) -> Threshold:
        """The threshold of an attribute of two classes; ½ where it cannot be tuned."""
        labels = self.labels[:, column]
        known, positive = labels != UNLABELLED, labels == rare
        scores = torch.where(positive, self.scores[:, column], 1 - self.scores[:, column])[known]
        images = int(positive.sum())
        if images < aim.fewest:
            return Threshold(rare, ANALYTIC, images, f"fewer than {aim.fewest} of the rarer class")
        if images == int(known.sum()):
            return Threshold(rare, ANALYTIC, images, "all of the rarer class")
        found = tuned_threshold(scores, positive[known], aim)
        if found is None:
            return Threshold(rare, ANALYTIC, images, "no threshold reaches the aim")
        return Threshold(rare, found, images)


def _temperature(
    scores: Tensor, labels: Tensor, column: int, frequencies: Frequencies
) -> tuple[float, float]:
    """The temperature of an attribute, and the images behind it."""
    known, classes = labels[:, column] != UNLABELLED, frequencies.schema.num_classes[column]
    own, true = scores[known, column, :classes], labels[known, column]
    weights = frequencies.weights(true, column)
    effective = float(1 / weights.square().sum()) if weights.sum() > 0 else 0.0
    return (best_temperature(own, true, weights) if effective >= FEWEST_IMAGES else 1.0), effective


FORMAT = "longtail-calibration"


def save_calibrations(path: Path, calibrations: Mapping[str, Calibration], model: str) -> None:
    """Write what is known of each decision.

    Args:
        path: of the file.
        calibrations: by name of the decision; their labels are the same.
        model: checksum of the model that they belong to.
    """
    tensors = {"labels": next(iter(calibrations.values())).labels}
    for decision, found in calibrations.items():
        tensors |= {f"{decision}.{name}": getattr(found, name).contiguous() for name in _OF_DECISION}
    write_sealed(path, tensors, {"format": FORMAT, "model": model})


def load_calibrations(path: Path, model: str, schema: LabelSchema) -> dict[str, Calibration]:
    """What `save_calibrations` wrote, by decision; none where there is no file.

    Raises:
        InputError: when the file is damaged, or belongs to another model.
    """
    if not path.exists():
        return {}
    tensors, facts = read_sealed(path, "", _AGAIN)
    decisions = dict.fromkeys(name.partition(".")[0] for name in sorted(tensors) if "." in name)
    try:
        found = {name: _of_decision(name, tensors) for name in decisions}
    except KeyError as error:
        raise InputError(f"{path}: expected {error} in it; {_AGAIN}") from None
    if facts.get("format") != FORMAT or not all(_fits(one, schema) for one in found.values()):
        raise InputError(f"{path}: expected the calibration of this model; {_AGAIN}")
    if facts.get("model") != model:
        raise InputError(f"{path}: belongs to another model.safetensors; {_AGAIN}")
    return found


def _of_decision(name: str, tensors: Mapping[str, Tensor]) -> Calibration:
    return Calibration(tensors["labels"], *(tensors[f"{name}.{part}"] for part in _OF_DECISION))


_OF_DECISION = ("temperature", "effective", "scores", "typical")
_AGAIN = "delete it to decide without it, or train again"


def _fits(found: Calibration, schema: LabelSchema) -> bool:
    j, n = schema.num_attributes, len(found.labels)
    tables: Sequence[Tensor] = (found.labels, found.scores, found.typical)
    right = found.labels.dtype == torch.int64 and all(table.shape == (n, j) for table in tables)
    right = right and found.temperature.shape == found.effective.shape == (j,)
    return bool(right and (found.temperature > 0).all() and found.temperature.isfinite().all())
