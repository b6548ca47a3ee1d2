"""Trainings on the vectors of a frozen backbone, and the regression that solves them."""

import os
import signal
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.api.model import load
from longtail.errors import InputError, Interrupted
from longtail.evaluation.results import RESULTS
from longtail.features.cache import entries
from longtail.features.linear import fit_attributes, fit_linear
from longtail.methods.options import CRLOptions, MethodOptions, MetricOptions
from longtail.models import lite0
from longtail.models.lite0 import Lite0
from longtail.models.pretrained import of_lite0
from longtail.runs.evaluate import evaluate
from longtail.runs.resuming import standing
from longtail.runs.run import Run
from longtail.runs.train import _prepared, plan, train
from longtail.training.checkpoint import load_model
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions
from longtail.training.faults import WITHOUT_EFFECT

from .conftest import Listening, drawn

pytestmark = pytest.mark.skipif(
    find_spec(lite0.PACKAGE) is None, reason="the extra pretrained is not installed"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def frozen(folder, tmp_path):
    return TrainConfig(
        data=str(folder),
        method="balanced-softmax",
        freeze=True,
        epochs=1,
        batch_size=16,
        image_size="32",
        features=8,
        accelerator="cpu",
        output=str(tmp_path / "run"),
        data_options=DataOptions(val_share=0.25, test_share=0.25),
    )


def weights(run):
    return load_model(Path(run) / "model.safetensors")[0].state_dict()


@drawn()
def test_the_backbone_stays_as_it_was_published_and_the_head_learns(frozen, watcher):
    run = train(replace(frozen, epochs=2), watcher=watcher)
    assert any("lite0 (frozen)" in line for line in watcher.lines)
    published = Lite0()
    of_lite0().load_into(published, "lite0")
    learner, card = load_model(run / "model.safetensors")
    assert (card.tuning, card.mean, card.std) == ("head", (127 / 255,) * 3, (128 / 255,) * 3)
    for name, tensor in learner.model.backbone.state_dict().items():
        assert torch.equal(tensor, published.state_dict()[name])
    assert watcher.records[1].loss["total"] < watcher.records[0].loss["total"]
    units = learner.model.reading
    assert 0 < units.deviation.min() < 1
    assert units.mean.norm() > 0
    images = torch.rand(3, 3, 32, 32)
    assert learner.train().model(images).vector.norm(dim=1).tolist() == pytest.approx([10.0] * 3, rel=1e-4)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("crl", {}, True),
        ("bcl", {}, True),
        ("triplet", {"metric": MetricOptions(beside=True)}, True),
        ("triplet", {}, False),
        ("lmle", {"feature_layer": "vector"}, True),
        ("crl-iccv", {}, False),
        ("crl-iccv", {"crl": CRLOptions("instance")}, True),
        ("crl", {"feature_layer": "rectified"}, False),
        ("ce", {}, False),
    ],
)
def test_a_loss_on_vectors_that_do_not_learn_is_named_and_is_no_collapse(
    method, options, said, frozen, watcher, monkeypatch
):
    monkeypatch.setattr("longtail.training.faults.ACTIVE", 0.0)
    monkeypatch.setattr("longtail.training.faults.NEAR_MARGIN", 100.0)
    frozen = replace(frozen, method=method, method_options=MethodOptions(**options))
    run = train(frozen, watcher=watcher)
    assert (WITHOUT_EFFECT in watcher.lines) == said
    found = {fault.name for fault in RESULTS.read(run / "results.json").faults}
    assert ("no-effect" in found) == said
    assert not said or "collapsed" not in found


def test_an_image_is_decoded_once_for_all_runs_and_again_when_it_changed(frozen, folder, decoded, tmp_path):
    train(frozen)
    assert len(decoded) == 48
    decoded.clear()
    again = train(replace(frozen, output=str(tmp_path / "again"), method="ce", seed=1))
    evaluate(again)
    assert decoded == []
    Image.new("RGB", (12, 10), (9, 9, 9)).save(folder / "red" / "red3.png")
    train(replace(frozen, output=str(tmp_path / "changed")))
    assert decoded == ["red3.png"]


def test_unreadable_images_are_left_out_again_when_all_others_are_cached(frozen, folder, tmp_path, watcher):
    (folder / "red" / "red0.png").write_bytes(b"no image")
    frozen = replace(frozen, data_options=replace(frozen.data_options, skip_unreadable=True))
    train(frozen)
    train(replace(frozen, output=str(tmp_path / "again")), watcher=watcher)
    assert "1 unreadable image left out" in watcher.lines


def test_a_stopped_training_goes_on_to_the_same_head(frozen, tmp_path):
    frozen = replace(frozen, epochs=2)

    class Stopper(Listening):
        def step(self, epoch, step, steps, meter):
            if (epoch, step) == (1, 1):
                os.kill(os.getpid(), signal.SIGINT)

    whole = train(replace(frozen, output=str(tmp_path / "whole")))
    with pytest.raises(Interrupted):
        train(frozen, watcher=Stopper())
    resumed = train(replace(frozen, data=str(Path(frozen.data).absolute())), resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(resumed).values()))


def test_what_is_predicted_of_a_file_is_what_was_evaluated(frozen, folder):
    run = Run.open(train(frozen), "cpu")
    scores = run.scores(np.arange(len(run.data.dataset)))
    names = [run.data.dataset.images.name(row) for row in range(len(scores))]
    found = load(run.folder.path, accelerator="cpu").predict(names)
    given = np.array([[*next(iter(prediction.probabilities.values())).values()] for prediction in found])
    np.testing.assert_allclose(given, scores[:, 0], atol=2e-3)  # the cache holds half precision


@pytest.mark.parametrize(("fewest", "strengths"), [(1, (1.0, 10.0, 100.0)), (200, (10.0,))])
def test_the_regression_is_solved_on_the_vectors_and_decides_against_the_prior(
    frozen, watcher, fewest, strengths, monkeypatch
):
    monkeypatch.setattr("longtail.methods.linear.FEWEST_TO_CHOOSE", fewest)
    run = Run.open(train(replace(frozen, method="linear", freeze=False), watcher=watcher), "cpu")
    (said,) = (line for line in watcher.lines if line.startswith("strength of the regression, "))
    assert ("chosen on" in said, "too few to choose it" in said) == (fewest == 1, fewest > 1)
    data, labels = run.data, run.data.dataset.labels[:, 0]
    vectors = run.features(np.arange(len(labels)))[:, 0].double().numpy() / 10
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-3)
    train_rows, val = data.splits.train, data.splits.val
    fit = fit_linear(vectors[train_rows], labels[train_rows], 3, (vectors[val], labels[val]), strengths)
    logits = vectors @ fit.weight + fit.bias
    np.testing.assert_allclose(run.logits(np.arange(len(labels)))[:, 0].numpy(), logits, atol=1e-2)
    shares = np.bincount(labels[train_rows]) / len(train_rows)
    adjusted = np.exp(logits - np.log(shares))
    adjusted /= adjusted.sum(1, keepdims=True)
    np.testing.assert_allclose(run.scores(np.arange(len(labels)))[:, 0], adjusted, atol=1e-2)
    assert run.epochs[0].loss["total"] == pytest.approx(fit.loss, abs=1e-3)


def test_the_regression_needs_no_validation_images(frozen, folder, watcher):
    options = replace(frozen.data_options, val_share=0.0)
    run = train(replace(frozen, data=str(folder), method="linear", data_options=options), watcher=watcher)
    assert RESULTS.read(run / "results.json").mean.class_balanced_accuracy is not None
    assert any("10: 0 validation images are too few to choose it" in line for line in watcher.lines)


def test_small_images_are_enlarged_for_a_network_of_photos(frozen, folder):
    run = train(replace(frozen, image_size=None, method="linear", freeze=False))
    assert load_model(run / "model.safetensors")[1].image_size == (64, 77)  # of 10x12


def test_images_of_which_nothing_is_seen_leave_the_regression_finite(frozen, monkeypatch):
    monkeypatch.setattr(Lite0, "forward", lambda self, images: torch.zeros(len(images), 2272))
    run = train(replace(frozen, method="linear", freeze=False))
    assert all(tensor.isfinite().all() for tensor in weights(run).values())


def mirrored(path):
    """Mirror an image file left to right."""
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)


def speckle(folder):
    """Give the images something that their mirror images have on the other side."""
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        image = Image.open(path)
        for x in range(4):
            image.putpixel((x, number % 10), (255, 9 * number % 256, 0))
        image.save(path)


def test_an_image_and_its_mirror_image_train_and_the_image_is_judged(frozen, folder, tmp_path, decoded):
    speckle(folder)
    plain = train(replace(frozen, output=str(tmp_path / "plain")))
    decoded.clear()
    both = replace(frozen, augment="mirror")
    first = train(replace(both, output=str(tmp_path / "first")))
    assert len(decoded) < 48  # those of the training alone, and they are kept too
    decoded.clear()
    again = train(replace(both, output=str(tmp_path / "again")))
    evaluate(again)
    assert decoded == []
    heads = [weights(run)["model.head.weight"] for run in (plain, first, again)]
    assert torch.equal(heads[1], heads[2])
    assert not torch.equal(heads[0], heads[1])
    kinds = {str(entry.about) for entry in entries(tmp_path / "cache")} - {"fingerprint, 16x16"}
    assert kinds == {"Lite0, 32x32", "Lite0, 32x32, mirrored"}


def test_the_vector_of_a_mirrored_image_is_that_of_the_image_that_was_mirrored(frozen, folder):
    speckle(folder)
    data = Run.open(train(replace(frozen, augment="mirror")), "cpu").data
    training, _ = _prepared(replace(frozen, augment="mirror", output=frozen.output + "2"), False, None)
    row = int(training.run.data.splits.train[0])
    (views, *_), *_ = training.feed.loader.batches([[row, row]], [torch.tensor([False, True])])
    mirrored(Path(data.dataset.images.name(row)))
    other, _ = _prepared(replace(frozen, output=frozen.output + "3"), False, None)
    found = other.feed.loader.vectors(np.array([row]))[0]
    torch.testing.assert_close(found, views[1], rtol=1e-3, atol=1e-3)  # kept in half precision
    assert not torch.equal(views[0], views[1])


def test_the_regression_takes_both_views_as_rows(frozen, folder, monkeypatch):
    speckle(folder)
    seen = []

    def fit(x, y, *rest):
        seen.append((x, y))
        return fit_attributes(x, y, *rest)

    monkeypatch.setattr("longtail.methods.linear.fit_attributes", fit)
    run = Run.open(train(replace(frozen, method="linear", freeze=False, augment="mirror")), "cpu")
    ((x, y),) = seen
    n = len(run.data.splits.train)
    assert len(x) == len(y) == 2 * n
    np.testing.assert_array_equal(y[:n], y[n:])
    assert not np.array_equal(x[:n], x[n:])


def test_a_regression_that_was_stopped_before_its_calibration_begins_anew(frozen, monkeypatch):
    config = replace(frozen, method="linear", freeze=False)
    with monkeypatch.context() as patch:
        patch.setattr("longtail.runs.train.calibrate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert Run.open(Path(config.output), "cpu").planned == 1
    assert standing(config) == "new"
    train(config, overwrite=True)
    assert standing(config) == "finished"


def interrupted(_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("changes", [{"method": "linear", "freeze": False}, {"augment": "mirror"}, {}])
def test_a_plan_looks_at_the_images_of_a_batch_and_keeps_no_vector(frozen, changes, decoded, cache):
    assert any("went well" in line for line in plan(replace(frozen, batch_size=4, **changes)))
    assert 0 < len(set(decoded)) <= 4
    assert entries(cache) == []


@pytest.mark.parametrize("method", ["crl", "crl-iccv", "lmle", "triplet", "bcl", "ldam-drw", "linear"])
def test_methods_of_every_kind_take_vectors(frozen, method):
    lines = plan(replace(frozen, method=method, freeze=method != "linear"))
    assert any("went well" in line for line in lines)


def test_a_second_stage_goes_on_from_a_frozen_run(frozen, tmp_path, decoded):
    first = train(frozen)
    decoded.clear()
    second = replace(frozen, method="crt", start=str(first), output=str(tmp_path / "second"))
    before, after = weights(first), weights(train(second))
    same = [name for name in before if name in after and torch.equal(before[name], after[name])]
    assert all(name in same for name in before if name.startswith("model.backbone."))
    assert "model.head.weight" not in same
    assert decoded == []


def test_the_network_of_a_run_can_be_frozen(frozen, tmp_path):
    small = replace(frozen, freeze=False, backbone="convnet", output=str(tmp_path / "small"))
    first = train(small)
    run = train(replace(small, freeze=True, start=str(first), output=str(tmp_path / "on top")))
    for name, tensor in weights(run).items():
        if name.startswith("model.backbone."):
            assert torch.equal(tensor, weights(first)[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from_scratch": True}, "--freeze: keeps pretrained weights"),
        (
            {"augment": "photo"},
            "--augment photo: with --freeze an image is looked at once",
        ),
        (
            {"freeze": False, "method": "linear", "from_scratch": True},
            "--method linear: keeps pretrained weights",
        ),
        (
            {"freeze": False, "method": "linear", "augment": "small"},
            "--augment small: with --method",
        ),
    ],
)
def test_settings_that_make_no_sense_with_a_frozen_network_are_refused(frozen, changes, message):
    with pytest.raises(InputError, match=message):
        replace(frozen, **changes)


def test_a_network_without_published_weights_is_not_frozen(frozen):
    with pytest.raises(InputError, match=r"--freeze: convnet has no published weights; .*--backbone lite0"):
        train(replace(frozen, backbone="convnet"))


def test_an_unreadable_image_stops_or_is_left_out(frozen, folder, watcher):
    (folder / "red" / "red3.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"red3\.png"):
        train(frozen)
    options = replace(frozen.data_options, skip_unreadable=True)
    train(replace(frozen, data_options=options), watcher=watcher)
    assert "1 unreadable image left out" in watcher.lines


def test_a_dry_run_names_an_image_whose_file_cannot_be_read(frozen, folder, tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*.png")):
            packed.write(path, path.relative_to(folder))
    with zipfile.ZipFile(archive) as packed:
        starts = [entry.header_offset for entry in packed.infolist()]
    content = bytearray(archive.read_bytes())
    for start in starts:
        content[start + 60] ^= 255  # within the image, whose checksum is wrong from here on
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"\.png: cannot be read .*--skip-unreadable"):
        plan(replace(frozen, data=str(archive)))


def test_a_regression_does_not_go_on_from_a_run_with_a_layer_below_the_classifier(frozen, tmp_path):
    layered = replace(frozen, method_options=MethodOptions(feature_layer="rectified"))
    first = str(train(layered))
    linear = replace(frozen, method="linear", freeze=False, start=first, output=str(tmp_path / "second"))
    with pytest.raises(InputError, match="another feature layer rectified, not vector"):
        train(linear)
