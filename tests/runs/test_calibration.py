"""What the validation images say of a run's scores, from the end of its training to its results."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from longtail.decisions.thresholds import Aim
from longtail.errors import InputError
from longtail.evaluation.results import RESULTS
from longtail.runs.calibration import Calibration, Frequencies, load_calibrations, save_calibrations
from longtail.runs.evaluate import evaluate
from longtail.runs.predict import notes_on
from longtail.runs.run import Run
from longtail.runs.train import train
from longtail.schema import UNLABELLED, Attribute, LabelSchema
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

from .conftest import drawn


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short training of balanced softmax on the digits."""
    folder = tmp_path_factory.mktemp("calibration") / "run"
    options = DataOptions(tail_ratio=10, tail_largest=60, val_share=0.2)
    config = TrainConfig("digits", method="ce", epochs=2, output=str(folder), data_options=options)
    with drawn():
        train(config)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_the_temperature_lowers_the_loss_of_the_validation_images_and_changes_no_decision(run):
    opened = Run.open(run, "cpu")
    rows = opened.data.splits.val
    plain, labels = opened.plain_scores(rows), opened.data.dataset.labels[rows, 0]
    scores = opened.scores(rows)
    assert np.array_equal(scores.argmax(2), plain.numpy().argmax(2))
    weights = opened.frequencies.weights(torch.from_numpy(labels), 0).numpy()
    true = np.arange(len(labels)), 0, labels
    assert -(weights * np.log(scores[true])).sum() < -(weights * np.log(plain.double().numpy()[true])).sum()


def test_results_show_calibration_before_and_after(run):
    found = RESULTS.read(run / "results.json").attributes[0].calibration
    assert found.images > 50
    assert found.after.error < found.before.error
    assert "How sure it is" in (run / "report.html").read_text(encoding="utf-8")


def test_another_decision_that_needs_no_data_is_calibrated_too(run):
    opened = Run.open(run, "cpu")
    assert sorted(opened.calibrations) == ["argmax", "prior"]
    opened.decide_by("prior")
    even = opened.frequencies.assumed
    assert torch.equal(even, torch.full_like(even, 0.1))
    assert opened.calibration is opened.calibrations["prior"]


def test_prediction_sets_cover_and_hold_the_decision(run):
    results = evaluate(run, coverage=0.8, accelerator="cpu")
    assert 0.7 <= results.attributes[0].sets.covered <= 1
    opened = Run.open(run, "cpu")
    opened.aim_at(None, 0.8)
    scores = opened.scores(opened.data.splits.test)
    members = opened.ruling.members(scores)
    assert members[np.arange(len(scores)), 0, scores[:, 0].argmax(1)].all()


def test_without_a_coverage_there_are_no_sets(run):
    opened = Run.open(run, "cpu")
    assert opened.ruling.members(opened.scores(opened.data.splits.test[:3])) is None
    assert RESULTS.read(run / "results.json").attributes[0].sets is None


@pytest.mark.parametrize(
    ("threshold", "coverage", "said"),
    [
        ("f1", None, "two classes"),
        ("best", None, "--threshold: expected"),
        (None, 1.0, "--coverage: expected"),
        (None, 0.0, "--coverage: expected"),
    ],
)
def test_what_cannot_be_is_refused(run, threshold, coverage, said):
    with pytest.raises(InputError, match=said):
        evaluate(run, threshold=threshold, coverage=coverage, accelerator="cpu")


def test_a_run_without_calibration_decides_as_before(run):
    before = json.loads((run / "results.json").read_text())["mean"]["class_balanced_accuracy"]
    assert notes_on(Run.open(run, "cpu")) == []
    (run / "calibration.safetensors").unlink()
    (said,) = notes_on(Run.open(run, "cpu"))
    assert said.endswith("calibration.safetensors: is gone; scores are as the network gives them")
    results = evaluate(run, accelerator="cpu")
    assert notes_on(Run.open(run, "cpu")) == [], "which is how it was judged last"
    assert results.mean.class_balanced_accuracy.value == before["value"]
    assert results.attributes[0].calibration is None
    with pytest.raises(InputError, match=r"--coverage: needs .*calibration.safetensors, which is not there"):
        evaluate(run, coverage=0.9, accelerator="cpu")


def test_a_calibration_of_somebody_else_is_one_line(run):
    path = run / "calibration.safetensors"
    save_file(load_file(path), path)  # without metadata
    with pytest.raises(InputError, match=r"calibration\.safetensors: "):
        Run.open(run, "cpu")


@pytest.mark.parametrize("content", [b"", b"garbage that is no header"])
def test_a_calibration_that_cannot_be_read_can_be_deleted(run, content):
    (run / "calibration.safetensors").write_bytes(content)
    with pytest.raises(
        InputError, match=r"not a readable .*; delete it to decide without it, or train again$"
    ):
        Run.open(run, "cpu")


def test_the_calibration_of_another_model_is_refused(run):
    opened = Run.open(run, "cpu")
    save_calibrations(run / "calibration.safetensors", opened.calibrations, "other")
    with pytest.raises(InputError, match="belongs to another model"):
        Run.open(run, "cpu")


def test_damage_is_one_line(run):
    path = run / "calibration.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        Run.open(run, "cpu")


SCHEMA = LabelSchema((Attribute("smile", ("no", "yes")), Attribute("hair", ("a", "b", "c"))))


def two_attributes(n, seed=0):
    """Scores of n images and their labels, some unlabelled; (n, 2, 3)."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 2, 3, generator=generator)
    logits[:, 0, 2] = -torch.inf
    scores = logits.softmax(2)
    labels = scores.flatten(0, 1).multinomial(1, generator=generator).view(n, 2)
    labels[::7, 1] = -1
    return scores, labels


EVEN = Frequencies(SCHEMA, [[80, 20], [50, 30, 20]], torch.tensor([[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]]))


def test_too_few_images_leave_the_temperature_at_one():
    found = Calibration.of(*two_attributes(30), EVEN)
    assert found.temperature.tolist() == [1, 1]
    assert (found.effective < 50).all()
    assert (Calibration.of(*two_attributes(300), EVEN).temperature != 1).all()


def test_it_is_read_as_it_was_written(tmp_path):
    found = Calibration.of(*two_attributes(80), EVEN)
    save_calibrations(tmp_path / "c.safetensors", {"argmax": found}, "m")
    again = load_calibrations(tmp_path / "c.safetensors", "m", SCHEMA)["argmax"]
    for name in ("labels", "temperature", "effective", "scores", "typical"):
        assert torch.equal(getattr(found, name), getattr(again, name))


def test_thresholds_are_tuned_where_there_are_enough_images_of_the_rarer_class():
    found, aim = Calibration.of(*two_attributes(400), EVEN), Aim("recall", 0.9)
    threshold = found.threshold(0, EVEN.rare(0), aim)
    yes = found.labels[:, 0] == 1
    assert threshold.kept == ""
    assert (found.scores[yes, 0] >= threshold.value).double().mean() >= 0.9
    few = Calibration.of(*two_attributes(60), EVEN).threshold(0, 1, aim)
    assert (few.value, few.kept) == (0.5, "fewer than 50 of the rarer class")
    balanced = found.threshold(0, 1, Aim("balanced"))
    assert (balanced.value, balanced.kept) == (0.5, "fewer than 500 of the rarer class")
    found.labels[:, 0] = 1
    alone = found.threshold(0, 1, aim)
    assert (alone.value, alone.kept) == (0.5, "all of the rarer class")
    found.labels[:, 0] = UNLABELLED
    assert found.threshold(0, 1, aim).kept == "fewer than 50 of the rarer class", "of no images"


def test_unlabelled_images_say_nothing():
    scores, labels = two_attributes(200)
    known = labels[:, 1] >= 0
    all_images = Calibration.of(scores, labels, EVEN)
    labelled = Calibration.of(scores[known], labels[known], EVEN)
    assert all_images.temperature[1] == labelled.temperature[1]
    assert all_images.smallest_typical(0.9)[1] == labelled.smallest_typical(0.9)[1]


def test_a_decision_that_was_not_calibrated_is_told_from_one_that_was(run):
    opened = Run.open(run, "cpu")
    opened.decide_by("knn")
    with pytest.raises(InputError, match="is known for the decisions argmax, prior, not for knn"):
        opened.aim_at(None, 0.9)


@pytest.mark.parametrize("coverage", [True, "0.9", float("nan")])
def test_a_coverage_is_a_number(run, coverage):
    with pytest.raises(InputError, match="--coverage: expected a share above 0 and below 1"):
        Run.open(run, "cpu").aim_at(None, coverage)
