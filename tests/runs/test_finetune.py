"""Trainings that go on from a known backbone: its last stage on maps that are kept, or all of it."""

import os
import signal
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.api.model import load
from longtail.errors import InputError, Interrupted
from longtail.images import decoder
from longtail.models import classifier, lite0
from longtail.models.lite0 import LAST_STAGE, Lite0
from longtail.models.pretrained import of_lite0
from longtail.runs.evaluate import evaluate
from longtail.runs.run import Run
from longtail.runs.train import plan, train
from longtail.training.checkpoint import load_model
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

from ..models.vision import Vision
from .conftest import Listening, drawn

pytestmark = pytest.mark.skipif(
    find_spec(lite0.PACKAGE) is None, reason="the extra pretrained is not installed"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tuned(folder, tmp_path):
    return TrainConfig(
        data=str(folder),
        method="balanced-softmax",
        finetune="last",
        epochs=1,
        batch_size=16,
        image_size="32",
        accelerator="cpu",
        output=str(tmp_path / "run"),
        data_options=DataOptions(val_share=0.25, test_share=0.25),
    )


def weights(run):
    return load_model(Path(run) / "model.safetensors")[0].state_dict()


def changed(run):
    """Names of the tensors of the backbone that are not as they were published."""
    published = Lite0()
    of_lite0().load_into(published, "lite0")
    found = load_model(run / "model.safetensors")[0].model.backbone.state_dict()
    return {name for name, tensor in published.state_dict().items() if not torch.equal(tensor, found[name])}


def of_the_last_stage(name):
    return int(name.split(".")[1]) >= LAST_STAGE


def parameters(backbone):
    return {name for name, _ in backbone.named_parameters()}


@drawn()
def test_the_last_stage_learns_and_all_below_it_stays(tuned, watcher):
    run = train(tuned, watcher=watcher)
    assert any("lite0 (its last stage fine-tuned)" in line for line in watcher.lines)
    assert changed(run) == {name for name in parameters(Lite0()) if of_the_last_stage(name)}
    learner, card = load_model(run / "model.safetensors")
    assert (card.tuning, card.feature_layer, card.std) == ("last", "vector", (128 / 255,) * 3)
    images = torch.rand(3, 3, 32, 32)
    assert learner.train().model(images).vector.norm(dim=1).tolist() == pytest.approx([10.0] * 3, rel=1e-4)


def test_all_learns_but_running_means_and_variances(tuned):
    assert changed(train(replace(tuned, finetune="all", augment="small"))) == parameters(Lite0())


def test_an_image_is_decoded_once_for_all_runs(tuned, monkeypatch, tmp_path):
    train(tuned)
    monkeypatch.setattr(decoder, "decode", lambda *_: pytest.fail("an image was decoded"))
    again = train(replace(tuned, output=str(tmp_path / "again"), method="ce", seed=1))
    evaluate(again)


def test_a_stopped_training_goes_on_to_the_same_weights(tuned, tmp_path):
    tuned = replace(tuned, epochs=2)

    class Stopper(Listening):
        def step(self, epoch, step, steps, meter):
            if (epoch, step) == (1, 1):
                os.kill(os.getpid(), signal.SIGINT)

    whole = train(replace(tuned, output=str(tmp_path / "whole")))
    with pytest.raises(Interrupted):
        train(tuned, watcher=Stopper())
    resumed = train(replace(tuned, data=str(Path(tuned.data).absolute())), resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(resumed).values()))


def test_what_is_predicted_of_a_file_is_what_was_evaluated(tuned):
    run = Run.open(train(tuned), "cpu")
    scores = run.scores(np.arange(len(run.data.dataset)))
    names = [run.data.dataset.images.name(row) for row in range(len(scores))]
    found = load(run.folder.path, accelerator="cpu").predict(names)
    given = np.array([[*next(iter(prediction.probabilities.values())).values()] for prediction in found])
    np.testing.assert_allclose(given, scores[:, 0], atol=2e-3)  # the cache holds half precision


def test_a_run_on_frozen_vectors_goes_on_with_its_last_stage(tuned, tmp_path, watcher):
    head = replace(tuned, freeze=True, finetune=None, output=str(tmp_path / "head"), features=8)
    first = train(head)
    before = weights(first)
    still = replace(tuned, start=str(first), features=8, learning_rate=1e-12)
    after = weights(train(still))
    assert [*before] == [*after]  # also its feature layer
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_the_network_of_a_run_can_be_tuned(tuned, tmp_path):
    first = train(replace(tuned, finetune=None, backbone="resnet32", output=str(tmp_path / "first")))
    run = train(replace(tuned, start=str(first)))
    before, after = weights(first), weights(run)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "model.backbone.stages.10.convolution1.weight" in moved
    assert not any(name.startswith(("model.backbone.stem", "model.backbone.stages.9")) for name in moved)


def test_adapters_join_the_network_of_a_run_and_learn_with_the_head(tuned, tmp_path, monkeypatch):
    monkeypatch.setitem(classifier._BUILDERS, "vision", lambda _: Vision())
    plain = replace(tuned, finetune=None, backbone="vision", image_size="16", output=str(tmp_path / "plain"))
    first = train(plain)
    run = train(replace(plain, finetune="adapters", start=str(first), output=tuned.output))
    before, after = weights(first), weights(run)
    added = {name for name in after if name not in before}
    assert added == {name for name in after if ".adapter." in name}
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("model.head.")}
    evaluate(run)


@pytest.mark.parametrize("method", ["crl", "crl-iccv", "lmle", "triplet", "bcl", "mixup"])
def test_methods_of_every_kind_take_maps(tuned, method):
    assert any("went well" in line for line in plan(replace(tuned, method=method, precision="bf16")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from_scratch": True}, "--finetune last: keeps pretrained weights"),
        ({"freeze": True}, "--finetune: trains the backbone that --freeze keeps"),
        ({"augment": "photo"}, "--augment photo: with --finetune last an image is looked at once"),
        ({"method": "linear"}, "--finetune: linear is solved on the vectors of a backbone that stays"),
        ({"finetune": None, "layer_decay": 0.5}, "--layer-decay: goes with --finetune"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(tuned, changes, message):
    with pytest.raises(InputError, match=message):
        replace(tuned, **changes)


@pytest.mark.parametrize("tuning", ["last", "all"])
def test_a_network_without_published_weights_is_not_tuned(tuned, tuning):
    reason = rf"--finetune {tuning}: convnet has no published weights; .*--backbone lite0"
    with pytest.raises(InputError, match=reason):
        train(replace(tuned, finetune=tuning, backbone="convnet"))
