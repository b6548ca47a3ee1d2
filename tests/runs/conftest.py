from contextlib import contextmanager
from pathlib import Path

import pytest
from markupsafe import Markup
from PIL import Image

from longtail.images import decoder
from longtail.reporting import svg
from longtail.reporting.page import render_report
from longtail.runs import evaluate
from longtail.runs.gallery import gallery_of
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions
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


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """The page of a run is empty: to draw it takes longer than the training. See `drawn`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "render_report", lambda results, epochs, **shown: "")
        patch.setattr(evaluate, "gallery_of", lambda *judged: None)
        yield


@contextmanager
def drawn(pictures=True):
    """In here the page of a run is written, with its pictures or without: they take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "render_report", render_report)
        patch.setattr(evaluate, "gallery_of", gallery_of)
        if not pictures:
            patch.setattr(svg, "draw", lambda *_: Markup())
        yield


@pytest.fixture
def watcher():
    return Listening()


def small(output):
    """A training of a quarter of a second."""
    return TrainConfig(
        data="digits",
        method="crl",
        backbone="convnet",
        epochs=2,
        batch_size=64,
        features=8,
        accelerator="cpu",
        output=str(output),
        data_options=DataOptions(tail_ratio=20, tail_largest=70),
    )


@pytest.fixture
def config(tmp_path):
    return small(tmp_path / "run")


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that are decoded from now on."""
    seen, real = [], decoder.decode

    def decode(data, name, *rest):
        seen.append(Path(name).name)
        return real(data, name, *rest)

    monkeypatch.setattr(decoder, "decode", decode)
    return seen


def of_colours(folder):
    """Make images of three colours in folders, of sizes 30, 12 and 6."""
    for (name, colour), size in zip({"red": 0, "green": 1, "blue": 2}.items(), (30, 12, 6)):
        (folder / name).mkdir(parents=True)
        for i in range(size):
            pixel = [20 + i, 20 + i, 20 + i]
            pixel[colour] = 200 + i
            Image.new("RGB", (12, 10), tuple(pixel)).save(folder / name / f"{name}{i}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    return of_colours(tmp_path / "colours")
