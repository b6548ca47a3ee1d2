from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from .conftest import Run

Scene = Callable[..., NDArray[np.uint8]]


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


def test_near_duplicates_are_drawn_on_a_page_and_grouped_by_a_flag(run: Run, tmp_path: Path, scene: Scene):
    page = tmp_path / "near.html"
    for number in range(6):
        folder = tmp_path / "photos" / ("cat" if number < 4 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(number // 2, 1 - 0.3 * (number % 2))).save(folder / f"{number}.png")
    ended = run("diagnose", str(tmp_path / "photos"), "--quiet", "--pictures", str(page))
    assert (ended.code, ended.err) == (0, "")
    assert "3 groups (6 images)" in ended.out
    assert "train with --group-near-duplicates" in " ".join(ended.out.split())
    assert page.read_text().count("<img src=") == 6
    ended = run("diagnose", str(tmp_path / "photos"), "--quiet", "--group-near-duplicates")
    assert "6 images, 1 attribute, 3 groups" in ended.out
    assert "near duplicates: 6 of 6 images, in 3 groups" in ended.out
    assert "Without a" not in ended.out


def test_a_page_of_near_duplicates_needs_images_and_not_too_many(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = str(tmp_path / "near.html")
    words = ["diagnose", str(photos), "--quiet", "--pictures"]
    assert "leave --labels-only out" in run(*words, page, "--labels-only").mistake
    assert "does not exist" in run(*words, str(tmp_path / "no" / "near.html")).mistake
    monkeypatch.setattr("longtail.diagnosing.near.MOST_COMPARED", 3)
    assert "among at most 3 images, got 8; leave it out" in run(*words, page).mistake
    assert not Path(page).exists()
