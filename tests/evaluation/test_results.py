from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import longtail
from longtail.errors import InputError
from longtail.evaluation.metrics import METRICS, FrequencyBounds, Predictions, evaluate
from longtail.evaluation.results import RunInfo, build_results, read_results, write_results

from .problems import gaussian, schema_of

Edit = Callable[[dict[str, Any]], object]


def run_info(**changed: Any) -> RunInfo:
    entries: dict[str, Any] = {
        "method": {"name": "crl", "options": {"level": "class", "weights": [1, None]}},
        "model": {"backbone": "resnet32", "parameters": 464154},
        "data": {"name": "shapes", "images": {"train": 200, "test": 60}, "image_size": [32, 24]},
        "seed": 3,
        "split": "test",
        "training": {
            "epochs": 2,
            "seconds": 1.5,
            "seconds_per_epoch": 0.75,
            "images_per_second": 266.0,
            "step_shares": {"input wait": 0.01},
        },
    }
    return RunInfo(**{**entries, **changed})


def schema_text() -> str:
    return files("longtail.evaluation").joinpath("results.schema.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return build_results(gaussian(60, (4, 2)), run_info(), resamples=100)


@pytest.fixture
def results(built: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(built)


def objects_of(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for entry in schema.values():
            yield from objects_of(entry)


def test_the_schema_is_a_valid_one_that_refuses_unknown_keys_and_demands_the_known():
    from jsonschema import Draft202012Validator

    schema = json.loads(schema_text())
    Draft202012Validator.check_schema(schema)
    objects = [entry for entry in objects_of(schema) if isinstance(entry["properties"], dict)]
    assert len(objects) >= 9
    for entry in objects:
        assert entry["additionalProperties"] is False
        assert "minProperties" in entry or set(entry["required"]) == set(entry["properties"])
    assert tuple(schema["$defs"]["metrics"]["properties"]) == METRICS


def test_results_say_what_was_evaluated(results: dict[str, Any]):
    assert results["schema_version"] == 1
    assert results["longtail_version"] == longtail.__version__
    assert datetime.fromisoformat(results["created"]).utcoffset() == timedelta(0)
    assert results["method"] == {"name": "crl", "options": {"level": "class", "weights": [1, None]}}
    assert (results["seed"], results["split"], results["decision"]) == (3, "test", "argmax")
    assert results["groups"] == {"many_above": 100, "few_below": 20}
    assert results["training"]["step_shares"] == {"input wait": 0.01}


def test_results_hold_the_figures_of_the_evaluation(results: dict[str, Any]):
    predictions = gaussian(60, (4, 2))
    evaluation = evaluate(predictions)
    assert [a["name"] for a in results["attributes"]] == ["a0", "a1"]
    for j, (entry, figures) in enumerate(zip(results["attributes"], evaluation.attributes, strict=True)):
        assert entry["confusion"] == figures.confusion.tolist()
        assert entry["test_labelled"] == 60
        assert entry["train_labelled"] == predictions.train_counts[j].sum()
        for c, row in enumerate(entry["classes"]):
            assert row["name"] == f"c{c}"
            assert row["train_count"] == predictions.train_counts[j, c]
            assert row["test_count"] == (predictions.labels[:, j] == c).sum()
            assert row["frequency_group"] == predictions.class_groups(j)[c]
            for key in ("recall", "precision", "f1", "average_precision"):
                value = getattr(figures, key)[c]
                assert row[key] is None if math.isnan(value) else row[key] == value
        for name in METRICS:
            found = entry["metrics"][name]
            assert (found and found["value"]) == (
                None if math.isnan(figures.figures[name]) else figures.figures[name]
            )
    assert results["attributes"][0]["imbalance_ratio"] == pytest.approx(200 / 12)
    assert results["mean"]["accuracy"]["value"] == evaluation.mean["accuracy"]


def test_undefined_figures_are_null_and_the_document_stays_valid():
    labels = np.array([[0], [0], [-1]])
    predictions = Predictions(
        np.tile([0.8, 0.2, 0.0], (3, 1, 1)),
        labels,
        schema_of(3),
        np.zeros((1, 3), np.int64),
        FrequencyBounds(5, 5),
    )
    results = build_results(predictions, run_info(training=None), resamples=100)
    attribute = results["attributes"][0]
    assert attribute["imbalance_ratio"] is None
    assert results["training"] is None
    assert attribute["metrics"]["many_recall"] is None
    assert attribute["metrics"]["few_recall"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert attribute["classes"][1]["recall"] is attribute["classes"][1]["precision"] is None
    assert attribute["test_labelled"] == 2


def test_classes_without_training_images_do_not_make_the_imbalance_ratio_infinite():
    predictions = Predictions(
        np.zeros((1, 1, 3)), np.array([[0]]), schema_of(3), np.array([[30, 0, 10]], dtype=np.int64)
    )
    results = build_results(predictions, run_info(), resamples=100)
    assert results["attributes"][0]["imbalance_ratio"] == 3.0


def test_what_is_written_is_read_again(tmp_path: Path, results: dict[str, Any]):
    path = tmp_path / "results.json"
    write_results(path, results)
    assert read_results(path) == results
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_numbers_that_json_does_not_have_are_written_as_null(tmp_path: Path, results: dict[str, Any]):
    results["training"]["images_per_second"] = math.inf
    results["method"]["options"]["margins"] = (0.5, math.nan)
    write_results(tmp_path / "results.json", results)
    read = read_results(tmp_path / "results.json")
    assert read["training"]["images_per_second"] is None
    assert read["method"]["options"]["margins"] == [0.5, None]


def test_results_that_do_not_fit_leave_an_older_file_as_it_was(tmp_path: Path, results: dict[str, Any]):
    path = tmp_path / "results.json"
    write_results(path, results)
    before = path.read_bytes()
    del results["mean"]
    with pytest.raises(ValueError, match=r"\$: 'mean' is a required property"):
        write_results(path, results)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_write_that_breaks_off_leaves_the_older_file_and_nothing_beside_it(
    tmp_path: Path, results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "results.json"
    path.write_text("older")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="cannot be written"):
        write_results(path, results)
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, results: dict[str, Any], parent: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"{parent}/results.json: cannot be written"):
        write_results(tmp_path / parent / "results.json", results)


def edit(*keys: Any, to: Any) -> Edit:
    def apply(results: dict[str, Any]) -> None:
        for key in keys[:-1]:
            results = results[key]
        results[keys[-1]] = to

    return apply


FAULTS: list[tuple[str, Edit]] = [
    ("$: 'seed' is a required property", lambda r: r.pop("seed")),
    ("$: 'schema_version' is a required property", lambda r: r.pop("schema_version")),
    ("$: Additional properties are not allowed ('extra'", edit("extra", to=1)),
    ("$.created:", edit("created", to="yesterday")),
    ("$.method:", lambda r: r["method"].pop("options")),
    ("$.model.parameters:", edit("model", "parameters", to=1.5)),
    ("$.data.images:", edit("data", "images", to={"holdout": 3})),
    ("$.data.image_size:", edit("data", "image_size", to=[32])),
    ("$.seed:", edit("seed", to="0")),
    ("$.training.epochs:", edit("training", "epochs", to=-1)),
    ("$.groups:", lambda r: r["groups"].pop("few_below")),
    ("$.attributes:", edit("attributes", to=[])),
    ("$.attributes[1].metrics:", lambda r: r["attributes"][1]["metrics"].pop("accuracy")),
    ("$.attributes[0].metrics.accuracy:", edit("attributes", 0, "metrics", "accuracy", to=0.5)),
    ("$.attributes[0].metrics.accuracy.low:", edit("attributes", 0, "metrics", "accuracy", "low", to=None)),
    ("$.attributes[1].classes[0].recall:", edit("attributes", 1, "classes", 0, "recall", to=1.5)),
    (
        "$.attributes[1].classes[0].frequency_group:",
        edit("attributes", 1, "classes", 0, "frequency_group", to="x"),
    ),
    ("$.attributes[1].confusion[1][0]:", edit("attributes", 1, "confusion", 1, 0, to=-1)),
    ("$.attributes[1].confusion:", lambda r: r["attributes"][1]["confusion"].pop()),
    ("$.attributes[0].confusion:", lambda r: r["attributes"][0]["confusion"][2].append(0)),
    ("$.attributes[0].confusion:", edit("attributes", 0, "classes", 1, "test_count", to=1000)),
    ("$.mean.few_recall:", edit("mean", "few_recall", to={"value": 0.5})),
]


@pytest.mark.parametrize(("where", "fault"), FAULTS)
def test_a_document_that_does_not_fit_is_refused_with_the_path_of_its_fault(
    tmp_path: Path, results: dict[str, Any], where: str, fault: Edit
):
    fault(results)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{path}: not valid results at {where}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["", "{", "[1, 2", '{"seed": NaN}', "results", "[" * 100_000])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, text: str):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"results\.json: not JSON") as caught:
        read_results(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_not_json_either(tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(InputError, match="not JSON"):
        read_results(path)


@pytest.mark.parametrize("document", ["[]", "3", "null", "{}"])
def test_json_that_is_no_results_is_refused(tmp_path: Path, document: str):
    path = tmp_path / "results.json"
    path.write_text(document)
    with pytest.raises(InputError, match=r"not valid results at \$"):
        read_results(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_named_before_any_other_fault(
    tmp_path: Path, results: dict[str, Any], version: object
):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**results, "schema_version": version, "new key": 1}))
    with pytest.raises(InputError, match=f"expected results of schema version 1, got {version!r}"):
        read_results(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read"):
        read_results(tmp_path / "nowhere.json")
