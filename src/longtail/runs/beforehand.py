"""What is known before the first step: whether the split leaks, and the figure to beat."""

from __future__ import annotations

from statistics import fmean

import numpy as np
from torch import Tensor

from longtail.documents import Form, Part
from longtail.features.linear import fit_attributes
from longtail.methods.linear import FEWEST_TO_CHOOSE, usual_length
from longtail.runs.leak import warn_of_leak
from longtail.runs.run import Run
from longtail.training.inference import outputs_of
from longtail.words import percent

MOST = 20_000_000
"""Training images times classes, over all attributes, up to which it is solved: below a minute of a core."""


class Beforehand(Part, frozen=True):
    """What results say of a run that was known before it learned anything.

    Attributes:
        linear: class-balanced accuracy of the method `linear` on the validation images, a mean over the
            attributes; None where it was not solved.
        leak: a sentence on test images with near duplicates among the training images; None without such.
    """

    linear: float | None = None
    leak: str | None = None


BEFOREHAND = Form(Beforehand, "what was known beforehand", "the beforehand.json of a run", "train again", 2)


def look_beforehand(run: Run) -> None:
    """Look at the split, solve the regression, say what was found, and keep it in the run's folder."""
    linear = _linear(run)
    if not run.fabric.is_global_zero:
        return
    leak = warn_of_leak(run.data.dataset, run.data.splits, run.watcher, run.config.data_options.value_bits)
    if linear is not None:
        run.watcher.say(
            f"to beat on the validation images: {percent(linear)} %, of a regression on the vectors of the "
            "network as published (--method linear)"
        )
    if linear is not None or leak is not None:
        BEFOREHAND.write(run.folder.beforehand, Beforehand(linear, leak))


def known_beforehand(run: Run) -> Beforehand:
    """What `look_beforehand` kept."""
    file = run.folder.beforehand
    return BEFOREHAND.read(file) if file.exists() else Beforehand()


def _linear(run: Run) -> float | None:
    """What the regression reaches; None where it is not solved.

    It is not where the last stage of a known network does not learn, with fewer than `FEWEST_TO_CHOOSE`
    validation images, and where it would take long. On frozen vectors it would take a third of the
    training's time.
    """
    validation, classes = run.data.splits.val, run.card.schema.num_classes
    training = run.data.splits.train
    if run.config.tuning != "last" or len(validation) < FEWEST_TO_CHOOSE:
        return None
    if len(training) * sum(classes) > MOST:
        return None
    own, other = (_vectors(run, rows) for rows in (training, validation))
    if not run.fabric.is_global_zero:
        return None
    labels, length = run.data.dataset.labels, usual_length(own)
    x, checked = (own / length).numpy(), (other / length).numpy()
    fits = fit_attributes(x, labels[training], classes, (checked, labels[validation]))
    known = [max(fit.values) for fit in fits if fit.values and not np.isnan(fit.values).any()]
    return fmean(known) if known else None


def _vectors(run: Run, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
    """(n, B) as the backbone gives them before its first step."""

    def vector(images: Tensor) -> Tensor:
        return run.learner.output(images).vector

    return outputs_of(run.fabric, run.learner, run.data.loader, vector, rows)
