"""How far scores can be trusted, as rows of tables and in sentences, for terminal and page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longtail.evaluation.results import AttributeResults, Results
from longtail.evaluation.trust import CalibrationResults, RareFigures
from longtail.words import NOTHING, listed, percent, shortened

MOST_NAMED = 3
"""With more attributes than this, their calibration is said as a mean."""

CALIBRATION_HEADS = ("attribute", "temperature", "error before, %", "after, %", "rare classes, %")
THRESHOLD_HEADS = ("attribute", "decided", "from", "recall, %", "precision, %", "F1, %", "balanced, %")
SET_HEADS = ("attribute", "covered, %", "by class, %", "rare classes, %", "classes in a set")


def calibration_sentence(results: Results) -> str | None:
    """How sure the scores are, before and after their temperatures; None where nothing is known."""
    known = [(a.name, a.calibration) for a in results.attributes if a.calibration is not None]
    if not known:
        return None
    if len(known) > MOST_NAMED:
        before, after = (_mean_error([c for _, c in known], name) for name in ("before", "after"))
        return f"Calibration error {after} % ({before} % before temperatures), mean over attributes."
    parts = [
        f"{_named(name, len(known))}{percent(found.after.error)} % ({_before(found)})"
        for name, found in known
    ]
    return f"Calibration error {', '.join(parts)}."


def _named(name: str, attributes: int) -> str:
    return f"{shortened(name, 24)} " if attributes > 1 else ""


def _before(found: CalibrationResults) -> str:
    if found.temperature == 1:
        return f"as it is: {found.images:.0f} validation images in effect are too few for a temperature"
    return f"{percent(found.before.error)} % before a temperature of {found.temperature:.3g}"


def _mean_error(found: Sequence[CalibrationResults], when: str) -> str:
    errors = [getattr(one, when).error for one in found]
    known = [error for error in errors if error is not None]
    return percent(sum(known) / len(known) if known else None)


def calibration_rows(attributes: Sequence[AttributeResults]) -> Iterator[tuple[str, ...]]:
    """Cells under `CALIBRATION_HEADS`."""
    for attribute in attributes:
        found = attribute.calibration
        if found is not None:
            errors = found.before.error, found.after.error, found.after.few_error
            yield attribute.name, f"{found.temperature:.3g}", *map(percent, errors)


def threshold_rows(attributes: Sequence[AttributeResults]) -> Iterator[tuple[str, ...]]:
    """Cells under `THRESHOLD_HEADS`: of the analytic threshold, below it of a tuned one."""
    for attribute in attributes:
        found = attribute.threshold
        if found is not None:
            yield attribute.name, found.rare, "0.5", *_figures(found.analytic)
            if not found.kept:
                yield "", found.rare, f"{found.value:.3g}", *_figures(found.tuned)


def threshold_sentence(attributes: Sequence[AttributeResults]) -> str | None:
    """What thresholds were tuned for, and which were not and why; None where none were asked for."""
    found = [(a.name, a.threshold) for a in attributes if a.threshold is not None]
    if not found:
        return None
    tuned = f"Thresholds were tuned on validation images, for {found[0][1].aim} of the rarer class."
    kept: dict[str, list[str]] = {}
    for name, threshold in found:
        if threshold.kept:
            kept.setdefault(threshold.kept, []).append(f"{shortened(name, 24)} ({threshold.positives})")
    parts = [f"{why}: {listed(names)}" for why, names in kept.items()]
    if not parts:
        return tuned
    return f"{tuned} At 0.5 stay, with the validation images there are, {'; '.join(parts)}."


def _figures(found: RareFigures) -> list[str]:
    return [
        percent(share) for share in (found.recall, found.precision, found.f1, found.class_balanced_accuracy)
    ]


def set_rows(attributes: Sequence[AttributeResults]) -> Iterator[tuple[str, ...]]:
    """Cells under `SET_HEADS`."""
    for attribute in attributes:
        found = attribute.sets
        if found is not None:
            shares = map(percent, (found.covered, found.class_balanced, found.few))
            size = NOTHING if found.mean_size is None else f"{found.mean_size:.2f}"
            yield attribute.name, *shares, size


def set_sentence(results: Results) -> str | None:
    """What prediction sets promise; None where there are none."""
    asked = next((a.sets.coverage for a in results.attributes if a.sets), None)
    if asked is None:
        return None
    return (
        f"Prediction sets hold the class of {100 * asked:g} % of images like the validation images; of the "
        "images of a single class it may be less."
    )
