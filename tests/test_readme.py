"""What the README shows is run as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from longtail.cli import main
from longtail.training import defaults

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language: str, first: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in found if text.startswith(first))


def test_the_example_of_the_loss_runs(capsys):
    exec(compile(block("python", "import torch"), "README.md", "exec"), {})
    assert "tensor" in capsys.readouterr().out


@pytest.fixture
def photos(tmp_path):
    for folder in ("photos/cat", "photos/dog", "new-photos"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(12 if folder.endswith("cat") else 5):
            image = Image.new("RGB", (32, 32), (i * 9, 60 if folder.endswith("cat") else 200, 90))
            image.save(tmp_path / folder / f"{i}.jpg")
    return tmp_path


def test_the_main_job_runs(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    monkeypatch.setattr(defaults, "MOST_EPOCHS", 3)
    monkeypatch.setattr(defaults, "FEWEST_STEPS", 1)
    for line in block("sh", "longtail diagnose").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "longtail"
        assert main(arguments) == 0, capsys.readouterr().err
    assert len((photos / "runs/first/metrics.jsonl").read_text().splitlines()) == 3
    lines = (photos / "predictions.csv").read_text().splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("image,")
    assert (photos / "runs/first/report.html").exists()


def test_the_lines_of_python_run(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    monkeypatch.setattr(defaults, "MOST_EPOCHS", 2)
    monkeypatch.setattr(defaults, "FEWEST_STEPS", 1)
    exec(compile(block("python", "import longtail"), "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "class-balanced accuracy" in said
    assert said.count("new-photos") == 5
