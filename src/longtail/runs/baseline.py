"""What a regression on the vectors of the known network reaches: a training has to beat it."""

from __future__ import annotations

from statistics import fmean
from typing import cast

import numpy as np
import torch
from torch import Tensor

from longtail.documents import Form, Part
from longtail.features.linear import fit_linear
from longtail.runs.run import Run
from longtail.training.defaults import FEWEST_VALIDATION
from longtail.training.inference import outputs_of
from longtail.words import percent

MOST = 20_000_000
"""Training images times classes, over all attributes, up to which it is solved: below a minute of a core."""


class Baseline(Part, frozen=True):
    """Figures of simple methods on the validation images.

    Attributes:
        linear: class-balanced accuracy of the method `linear`, a mean over the attributes.
    """

    linear: float


BASELINE = Form(Baseline, "figures to beat", "the baseline.json of a run", "train again", indent=2)


def set_baseline(run: Run) -> None:
    """Solve the regression of a run that begins, where its vectors are at hand, and say what it reaches.

    Nothing is done where the last stage of a known network does not learn, with fewer than
    `FEWEST_VALIDATION` validation images, and where it would take long. On frozen vectors it would take
    a third of the training's time.
    """
    validation, classes = run.data.splits.val, run.card.schema.num_classes
    training = run.data.splits.train
    if (
        run.config.tuning != "last"
        or len(validation) < FEWEST_VALIDATION
        or len(training) * sum(classes) > MOST
    ):
        return
    own, other = (_vectors(run, rows) for rows in (training, validation))
    if not run.fabric.is_global_zero:
        return
    labels = run.data.dataset.labels
    fits = [
        fit_linear(own, labels[training, j], size, (other, labels[validation, j]))
        for j, size in enumerate(classes)
    ]
    known = [max(fit.values) for fit in fits if fit.values and not np.isnan(fit.values).any()]
    if known:
        found = Baseline(fmean(known))
        BASELINE.write(run.folder.baseline, found)
        run.watcher.say(
            f"to beat on the validation images: {percent(found.linear)} %, of a regression on the vectors of "
            "the network as published (--method linear)"
        )


def _vectors(run: Run, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray:
    """(n, B) of about unit length, as the backbone gives them before its first step."""

    def vector(images: Tensor) -> Tensor:
        return cast(Tensor, run.learner.output(images).vector)

    with torch.no_grad():
        found = outputs_of(run.fabric, run.learner, run.data.loader, vector, rows)
    return (found / (found.norm(dim=1).median().item() or 1.0)).numpy()
