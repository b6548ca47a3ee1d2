from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from longtail.data import unlabelled

from .conftest import Run

Noise = Callable[..., list[str]]


@pytest.fixture
def model(untrained: Callable[..., Path]) -> str:
    return str(untrained(image=("red", "blue"), shape=("round", "flat")))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def given(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Standard input."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_a_row_has_the_labels_then_the_probability_of_every_class(run: Run, model: str, noise: Noise):
    ended = run("predict", model, *noise("a.png", "b.png"), "--quiet")
    assert (ended.code, ended.err) == (0, "")
    found = rows(ended.out)
    columns = ["image", "image (2)", "shape", "image:red", "image:blue", "shape:round", "shape:flat"]
    assert list(found[0]) == columns
    assert [Path(row["image"]).name for row in found] == ["a.png", "b.png"]
    assert float(found[0]["image:red"]) + float(found[0]["image:blue"]) == pytest.approx(1, abs=2e-6)


@pytest.mark.parametrize(
    ("name", "flags"), [("a.csv", []), ("a.JSONL", []), ("a.txt", ["--format", "jsonl"])]
)
def test_the_ending_of_the_output_or_a_flag_says_its_form(
    run: Run, model: str, noise: Noise, tmp_path: Path, name: str, flags: list[str]
):
    form = "csv" if name == "a.csv" else "jsonl"
    (path,) = noise("a.png")
    ended = run("predict", model, path, "--output", str(tmp_path / name), *flags, "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    written = (tmp_path / name).read_text()
    assert written == run("predict", model, path, "--format", form, "--quiet").out


def test_features_go_to_json_and_parquet(run: Run, model: str, noise: Noise, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = noise("a.png")
    record = json.loads(run("predict", model, path, "--features", "--format", "jsonl", "--quiet").out)
    assert {name: len(vector) for name, vector in record["features"].items()} == {"image": 5, "shape": 5}
    output = tmp_path / "a.parquet"
    assert run("predict", model, path, "--features", "--output", str(output)).code == 0
    (row,) = parquet.read_table(output).to_pylist()
    assert row["image"] == path
    assert row["shape features"] == pytest.approx(record["features"]["shape"])


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (
            [],
            "IMAGES is missing: expected image files, folders of images, archives, manifests, or - for",
        ),
        (
            ["a", "--output", "a.txt"],
            "--output a.txt: expected a name that ends in .csv, .jsonl or .parquet, or",
        ),
        (["a", "--format", "parquet"], "--format parquet: is written to a file; name it with --output"),
        (["a", "--resume"], "--resume: resumes a file; name it with --output"),
        (["a", "--resume", "--output", "/dev/null", "--format", "csv"], "--resume: resumes a file"),
        (["a", "--features"], "--features: have no place in CSV; choose --format jsonl or parquet"),
        (["a", "--output", "-"], "--output: expected a path, got '-'"),
        (["a", "--output", "a.csv", "--format", "parquet"], "--format parquet: --output a.csv ends in .csv;"),
        (["gone.png"], "gone.png: no such file; expected images, folders, archives, manifests, or - for"),
        ([__file__, "--coverage", ".9"], "--coverage: needs "),
    ],
)
def test_mistakes_are_one_line(run: Run, model: str, arguments: list[str], mistake: str):
    assert run("predict", model, *arguments).mistake.startswith(mistake)


def test_a_list_on_standard_input_is_read_and_its_order_kept(
    run: Run, model: str, noise: Noise, monkeypatch: pytest.MonkeyPatch
):
    b, a = noise("b.png", "a.png")
    given(monkeypatch, f"{b}\n{a}\n".encode())
    assert [row["image"] for row in rows(run("predict", model, "-", "--quiet").out)] == [b, a]
    given(monkeypatch, b"")
    assert rows(run("predict", model, a, "-", "--quiet").out)[0]["image"] == a


def test_a_manifest_is_read(run: Run, model: str, noise: Noise, tmp_path: Path):
    noise("in/a.png", "in/b.png")
    (tmp_path / "new.csv").write_text("who,photo\nx,b\ny,a\nz,b\n")
    flags = ["--images", str(tmp_path / "in"), "--image-column", "photo"]
    found = rows(run("predict", model, str(tmp_path / "new.csv"), *flags, "--quiet").out)
    assert [Path(row["image"]).name for row in found] == ["b.png", "a.png", "b.png"]


def test_unreadable_images_are_named_and_told_by_the_exit_code(
    run: Run, model: str, noise: Noise, tmp_path: Path
):
    good, bad = noise("good.png", "bad\x1b[2J.png")
    Path(bad).write_text("no image")
    output = tmp_path / "p.csv"
    ended = run("predict", model, bad, good, "--output", str(output))
    assert ended.code == 1
    left, line = ended.err.splitlines()
    assert left.startswith(f"left out {tmp_path}/bad [2J.png: not an image")
    assert line.startswith("longtail: 1 of 2 images cannot be read and have no row (first ")
    assert line.endswith("; --skip-unreadable accepts that")
    assert [row["image"] for row in rows(output.read_text())] == [good]
    accepted = run("predict", model, bad, good, "--skip-unreadable")
    assert (accepted.code, accepted.err.splitlines()) == (0, [left])
    quiet = run("predict", model, bad, good, "--quiet")
    assert (quiet.code, quiet.err.splitlines()) == (1, [line])


def test_when_no_image_can_be_read_it_failed(run: Run, model: str, noise: Noise, tmp_path: Path):
    (bad,) = noise("bad.png")
    Path(bad).write_text("no image")
    for more in ([], ["--output", str(tmp_path / "p.csv")]):
        ended = run("predict", model, bad, "--skip-unreadable", "--quiet", *more)
        assert ended.mistake.startswith(f"none of the 1 images can be read; {bad}: not an image")
    assert not (tmp_path / "p.csv").exists()


def test_a_stopped_prediction_goes_on_to_the_same_file(
    run: Run, model: str, noise: Noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(unlabelled, "BLOCK", 2)
    paths, output = noise(*(f"{i}.png" for i in range(5))), str(tmp_path / "p.csv")
    whole = run("predict", model, *paths, "--quiet").out
    read = unlabelled.Block.read
    stop = iter([False] * 3 + [True])
    monkeypatch.setattr(
        unlabelled.Block, "read", lambda self, i: raised() if next(stop, False) else read(self, i)
    )
    ended = run("predict", model, *paths, "--output", output, "--quiet")
    assert ended.code == 130
    assert ended.err == (
        f"longtail: stopped; {output}.part keeps the rows of 2 images, --resume goes on with them\n"
    )
    assert Path(f"{output}.part").read_text() == "".join(whole.splitlines(keepends=True)[:3])
    assert run("predict", model, *paths, "--output", output, "--resume", "--quiet").code == 0
    assert Path(output).read_text() == whole
    assert not list(tmp_path.glob("p.csv.*"))


def raised() -> bytes:
    raise KeyboardInterrupt


def test_a_model_trained_anew_is_not_gone_on_with(
    run: Run, model: str, untrained: Callable[..., Path], noise: Noise, tmp_path: Path
):
    other = str(untrained("other", seed=1, image=("red", "blue"), shape=("round", "flat")))
    paths, output = noise("a.png"), tmp_path / "p.csv"
    from longtail.runs.prediction_file import REACHED, Asked, Reached
    from longtail.runs.run import Run as Opened

    asked = Asked.of(Opened.open(Path(other), "cpu"), "csv", features=False)
    REACHED.write(Path(f"{output}.part.json"), Reached(asked, 1, 0, "", 1))
    Path(f"{output}.part").write_text("x")
    mistake = run("predict", model, *paths, "--output", str(output), "--resume", "--quiet").mistake
    assert (
        mistake == f"--resume: {output}.part was begun with another model; leave --resume out to begin anew"
    )


def test_rows_come_out_before_the_last_image_is_named(model: str, noise: Noise, tmp_path: Path):
    a, b = noise("a.png", "b.png")
    command = [sys.executable, "-m", "longtail", "predict", model, "-", "--quiet", "--accelerator", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for path in (a, b):
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            lines = [process.stdout.readline() for _ in range(2 if path == a else 1)]
            assert lines[-1].startswith(f"{path},")
        process.stdin.close()
    assert process.returncode == 0


def test_a_pipe_gets_the_rows(run: Run, model: str, noise: Noise, tmp_path: Path):
    pipe = tmp_path / "p.csv"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        ended = run("predict", model, *noise("a.png"), "--output", str(pipe), "--quiet")
        assert reader.stdout is not None
        assert len(rows(reader.stdout.read())) == 1
    assert ended.code == 0
    assert pipe.is_fifo()


def test_a_table_that_is_read_is_not_written_over(run: Run, model: str, tmp_path: Path):
    table = tmp_path / "new.csv"
    table.write_text("image,label\na.png,red\n")
    ended = run("predict", model, str(table), "--output", str(table))
    assert (ended.code, table.read_text()) == (2, "image,label\na.png,red\n")
    assert "is what is read; choose another place" in ended.err
