"""Plausible results of runs that never took place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

Json = dict[str, Any]
METRICS = ("class_balanced_accuracy", "accuracy", "macro_f1", "mean_average_precision")


def _group(count: int) -> str:
    return "many" if count > 100 else "few" if count < 20 else "medium"


def _metric(value: float | None) -> Json | None:
    return (
        None if value is None else {"value": value, "low": max(0, value - 0.06), "high": min(1, value + 0.06)}
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def fake_attribute(name: str, classes: Sequence[str], rng: np.random.Generator, most: int = 1600) -> Json:
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
    recalls = {g: [c["recall"] for c in entries if c["frequency_group"] == g and c["recall"] is not None]
               for g in ("many", "medium", "few")}  # fmt: skip
    values = {
        "class_balanced_accuracy": _mean([r for group in recalls.values() for r in group]),
        "accuracy": float(np.trace(confusion) / max(1, confusion.sum())),
        "macro_f1": _mean([c["f1"] for c in entries if c["f1"] is not None]),
        "mean_average_precision": _mean([c["average_precision"] for c in entries if c["average_precision"]]),
        **{f"{group}_recall": _mean(r) for group, r in recalls.items()},
    }
    return {
        "name": name,
        "train_labelled": int(train.sum()),
        "test_labelled": int(test.sum()),
        "imbalance_ratio": float(train.max() / train.min()),
        "metrics": {metric: _metric(value) for metric, value in values.items()},
        "classes": entries,
        "confusion": confusion.tolist(),
    }


def _entry(name: str, train: int, confusion: np.ndarray, k: int) -> Json:
    hits, true, given = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
    recall = hits / true if true else None
    precision = hits / given if given else None
    return {
        "name": name,
        "train_count": train,
        "test_count": true,
        "frequency_group": _group(train),
        "recall": recall,
        "precision": precision,
        "f1": 2 * hits / (true + given) if true else None,
        "average_precision": None if recall is None else 0.9 * recall,
    }


def fake_results(attributes: Sequence[tuple[str, Sequence[str]]], seed: int = 0, method: str = "crl") -> Json:
    """results.json of a run over attributes given as (name, class names)."""
    rng = np.random.default_rng(seed)
    made = [fake_attribute(name, classes, rng) for name, classes in attributes]
    names = made[0]["metrics"]
    values = {m: _mean([a["metrics"][m]["value"] for a in made if a["metrics"][m]]) for m in names}
    images = {"train": 5000, "val": 600, "test": 1200}
    return {
        "schema_version": 1,
        "longtail_version": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "method": {"name": method, "options": {"level": "class", "comparison": "relative", "rho": 0.5}},
        "model": {"backbone": "resnet32", "parameters": 464154},
        "data": {"name": "clothing", "images": images, "image_size": [128, 128]},
        "seed": seed,
        "split": "test",
        "decision": "argmax",
        "training": {
            "epochs": 20,
            "seconds": 212.3,
            "seconds_per_epoch": 10.6,
            "images_per_second": 471.0,
            "step_shares": {"input wait": 0.013, "forward": 0.41, "backward": 0.5, "crl": 0.02},
        },
        "groups": {"many_above": 100, "few_below": 20},
        "attributes": made,
        "mean": {metric: _metric(value) for metric, value in values.items()},
    }


def fake_epochs(results: Json, epochs: int = 20, mined: bool = True) -> list[Json]:
    """metrics.jsonl of the same run."""
    rng = np.random.default_rng(1)
    return [_epoch(results, e, epochs, rng, mined) for e in range(1, epochs + 1)]


def _epoch(results: Json, number: int, epochs: int, rng: np.random.Generator, mined: bool) -> Json:
    fade = float(np.exp(-3 * number / epochs)) + 0.02 * float(rng.random())
    loss = {"total": 0.3 + 2.2 * fade, "ce": 0.25 + 2 * fade} | ({"crl": 0.05 + 0.2 * fade} if mined else {})
    shares = [[min(0.8, c["train_count"] / 1600) for c in a["classes"]] for a in results["attributes"]]
    balanced = 0.7 - 0.5 * fade
    record: Json = {
        "epoch": number,
        "step": 40 * number,
        "learning_rate": 0.1,
        "seconds": 10.6,
        "images_per_second": 471.0,
        "input_wait_share": 0.01,
        "loss": loss,
        "validation": {"class_balanced_accuracy": balanced, "few_recall": balanced / 2}
        if number % 2
        else None,
    }
    if mined:
        record["mined"] = {
            "anchors": 30 + 3 * float(rng.random()),
            "positive_pairs": 300 * fade + 40,
            "negative_pairs": 700.0,
            "active_share": fade if number > 1 else None,
            "empty_share": 0.02,
            "kept_share": shares,
            "skipped_share": [[0.15 * (1 - share) for share in row] for row in shares],
        }
    return record


@pytest.fixture(scope="session")
def results_of() -> Callable[..., Json]:
    """Makes results.json from attributes given as (name, class names)."""
    return fake_results


@pytest.fixture(scope="session")
def epochs_of() -> Callable[..., list[Json]]:
    """Makes metrics.jsonl that fits given results."""
    return fake_epochs
