"""Another decision rule for a trained model."""

from __future__ import annotations

from functools import partial

from longtail.methods.context import EpochContext, TrainedRun
from longtail.methods.decisions import RULES
from longtail.methods.recipe import check_decision, recipe
from longtail.runs.run import Run


def decide_by(run: Run, decision: str | None) -> None:
    """Let a run decide by another rule; one that needs images of the run reads them again.

    Args:
        run: changed in place.
        decision: name of the rule; None is the run's own.

    Raises:
        InputError: when the method has no use for the rule, or the images are not there.
    """
    if decision in (None, run.own_decision):
        return
    full = recipe(run.card.method, run.card.method_options)
    check_decision(run.card.method, decision, full)
    rule = RULES[decision](full, run.card.setting(run.learner.model))
    rule.learn(partial(_trained, run))
    run.learner.method.decision = rule.to(run.fabric.device)
    run.decision = decision


def _trained(run: Run) -> TrainedRun:
    """The data that a run was trained on, and what its network makes of them."""
    epochs = run.config.epochs
    end = EpochContext(epochs, epochs, 0, run.learner.model, run.features)
    return TrainedRun(run.data.training(), run.data.splits.val, run.config.seed, end, run.logits)
