"""What a run knows of its own scores, beside the figures of the images that it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray
from torch import Tensor

from longtail.evaluation.metrics import Predictions
from longtail.evaluation.results import AttributeResults
from longtail.evaluation.trust import (
    CalibrationResults,
    SetResults,
    ThresholdResults,
    reliability,
    set_results,
    threshold_results,
)
from longtail.runs.run import Run


def trust(
    run: Run, predictions: Predictions, plain: Tensor, attributes: Sequence[AttributeResults]
) -> Iterator[AttributeResults]:
    """Results of attributes with calibration, thresholds and prediction sets.

    Args:
        run: that decided.
        predictions: of it.
        plain: (n, J, K) its scores before their temperature.
        attributes: the results without.
    """
    members = run.ruling.members(predictions.scores.astype(np.float64, copy=False))
    for j, attribute in enumerate(attributes):
        yield structs.replace(
            attribute,
            calibration=_calibration(run, predictions, plain, j),
            threshold=_threshold(run, predictions, j),
            sets=None if members is None else _sets(run, predictions, members[:, j], j),
        )


def _calibration(run: Run, predictions: Predictions, plain: Tensor, column: int) -> CalibrationResults | None:
    known = run.calibration
    if known is None:
        return None
    scores, labels = predictions.of_attribute(column)
    before = plain[torch.from_numpy(predictions.labelled(column)), column, : scores.shape[1]].double().numpy()
    weights = run.frequencies.weights(torch.from_numpy(labels), column).numpy()
    few = predictions.class_groups(column) == "few"
    found = (reliability(each.astype(np.float64), labels, weights, few) for each in (before, scores))
    return CalibrationResults(float(known.temperature[column]), float(known.effective[column]), *found)


def _threshold(run: Run, predictions: Predictions, column: int) -> ThresholdResults | None:
    threshold = run.ruling.thresholds.get(column)
    if threshold is None:
        return None
    scores, labels = predictions.of_attribute(column)
    classes = predictions.schema.attributes[column].classes
    return threshold_results(scores.astype(np.float64), labels, threshold, str(run.aim), classes)


def _sets(run: Run, predictions: Predictions, members: NDArray[np.bool_], column: int) -> SetResults:
    _, labels = predictions.of_attribute(column)
    own = members[predictions.labelled(column), : predictions.schema.num_classes[column]]
    return set_results(own, labels, run.coverage or 0.0, predictions.class_groups(column) == "few")
