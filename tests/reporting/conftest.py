"""Plausible results of runs that never took place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.sparse import coo_array

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.metrics import FrequencyGroup, Metrics
from longtail.evaluation.results import (
    AttributeResults,
    Bounds,
    ClassResults,
    DataInfo,
    MethodInfo,
    ModelInfo,
    Results,
    TrainingInfo,
    cells,
)
from longtail.training.record import EpochRecord


def _group(count: int) -> FrequencyGroup:
    return "many" if count > 100 else "few" if count < 20 else "medium"


def _estimate(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, max(0.0, value - 0.06), min(1.0, value + 0.06))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def fake_attribute(
    name: str, classes: Sequence[str], rng: np.random.Generator, most: int = 1600
) -> AttributeResults:
    """An attribute with an exponential long tail and a confusion matrix that leans to frequent classes."""
    size = len(classes)
    train = np.maximum(1, most * (1 / most) ** (np.arange(size) / max(1, size - 1))).astype(int)
    test = rng.binomial(train, 0.25) if size > 4 else np.maximum(3, train // 4)
    recall = np.clip(0.95 * (train / most) ** 0.22 + rng.normal(0, 0.05, size), 0, 1)
    confusion = np.zeros((size, size), dtype=int)
    for k in range(size):
        wrong = train.astype(float) ** 0.6
        wrong[k] = 0
        share = wrong / max(wrong.sum(), 1e-9) * (1 - recall[k])
        share[k] = 1 - share.sum()
        confusion[k] = rng.multinomial(test[k], share)
    order = rng.permutation(size)
    confusion, train, test = confusion[np.ix_(order, order)], train[order], test[order]
    entries = [_entry(classes[k], int(train[k]), confusion, k) for k in range(size)]
    recalls = {g: [c.recall for c in entries if c.frequency_group == g and c.recall is not None]
               for g in ("many", "medium", "few")}  # fmt: skip
    values = Metrics(
        _mean([r for group in recalls.values() for r in group]),
        float(np.trace(confusion) / max(1, confusion.sum())),
        _mean([c.f1 for c in entries if c.f1 is not None]),
        _mean([c.average_precision for c in entries if c.average_precision]),
        *map(_mean, recalls.values()),
    )
    return AttributeResults(
        name=name,
        train_labelled=int(train.sum()),
        test_labelled=int(test.sum()),
        imbalance_ratio=float(train.max() / train.min()),
        metrics=values.map(_estimate),
        classes=tuple(entries),
        confusion=cells(coo_array(confusion)),
    )


def _entry(name: str, train: int, confusion: np.ndarray, k: int) -> ClassResults:
    hits, true, given = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
    recall = hits / true if true else None
    precision = hits / given if given else None
    return ClassResults(
        name=name,
        train_count=train,
        test_count=true,
        frequency_group=_group(train),
        recall=recall,
        precision=precision,
        f1=2 * hits / (true + given) if true else None,
        average_precision=None if recall is None else 0.9 * recall,
        recall_low=None if recall is None else 0.8 * recall,
        recall_high=None if recall is None else 0.5 + 0.5 * recall,
    )


def fake_results(
    attributes: Sequence[tuple[str, Sequence[str]]], seed: int = 0, method: str = "crl"
) -> Results:
    """Results of a run over attributes given as (name, class names)."""
    rng = np.random.default_rng(seed)
    made = tuple(fake_attribute(name, classes, rng) for name, classes in attributes)
    found = Metrics.each(lambda name: [figure.value for a in made if (figure := a.metrics.of(name))])
    shares = {"input wait": 0.013, "forward": 0.41, "backward": 0.5, "crl": 0.02}
    return Results(
        schema_version=2,
        longtail_version="0.1.0",
        created="2026-01-01T00:00:00+00:00",
        method=MethodInfo(method, {"level": "class", "comparison": "relative", "rho": 0.5}),
        model=ModelInfo("resnet32", 464154),
        data=DataInfo("clothing", {"train": 5000, "val": 600, "test": 1200}, (128, 128)),
        seed=seed,
        split="test",
        decision="argmax",
        training=TrainingInfo(20, 20, 212.3, 10.6, 471.0, shares),
        faults=(),
        groups=Bounds(100, 20),
        attributes=made,
        mean=found.map(_mean).map(_estimate),
    )


def fake_epochs(results: Results, epochs: int = 20, mined: bool = True) -> list[EpochRecord]:
    """Epochs of the same run."""
    rng = np.random.default_rng(1)
    return [_epoch(results, e, epochs, rng, mined) for e in range(1, epochs + 1)]


def _epoch(results: Results, number: int, epochs: int, rng: np.random.Generator, mined: bool) -> EpochRecord:
    fade = float(np.exp(-3 * number / epochs)) + 0.02 * float(rng.random())
    loss = {"total": 0.3 + 2.2 * fade, "ce": 0.25 + 2 * fade} | ({"crl": 0.05 + 0.2 * fade} if mined else {})
    shares = [[min(0.8, c.train_count / 1600) for c in a.classes] for a in results.attributes]
    balanced = 0.7 - 0.5 * fade
    counts = {
        "anchors": 30 + 3 * float(rng.random()),
        "positive_pairs": 300 * fade + 40,
        "negative_pairs": 700.0,
        "active_share": fade if number > 1 else None,
        "empty_share": 0.02,
        "kept_share": shares,
        "skipped_share": [[0.15 * (1 - share) for share in row] for row in shares],
    }
    figures = Metrics(balanced, balanced, balanced, balanced, None, None, balanced / 2)
    return EpochRecord(
        epoch=number,
        step=40 * number,
        learning_rate=0.1,
        seconds=10.6,
        images_per_second=471.0,
        input_wait_share=0.01,
        loss=loss,
        mined=counts if mined else None,
        validation=figures if number % 2 else None,
    )


@pytest.fixture(scope="session")
def results_of() -> Callable[..., Results]:
    """Makes results from attributes given as (name, class names)."""
    return fake_results


@pytest.fixture(scope="session")
def epochs_of() -> Callable[..., list[EpochRecord]]:
    """Makes epochs that fit given results."""
    return fake_epochs
