"""Trainings that begin with weights of a file, a folder or a run."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.api.model import load
from longtail.errors import InputError, Interrupted
from longtail.models.convnet import ConvNet
from longtail.runs.beginning import begin
from longtail.runs.places import with_whole_paths
from longtail.runs.run import Run
from longtail.runs.train import plan, train
from longtail.training.checkpoint import load_model
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

from ..conftest import Placed, Tiny
from .conftest import Listening


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small(folder, tmp_path):
    """A training on a folder of images that changes next to nothing."""
    return TrainConfig(
        data=str(folder),
        method="ce",
        epochs=1,
        batch_size=16,
        features=4,
        learning_rate=1e-9,
        weight_decay=0,
        accelerator="cpu",
        output=str(tmp_path / "run"),
        data_options=DataOptions(val_share=0.25, test_share=0.25),
    )


def opened(run):
    return load_model(Path(run) / "model.safetensors")


def backbone(run):
    return opened(run)[0].model.backbone.state_dict()


def parameters(network):
    return dict(network.named_parameters())


@pytest.mark.parametrize("freeze", [False, True])
def test_a_run_begins_with_the_weights_of_a_file_and_is_used_without_it(small, tmp_path, watcher, freeze):
    network, file = ConvNet(), tmp_path / "own.pth"
    torch.save({f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}, file)
    config = replace(small, backbone="convnet", weights=str(file), freeze=freeze)
    run = train(config, watcher=watcher)
    file.unlink()
    found = backbone(run)
    for name, tensor in parameters(network).items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)
    assert any("own.pth has no mean and deviation" in line for line in watcher.lines)
    mean = np.array(opened(run)[1].mean)
    assert (mean > 0.1).all()
    assert (mean < 0.9).all()
    scores = Run.open(run, "cpu").scores(np.arange(6))
    assert np.isfinite(scores).all()
    assert Run.open(run, "cpu").config.weights == str(file)


def test_the_model_of_a_run_brings_its_network_its_mean_and_its_size(small, tmp_path):
    first = train(replace(small, backbone="convnet", image_size="8"))
    weights = str(first / "model.safetensors")
    run = train(replace(small, weights=weights, freeze=True, output=str(tmp_path / "second")))
    before, after = opened(first)[1], opened(run)[1]
    assert (after.backbone, after.image_size) == ("convnet", (8, 8))
    assert (after.mean, after.std) == (before.mean, before.std)
    assert all(torch.equal(tensor, backbone(first)[name]) for name, tensor in backbone(run).items())
    with pytest.raises(InputError, match=r"--weights .*: holds the weights of convnet, not of resnet32"):
        train(replace(small, weights=weights, backbone="resnet32", output=str(tmp_path / "third")))


@pytest.mark.parametrize("job", [plan, train])
def test_a_file_that_does_not_fit_is_said_before_anything_is_written(small, tmp_path, job):
    file = tmp_path / "own.pth"
    torch.save(ConvNet().state_dict(), file)
    config = replace(small, weights=str(file))
    with pytest.raises(InputError, match=r"own\.pth: does not name its network; name it with --backbone"):
        job(config)
    with pytest.raises(InputError, match=r"own\.pth: not the weights of resnet32, stem\.0\.weight \(16"):
        job(replace(config, backbone="resnet32"))
    with pytest.raises(InputError, match=r"--weights .*none: there is no such file"):
        job(replace(config, weights=str(tmp_path / "none"), backbone="convnet"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("freeze", [False, True])
def test_published_weights_are_brought_once_and_shown_what_they_expect(small, timm, freeze):
    run = train(replace(small, backbone="timm:tiny", freeze=freeze))
    assert sum(pretrained for _, pretrained, *_ in timm.created) == 1
    published = timm.create_model("tiny", pretrained=True, num_classes=0, in_chans=3)
    found = backbone(run)
    for name, tensor in parameters(published).items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)
    card = opened(run)[1]
    assert (card.mean, card.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def test_from_scratch_needs_no_weights_and_measures_mean_and_deviation(small, timm, tmp_path):
    timm.failure = OSError("no route")
    run = train(replace(small, backbone="timm:tiny", from_scratch=True))
    assert opened(run)[1].mean != (0.4, 0.5, 0.6)
    with pytest.raises(
        InputError, match="--method linear: keeps pretrained weights; leave out --from-scratch"
    ):
        train(
            replace(
                small, backbone="timm:tiny", from_scratch=True, method="linear", output=str(tmp_path / "x")
            )
        )


@pytest.mark.parametrize("freeze", [False, True])
def test_a_run_from_a_folder_opens_and_goes_on_without_it(small, timm, described, tmp_path, freeze):
    source = described("placed-16", Placed(3, 7, (16, 16)), img_size=[16, 16], num_classes=7)
    config = replace(small, backbone=f"timm:local-dir:{source}", freeze=freeze)
    run = train(config)
    shutil.rmtree(source)
    card = opened(run)[1]
    assert card.backbone == "timm:placed"
    assert card.image_size == (16, 16)
    assert (card.mean, card.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert len(load(run, accelerator="cpu").predict(next(Path(small.data).rglob("*.png")))) == 1
    second = train(replace(config, method="crt", start=str(run), output=str(tmp_path / "second")))
    assert opened(second)[1].backbone == "timm:placed"
    with pytest.raises(InputError, match=r"--from .*run: was trained with another backbone timm:placed, not"):
        train(replace(config, method="crt", start=str(run), backbone="timm:tiny", output=str(tmp_path / "x")))


@pytest.mark.parametrize("freeze", [False, True])
def test_a_stopped_training_goes_on_without_the_file_it_began_with(small, tmp_path, freeze):
    class Stopper(Listening):
        def step(self, epoch, step, steps, meter):
            if (epoch, step) == (1, 1):
                os.kill(os.getpid(), signal.SIGINT)

    file = tmp_path / "own.pth"
    torch.save(ConvNet().state_dict(), file)
    config = replace(small, backbone="convnet", weights=str(file), freeze=freeze, epochs=2, learning_rate=0.1)
    whole = train(replace(config, output=str(tmp_path / "whole")))
    with pytest.raises(Interrupted):
        train(config, watcher=Stopper())
    file.unlink()
    resumed = train(with_whole_paths(config), resume=True)
    first, second = (opened(run)[0].state_dict() for run in (whole, resumed))
    assert all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


@pytest.mark.parametrize(
    ("backbone", "asked", "expected"),
    [
        ("timm:tiny", None, (10, 12)),  # the images' own
        ("timm:placed", None, (32, 32)),  # its own
        ("timm:placed", "16", (16, 16)),
        ("deepid2", None, (55, 47)),
    ],
)
def test_the_size_is_the_networks_where_it_depends_on_it_and_else_the_images(
    small, timm, backbone, asked, expected
):
    run = train(replace(small, backbone=backbone, image_size=asked))
    assert opened(run)[1].image_size == expected


def test_images_are_not_larger_than_the_weights_have_seen(small, timm, described):
    class Store:
        def __len__(self):
            return 1

        def read(self, row):
            return np.zeros((90, 120, 3), np.uint8)

        def name(self, row):
            return "image"

    own = begin(replace(small, backbone=f"timm:local-dir:{described('tiny', Tiny(3, 7))}"))
    assert own.image_size(Store()) == (24, 24)
    assert begin(replace(small, backbone="convnet")).image_size(Store()) == (90, 120)


def test_paths_are_kept_whole(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").touch()
    (tmp_path / "net").mkdir()
    config = with_whole_paths(replace(small, weights="w.pth", backbone="timm:local-dir:net"))
    assert config.weights == str(tmp_path / "w.pth")
    assert config.backbone == f"timm:local-dir:{tmp_path / 'net'}"
    assert with_whole_paths(replace(small, backbone="timm:tiny")).backbone == "timm:tiny"


def test_a_built_in_name_is_not_a_folder_of_that_name_and_a_tilde_is_the_home(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "digits").mkdir()
    found = {
        name: with_whole_paths(replace(small, data=name)).data for name in ("digits", "~/digits", "./digits")
    }
    assert found == {"digits": "digits", **dict.fromkeys(["~/digits", "./digits"], str(tmp_path / "digits"))}
    assert with_whole_paths(replace(small, data="~/x-{0..1}.tar")).data == str(tmp_path / "x-{0..1}.tar")
    assert with_whole_paths(replace(small, data="~nobody-has-it/x")).data == "~nobody-has-it/x"
