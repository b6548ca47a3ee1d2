"""A run of a second, and the one file that all tests look at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.cli import main
from longtail.runs.train import train
from longtail.training.config import TrainConfig


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two attributes in odd sizes, a few of them grey."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    lines = ["image,colour,bright"]
    for i in range(48):
        colour, bright = i % 3, i % 2
        pixels = random.integers(0, 60, (*random.integers(20, 90, 2), 3))
        pixels[..., colour] += 90
        image = Image.fromarray((pixels + 60 * bright).astype(np.uint8))
        (image.convert("L") if i % 12 == 11 else image).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{('red', 'green', 'blue')[colour]},{('no', 'yes')[bright]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "first"
    config = TrainConfig(
        data=str(photos),
        method="crl",
        backbone="convnet",
        epochs=4,
        batch_size=16,
        features=8,
        image_size="24x20",
        accelerator="cpu",
        output=str(output),
    )
    return train(config)


@pytest.fixture(scope="session")
def told(run: Path) -> str:
    """What the command said when it wrote the file."""
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        assert main(["export", str(run)]) == 0
    return stream.getvalue()


@pytest.fixture
def content(told: str, run: Path) -> bytes:
    return (run / "model.onnx").read_bytes()
