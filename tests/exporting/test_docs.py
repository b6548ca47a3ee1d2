"""What docs/deploy.md shows is run as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import longtail
from longtail.cli import main
from longtail.exporting import export
from longtail.models import classifier
from longtail.training import defaults

pytest.importorskip("onnxruntime", reason="the extra export is not installed")
PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_runs_from_the_folder_of_a_run_to_a_decision(
    run: Path, photos: Path, content: bytes, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "onnx_bytes", lambda *_: content)  # made for other tests already
    shutil.copytree(run, tmp_path / "runs" / "first")
    shutil.copy(photos / "1.png", tmp_path / "photo.jpg")
    (command, *_) = (shlex.split(line) for line in blocks("sh")[0].splitlines())
    assert main(command[1:]) == 0
    capsys.readouterr()
    _, example = blocks("python")
    exec(compile(example, "docs/deploy.md", "exec"), {})
    (prediction,) = longtail.load(run).predict(photos / "1.png")
    expected = [f"{name} {label}" for name, label in prediction.labels.items()]
    assert [line.rpartition(" ")[0] for line in capsys.readouterr().out.splitlines()] == expected


def test_the_page_runs_from_photos_to_the_same_decisions_elsewhere(tmp_path: Path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    for folder in ("photos/cat", "photos/dog", "new-photos"):
        (tmp_path / folder).mkdir(parents=True)
        for place in range(20 if folder == "photos/cat" else 8):
            level = 200 if folder == "photos/dog" else 60
            pixels = generator.integers(0, 50, (30, 40, 3), np.uint8) + np.uint8(level)
            Image.fromarray(pixels).save(tmp_path / folder / f"{place}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(defaults, "MOST_EPOCHS", 2)
    monkeypatch.setattr(defaults, "FEWEST_STEPS", 2)
    small = classifier._BUILDERS["convnet"]  # 31 layers less for the exporter to trace
    monkeypatch.setitem(classifier._BUILDERS, "resnet32", small)
    exec(compile(blocks("python")[0], "docs/deploy.md", "exec"), {})
    assert "64 images decided alike" in capsys.readouterr().out
