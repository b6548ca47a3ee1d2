from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import longtail
from longtail.errors import InputError
from longtail.evaluation.intervals import Estimate, intervals
from longtail.evaluation.metrics import METRICS, FrequencyBounds, Predictions, evaluate
from longtail.evaluation.results import (
    RESULTS,
    Bounds,
    DataInfo,
    MethodInfo,
    ModelInfo,
    Results,
    RunInfo,
    TrainingInfo,
    build_results,
)

from .problems import gaussian, schema_of

Json = dict[str, Any]
Edit = Callable[[Json], object]

TRAINING = TrainingInfo(2, 2, 1.5, 0.75, 266.0, {"input wait": 0.01})


def run_info(training: TrainingInfo | None = TRAINING, **options: Any) -> RunInfo:
    return RunInfo(
        method=MethodInfo("crl", {"level": "class", "weights": [1, None], **options}),
        model=ModelInfo("resnet32", 464154),
        data=DataInfo("shapes", {"train": 200, "test": 60}, (32, 24)),
        seed=3,
        split="test",
        training=training,
    )


@pytest.fixture(scope="module")
def results() -> Results:
    return build_results(gaussian(60, (4, 2)), run_info())


@pytest.fixture
def document(results: Results) -> Json:
    """The same as JSON, to be edited."""
    return json.loads(RESULTS.encode(results))


def test_results_say_what_was_evaluated(results: Results):
    assert results.longtail_version == longtail.__version__
    assert datetime.fromisoformat(results.created).utcoffset() == timedelta(0)
    assert results.method == MethodInfo("crl", {"level": "class", "weights": [1, None]})
    assert (results.seed, results.split, results.decision) == (3, "test", "argmax")
    assert results.groups == Bounds(100, 20)
    assert results.training == TRAINING


def test_the_file_has_these_keys_in_this_order(document: Json):
    assert list(document) == [
        "schema_version", "longtail_version", "created", "method", "model", "data", "seed", "split",
        "decision", "training", "groups", "attributes", "mean", "faults", "caveat", "image_groups",
    ]  # fmt: skip
    assert list(document["attributes"][0]) == [
        "name", "train_labelled", "test_labelled", "imbalance_ratio", "metrics", "classes", "confusion",
            "calibration", "threshold", "sets",
    ]  # fmt: skip
    assert list(document["attributes"][0]["classes"][0]) == [
        "name", "train_count", "test_count", "frequency_group", "recall", "precision", "f1",
        "average_precision", "recall_low", "recall_high",
    ]  # fmt: skip
    assert tuple(document["mean"]) == METRICS
    assert list(document["mean"]["accuracy"]) == ["value", "low", "high"]
    assert document["schema_version"] == 2


def test_results_hold_the_figures_of_the_evaluation(results: Results):
    predictions = gaussian(60, (4, 2))
    evaluation = evaluate(predictions)
    assert [a.name for a in results.attributes] == ["a0", "a1"]
    for j, (entry, figures) in enumerate(zip(results.attributes, evaluation.attributes, strict=True)):
        rows = figures.confusion.toarray().tolist()
        assert entry.confusion == tuple(
            (i, k, n) for i, row in enumerate(rows) for k, n in enumerate(row) if n
        )
        assert entry.test_labelled == 60
        assert entry.train_labelled == predictions.train_counts[j].sum()
        for c, row in enumerate(entry.classes):
            assert row.name == f"c{c}"
            assert row.train_count == predictions.train_counts[j, c]
            assert row.test_count == (predictions.labels[:, j] == c).sum()
            assert row.frequency_group == predictions.class_groups(j)[c]
            for key in ("recall", "precision", "f1", "average_precision"):
                value = getattr(figures, key)[c]
                assert getattr(row, key) == (None if math.isnan(value) else value)
        for name in METRICS:
            found, value = entry.metrics.of(name), figures.figures.of(name)
            assert (found and found.value) == (None if math.isnan(value) else value)
    assert results.attributes[0].imbalance_ratio == pytest.approx(200 / 12)
    assert results.mean.accuracy.value == evaluation.mean.accuracy


def test_a_class_has_the_interval_of_its_recall(results: Results):
    recalls = intervals(gaussian(60, (4, 2)), evaluate(gaussian(60, (4, 2)))).recalls
    for entry, found in zip(results.attributes, recalls, strict=True):
        ends = [(row.recall, row.recall_low, row.recall_high) for row in entry.classes]
        assert ends == [(one.value, one.low, one.high) for one in found if one is not None]


def test_results_count_the_groups_of_their_images():
    assert build_results(gaussian(60), run_info()).image_groups is None
    groups = np.arange(60) // 4
    assert build_results(gaussian(60, groups=groups), run_info()).image_groups == 15


def test_results_of_earlier_versions_are_read(document: Json):
    for part in (
        document,
        *document["attributes"],
        *(c for a in document["attributes"] for c in a["classes"]),
    ):
        for later in ("image_groups", "recall_low", "recall_high"):
            part.pop(later, None)
    for figures in (document["mean"], *(a["metrics"] for a in document["attributes"])):
        figures.pop("rare_average_precision", None)
    found = RESULTS.decode(json.dumps(document), "results.json")
    assert found.image_groups is found.attributes[0].classes[0].recall_low is None
    assert found.mean.rare_average_precision is None


def test_undefined_figures_are_none():
    labels = np.array([[0], [0], [-1]])
    predictions = Predictions(
        np.tile([0.8, 0.2, 0.0], (3, 1, 1)),
        labels,
        schema_of(3),
        np.zeros((1, 3), np.int64),
        FrequencyBounds(5, 5),
    )
    results = build_results(predictions, run_info(training=None))
    (attribute,) = results.attributes
    assert attribute.imbalance_ratio is None
    assert results.training is None
    assert attribute.metrics.many_recall is None
    assert attribute.metrics.few_recall == Estimate(1.0, pytest.approx(2 / (2 + 1.96**2), abs=1e-4), 1.0)
    assert attribute.classes[1].recall is attribute.classes[1].precision is None
    assert attribute.test_labelled == 2


def test_classes_without_training_images_do_not_make_the_imbalance_ratio_infinite():
    predictions = Predictions(
        np.zeros((1, 1, 3)), np.array([[0]]), schema_of(3), np.array([[30, 0, 10]], dtype=np.int64)
    )
    results = build_results(predictions, run_info())
    assert results.attributes[0].imbalance_ratio == 3.0


def test_what_is_written_is_read_again(tmp_path: Path, results: Results):
    path = tmp_path / "results.json"
    RESULTS.write(path, results)
    assert RESULTS.read(path) == results
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_numbers_that_json_does_not_have_are_none_before_and_after_writing(tmp_path: Path):
    costs = TrainingInfo(2, 2, 1.5, 0.75, math.inf, {"input wait": math.nan})
    made = build_results(gaussian(60), run_info(costs, margins=(0.5, math.nan)))
    assert made.training == TrainingInfo(2, 2, 1.5, 0.75, None, {"input wait": None})
    assert made.method.options["margins"] == [0.5, None]
    RESULTS.write(tmp_path / "results.json", made)
    assert RESULTS.read(tmp_path / "results.json") == made


def test_a_run_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"results of shapes: not valid results: .* `\$\.training\.epochs`"):
        build_results(gaussian(60), run_info(TrainingInfo(-1, 2, 1.5, 0.75, 1.0, {})))


def test_results_that_cannot_be_written_leave_an_older_file_as_it_was(tmp_path: Path, results: Results):
    path = tmp_path / "results.json"
    RESULTS.write(path, results)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="object"):
        RESULTS.write(path, replace(results, method=MethodInfo("crl", {"level": object()})))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_write_that_breaks_off_leaves_the_older_file_and_nothing_beside_it(
    tmp_path: Path, results: Results, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "results.json"
    path.write_text("older")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="cannot be written"):
        RESULTS.write(path, results)
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, results: Results, parent: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"{parent}/results.json: cannot be written"):
        RESULTS.write(tmp_path / parent / "results.json", results)


def edit(*keys: Any, to: Any) -> Edit:
    def apply(document: Json) -> None:
        place: Any = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return apply


FAULTS: list[tuple[str, str, Edit]] = [
    ("field `seed`", "", lambda r: r.pop("seed")),
    ("field `schema_version`", "", lambda r: r.pop("schema_version")),
    ("unknown field `extra`", "", edit("extra", to=1)),
    ("matching regex", "$.created", edit("created", to="yesterday")),
    ("field `options`", "$.method", lambda r: r["method"].pop("options")),
    ("Expected `int`", "$.model.parameters", edit("model", "parameters", to=1.5)),
    ("matching regex", "$.data.images", edit("data", "images", to={"holdout": 3})),
    ("length >= 1", "$.data.images", edit("data", "images", to={})),
    ("length 2", "$.data.image_size", edit("data", "image_size", to=[32])),
    ("Expected `int`", "$.seed", edit("seed", to="0")),
    (">= 0", "$.training.epochs", edit("training", "epochs", to=-1)),
    ("field `few_below`", "$.groups", lambda r: r["groups"].pop("few_below")),
    ("length >= 1", "$.attributes", edit("attributes", to=[])),
    ("field `accuracy`", "$.attributes[1].metrics", lambda r: r["attributes"][1]["metrics"].pop("accuracy")),
    ("got `float`", "$.attributes[0].metrics.accuracy", edit("attributes", 0, "metrics", "accuracy", to=0.5)),
    (
        "Expected `float`",
        "$.attributes[0].metrics.accuracy.low",
        edit("attributes", 0, "metrics", "accuracy", "low", to=None),
    ),
    ("<= 1", "$.attributes[1].classes[0].recall", edit("attributes", 1, "classes", 0, "recall", to=1.5)),
    (
        "enum value 'x'",
        "$.attributes[1].classes[0].frequency_group",
        edit("attributes", 1, "classes", 0, "frequency_group", to="x"),
    ),
    (">= 0", "$.attributes[1].confusion[1][0]", edit("attributes", 1, "confusion", 1, 0, to=-1)),
    (
        "confusion: expected each cell once",
        "$.attributes[1]",
        lambda r: r["attributes"][1]["confusion"].reverse(),
    ),
    (
        "confusion: expected each cell once",
        "$.attributes[1]",
        lambda r: r["attributes"][1]["confusion"].insert(0, r["attributes"][1]["confusion"][0]),
    ),
    (
        "confusion: expected classes below 4",
        "$.attributes[0]",
        edit("attributes", 0, "confusion", 2, 1, to=4),
    ),
    (
        "confusion: expected rows that sum to the test_count",
        "$.attributes[0]",
        edit("attributes", 0, "classes", 1, "test_count", to=1000),
    ),
    ("field `low`", "$.mean.few_recall", edit("mean", "few_recall", to={"value": 0.5})),
]


@pytest.mark.parametrize(("what", "where", "fault"), FAULTS)
def test_a_document_that_does_not_fit_is_refused_with_the_path_of_its_fault(
    tmp_path: Path, document: Json, what: str, where: str, fault: Edit
):
    fault(document)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        RESULTS.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not valid results: ")
    assert what in message
    assert f"`{where}`" in message or not where
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["", "{", "[1, 2", '{"seed": NaN}', "results", "[" * 100_000])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, text: str):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"results\.json: not JSON") as caught:
        RESULTS.read(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_not_json_either(tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(InputError, match="not JSON"):
        RESULTS.read(path)


@pytest.mark.parametrize("document", ["[]", "3", "null", "{}"])
def test_json_that_is_no_results_is_refused(tmp_path: Path, document: str):
    path = tmp_path / "results.json"
    path.write_text(document)
    with pytest.raises(InputError, match="not valid results: "):
        RESULTS.read(path)


@pytest.mark.parametrize("version", [0, 1, 3, "2", None])
def test_another_schema_version_is_named_before_any_other_fault(
    tmp_path: Path, document: Json, version: object
):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**document, "schema_version": version, "attributes": 1}))
    with pytest.raises(InputError, match=f"expected results of schema version 2, got {json.dumps(version)}"):
        RESULTS.read(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read"):
        RESULTS.read(tmp_path / "nowhere.json")
