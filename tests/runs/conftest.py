from pathlib import Path

import pytest
from PIL import Image

from longtail.images import decoder
from longtail.training.config import DataOptions, TrainConfig
from longtail.training.watcher import Silent


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []
        self.records = []

    def say(self, line):
        self.lines.append(line)

    def epoch(self, record):
        self.records.append(record)


@pytest.fixture
def watcher():
    return Listening()


@pytest.fixture
def config(tmp_path):
    """A training of a second."""
    return TrainConfig(
        data="digits",
        method="crl",
        backbone="convnet",
        epochs=2,
        batch_size=64,
        features=8,
        accelerator="cpu",
        output=str(tmp_path / "run"),
        data_options=DataOptions(tail_ratio=20),
    )


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that are decoded from now on."""
    seen, real = [], decoder.decode

    def decode(data, name, *rest):
        seen.append(Path(name).name)
        return real(data, name, *rest)

    monkeypatch.setattr(decoder, "decode", decode)
    return seen


@pytest.fixture
def folder(tmp_path):
    """Images of three colours in folders, of sizes 30, 12 and 6."""
    for (name, colour), size in zip({"red": 0, "green": 1, "blue": 2}.items(), (30, 12, 6)):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(size):
            pixel = [20 + i, 20 + i, 20 + i]
            pixel[colour] = 200 + i
            Image.new("RGB", (12, 10), tuple(pixel)).save(tmp_path / "colours" / name / f"{name}{i}.png")
    return tmp_path / "colours"
