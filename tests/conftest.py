"""Random cases are the same in every run, and a busy machine is no reason to fail. A small timm."""

import os
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import nn

settings.register_profile(
    "same everywhere", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same everywhere")


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk():
    """What the tests write need not outlast a power cut; a training writes thirty files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_traces_in_the_cache_of_the_user(tmp_path_factory):
    """A training keeps fingerprints of its images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def scene():
    """Gives smooth random colour images of 64x64 pixels, one for each seed, in any brightness."""
    import numpy as np
    from PIL import Image

    def draw(seed, brightness=1.0):
        pixels = np.random.default_rng(seed).integers(20, 236, (6, 6, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC))
        return (smooth * brightness).astype(np.uint8)

    return draw


class Tiny(nn.Module):
    """A network for images of any size, with a layer behind its pooling as some of timm's have."""

    def __init__(self, in_chans, num_classes, pool="avg"):
        super().__init__()
        self.pool = pool
        self.stem = nn.Sequential(nn.Conv2d(in_chans, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.behind = nn.Linear(4, 6)
        self.fc = nn.Linear(6, num_classes) if num_classes else nn.Identity()

    def forward(self, images):
        maps = self.stem(images)
        return self.fc(self.behind(maps.mean((2, 3)) if self.pool == "avg" else maps.amax((2, 3))))


class Placed(nn.Module):
    """A network that knows every place of 8x8 pixels of an image, and so its size."""

    def __init__(self, in_chans, num_classes, img_size=(32, 32)):
        super().__init__()
        self.patches = nn.Conv2d(in_chans, 5, 8, 8)
        self.places = nn.Parameter(torch.randn(1, 5, *(side // 8 for side in img_size)))
        self.head = nn.Linear(5, num_classes) if num_classes else nn.Identity()

    def set_input_size(self, img_size):
        size = [side // 8 for side in img_size]
        self.places = nn.Parameter(nn.functional.interpolate(self.places.detach(), size, mode="bilinear"))

    def forward(self, images):
        return self.head((self.patches(images) + self.places).mean((2, 3)))


class Stiff(Placed):
    """The same, made for one size for good."""

    set_input_size = property()


class FakeTimm:
    """The four functions of timm that are called; `created` keeps with what."""

    NETWORKS = {"tiny": Tiny, "placed": Placed, "stiff": Stiff}  # noqa: RUF012

    def __init__(self):
        self.created = []
        self.failure = None

    def is_model(self, name):
        return name in self.NETWORKS

    def list_models(self, pattern):
        return ["tiny"]

    def get_pretrained_cfg(self, name):
        tops, fixed = ("fc", False) if name == "tiny" else ("head", True)
        mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
        return SimpleNamespace(
            mean=mean, std=std, input_size=(3, 32, 32), fixed_input_size=fixed, classifier=tops
        )

    def create_model(self, name, *, pretrained, num_classes, in_chans, **arguments):
        self.created.append((name, pretrained, num_classes, in_chans, arguments))
        if pretrained and self.failure is not None:
            raise self.failure
        network = self.NETWORKS[name](in_chans, num_classes, **arguments)
        if pretrained:
            for number, parameter in enumerate(network.parameters()):
                nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
        return network


@pytest.fixture
def timm(monkeypatch):
    fake = FakeTimm()
    monkeypatch.setitem(sys.modules, "timm", fake)
    return fake


@pytest.fixture
def described(tmp_path):
    """Writes a folder as timm writes one: a network with classes of its own, and its config.json."""

    def write(name, network, changes=(), **arguments):
        import json

        from safetensors.torch import save_file

        folder = tmp_path / name
        folder.mkdir()
        side = 8 * network.places.shape[2] if isinstance(network, Placed) else 24
        said = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "input_size": (3, side, side)}
        config = {"architecture": name.partition("-")[0], "pretrained_cfg": said, "model_args": arguments}
        (folder / "config.json").write_text(json.dumps(config | dict(changes)))
        save_file(network.state_dict(), folder / "model.safetensors")
        return folder

    return write


@pytest.fixture
def untrained(tmp_path):
    """Writes the folder of a run that nothing was trained in: enough to predict with."""
    from longtail.methods.options import MethodOptions
    from longtail.schema import Attribute, LabelSchema
    from longtail.training.checkpoint import ModelCard, weights_of, write_model

    def write(name="run", seed=0, **attributes):
        torch.manual_seed(seed)
        schema = LabelSchema(tuple(Attribute(*item) for item in attributes.items()))
        card = ModelCard(
            schema=schema,
            class_counts=[[9, 3, 1][: len(a.classes)] for a in schema.attributes],
            images=13,
            backbone="convnet",
            features=5,
            hidden=0,
            shared_feature=False,
            image_size=(8, 8),
            mean=(0.5, 0.5, 0.5),
            std=(0.2, 0.2, 0.2),
            method="ce",
            method_options=MethodOptions(),
        )
        (tmp_path / name).mkdir()
        write_model(tmp_path / name / "model.safetensors", weights_of(card.build()), card)
        return tmp_path / name

    return write


@pytest.fixture
def noise(tmp_path):
    """Writes small images of noise, no two of them alike."""
    import numpy as np
    from PIL import Image

    def write(*names):
        for name in names:
            path, random = tmp_path / name, np.random.default_rng(list(name.encode()))
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).save(path, "PNG")
        return [str(tmp_path / name) for name in names]

    return write
