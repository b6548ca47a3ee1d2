"""Plausible comparisons that never took place, as JSON holds them; `typed` makes documents of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from longtail.comparing.document import ComparisonDocument
from longtail.evaluation.metrics import METRICS

Json = dict[str, Any]


def typed(document: Json) -> ComparisonDocument:
    return msgspec.convert(document, ComparisonDocument)


def single_attribute() -> Json:
    """One attribute of ten classes, four methods with five seeds, one failed cell, features."""
    document = comparison([10], ["ce", "over", "crl-class", "crl-instance"], seeds=5)
    fail(document["methods"][2]["cells"][3], "out of memory; lower --batch-size")
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 10, 300)
    centres = rng.normal(0, 20, (10, 2))
    points = {
        m["name"]: (centres[labels] + rng.normal(0, 4, (300, 2))).round(2).tolist()
        for m in document["methods"]
    }
    document["features"] = {"attribute": 0, "labels": labels.tolist(), "points": points}
    return document


def several_attributes() -> Json:
    """Seven attributes of two to six classes, three methods with two seeds, no features."""
    return comparison([2, 3, 4, 2, 6, 2, 5], ["ce", "focal", "crl"], seeds=2)


def comparison(classes: Sequence[int], names: Sequence[str], seeds: int) -> Json:
    rng = np.random.default_rng(0)
    attributes = [_attribute(j, size, rng) for j, size in enumerate(classes)]
    return {
        "schema_version": 1,
        "longtail_version": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "command": "longtail compare clothing --seeds 5",
        "machine": "x86_64, 8 cores",
        "data": {
            "name": "clothing",
            "images": {"train": 5000, "val": 600, "test": 1200},
            "image_size": [64, 48],
        },
        "attributes": attributes,
        "budget": {"epochs": 20, "seconds": None},
        "baseline": "ce",
        "methods": [_method(name, i, attributes, seeds, rng) for i, name in enumerate(names)],
        "features": None,
    }


def fail(cell: Json, error: str) -> None:
    cell |= {"status": "failed", "error": error, "own_decision": None, "training": None, "decisions": {}}


def set_balanced(document: Json, *values: Sequence[float]) -> ComparisonDocument:
    """Give the finished cells of each method these class-balanced accuracies, seed by seed."""
    for method, own in zip(document["methods"], values, strict=True):
        for cell, value in zip(method["cells"], own, strict=True):
            if cell["status"] == "finished":
                cell["decisions"]["argmax"]["mean"]["class_balanced_accuracy"] = value
    return typed(document)


def _attribute(j: int, size: int, rng: np.random.Generator) -> Json:
    counts = np.maximum(2, 2000 * (0.5 ** np.arange(size) if size > 6 else 0.15 ** np.arange(size)))
    counts = rng.permutation(counts.astype(int) + j)
    return {
        "name": f"attribute {j}",
        "imbalance_ratio": float(counts.max() / counts.min()),
        "classes": [
            {
                "name": f"class {k}",
                "train_count": int(n),
                "test_count": int(n) // 4 + 1,
                "frequency_group": "many" if n > 100 else "few" if n < 20 else "medium",
            }
            for k, n in enumerate(counts)
        ],
    }


def _method(name: str, index: int, attributes: list[Json], seeds: int, rng: np.random.Generator) -> Json:
    trials = [{"flags": ["--lr", str(lr)], "validation": round(float(rng.random()), 3)} for lr in (0.1, 0.01)]
    return {
        "name": name,
        "flags": ["--method", name],
        "backbone": "resnet32",
        "parameters": 464154,
        "tuned": {"trials": trials, "chosen": 1} if index == 1 else None,
        "cells": [_cell(name, index, seed, attributes, rng) for seed in range(seeds)],
    }


def _cell(name: str, index: int, seed: int, attributes: list[Json], rng: np.random.Generator) -> Json:
    seconds = 60.0 * 1.4**index + float(rng.random())
    return {
        "seed": seed,
        "run": f"{name}-{seed}",
        "status": "finished",
        "error": None,
        "own_decision": "argmax",
        "training": {
            "epochs": 20,
            "seconds": seconds,
            "images_per_second": 5000 * 20 / seconds,
            "peak_memory_bytes": 500_000_000 + 1000 * seed,
        },
        "decisions": {
            decision: _decision(0.02 * index + shift, attributes, rng)
            for decision, shift in (("argmax", 0.0), ("prior", 0.05))
        },
    }


def _decision(shift: float, attributes: list[Json], rng: np.random.Generator) -> Json:
    found = [_figures(shift, attribute, rng) for attribute in attributes]
    defined = [metric for metric in METRICS if any(metric in a["metrics"] for a in found)]
    mean = {metric: _mean([a["metrics"].get(metric) for a in found]) for metric in defined}
    return {"mean": mean, "attributes": found}


def _figures(shift: float, attribute: Json, rng: np.random.Generator) -> Json:
    classes = attribute["classes"]
    most = max(c["train_count"] for c in classes)
    recall = [
        float(np.clip((c["train_count"] / most) ** 0.25 * 0.9 + shift + rng.normal(0, 0.03), 0, 1))
        for c in classes
    ]
    groups = {
        g: _mean([r for r, c in zip(recall, classes) if c["frequency_group"] == g])
        for g in ("many", "medium", "few")
    }
    balanced = float(np.mean(recall))
    metrics = {
        "class_balanced_accuracy": balanced,
        "accuracy": 0.5 * (balanced + max(recall)),
        "macro_f1": 0.95 * balanced,
        "mean_average_precision": 0.9 * balanced,
        **{f"{group}_recall": value for group, value in groups.items()},
        **({"rare_average_precision": 0.5 * balanced} if len(classes) == 2 else {}),
    }
    return {"metrics": metrics, "recall": recall}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
