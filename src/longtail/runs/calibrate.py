"""Ask the validation images, once a model is trained, how sure its scores may be."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from longtail.errors import InputError
from longtail.methods.decisions import RULES, Decision
from longtail.methods.options import DECISIONS
from longtail.methods.recipe import check_decision
from longtail.runs.calibration import Calibration, save_calibrations
from longtail.runs.run import Run
from longtail.training.inference import outputs_of
from longtail.training.sealed import checksum_of


def calibrate(run: Run) -> None:
    """Find what validation images say of its own decision, and of those that can be chosen later.

    The images that chose the epoch and, for some methods, a setting are used again: one number for an
    attribute is all that is fitted. Nothing happens without validation images.
    """
    rows = run.data.splits.val
    if not len(rows):
        return
    method, rules = run.learner.method, dict(_rules(run))

    def give(images: Tensor) -> Tensor:
        output = run.learner.output(images)
        others = (rule.scores(output, method.criterion, method.shares) for rule in rules.values())
        return torch.stack([method.scores(output), *others], 1)

    scores = outputs_of(run.fabric, run.learner, run.data.loader, give, rows)
    labels = torch.from_numpy(run.data.dataset.labels[rows])
    named = {run.own_decision: method.decision, **rules}
    run.know(
        {
            name: Calibration.of(scores[:, place], labels, run.frequencies_by(rule))
            for place, (name, rule) in enumerate(named.items())
        }
    )
    if run.fabric.is_global_zero:
        save_calibrations(run.folder.calibration, run.calibrations, checksum_of(run.folder.model))


def _rules(run: Run) -> Iterator[tuple[str, Decision]]:
    """The decisions beside its own that need nothing but the network."""
    full = run.card.recipe
    for name, facts in DECISIONS.items():
        if name == run.own_decision or not facts.at_any_time:
            continue
        try:
            check_decision(run.card.method, name, full)
        except InputError:
            continue
        rule = RULES[name](full, run.card.setting(run.learner.model))
        yield name, rule.to(run.fabric.device)
