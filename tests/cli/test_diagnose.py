from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six cats, two dogs, each another picture."""
    generator = np.random.default_rng(0)
    for name, images in (("cat", 6), ("dog", 2)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(images):
            pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_a_data_set_is_described_without_reading_its_images(run: Run, photos: Path):
    ended = run("diagnose", str(photos), "--labels-only", "--batch-size", "4", "--rho", "0.3")
    assert (ended.code, ended.err) == (0, "")
    assert "cat" in ended.out
    assert "unreadable" not in ended.out


def test_everything_that_was_found_can_be_had_as_json(run: Run, photos: Path, tmp_path: Path):
    file = tmp_path / "found.json"
    words = ["diagnose", str(photos), "--labels-only", "--batch-size", "4", "--rho", "0.3"]
    assert run(*words, "--json", str(file)).code == 0
    found = json.loads(file.read_text())
    assert (found["images"], found["batch_size"], found["rho"]) == (8, 4, 0.3)


def test_columns_are_chosen_by_flags(run: Run, photos: Path, tmp_path: Path):
    table = tmp_path / "labels.csv"
    table.write_text("file,colour,shape\ncat/0.png,red,flat\ndog/0.png,blue,round\n")
    words = ["diagnose", str(table), "--images", str(photos), "--image-column", "file"]
    ended = run(*words, "--attributes", "colour", "--labels-only")
    assert "colour" in ended.out
    assert "shape" not in ended.out


def test_data_that_are_not_there_are_a_mistake(run: Run, tmp_path: Path):
    assert run("diagnose", str(tmp_path / "nix")).mistake.startswith(f"{tmp_path / 'nix'}: is not there")
    place = tmp_path / "no" / "a.json"
    assert "does not exist" in run("diagnose", "digits", "--json", str(place)).mistake
