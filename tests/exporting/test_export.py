"""From the folder of a run to a file that decides as it does. One export for all."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import longtail
from longtail.cli import main
from longtail.decisions.thresholds import Threshold
from longtail.errors import InputError
from longtail.exporting import export, parity
from longtail.exporting.decider import Decider
from longtail.exporting.export import export_onnx
from longtail.exporting.onnx_file import FileCard, Found, Runner
from longtail.exporting.parity import Parity, check_parity, library_scores, sample_images
from longtail.runs.folder import RunFolder
from longtail.runs.ruling import Ruling
from longtail.runs.run import Run

from .runs import calibration, card, write_run

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """The network is not exported again."""
    monkeypatch.setattr(export, "onnx_bytes", lambda *_: content)


def test_the_command_says_what_was_compared_and_what_it_costs(told: str, run: Path):
    first, second, third, last = told.splitlines()
    assert first.startswith(
        "compared: 64 images of the run's data in random sizes, all decided like longtail"
    )
    assert re.fullmatch(r"probabilities differ by \d\.\de-0\d at most", second)
    assert re.fullmatch(r"\d+\.\d ms per image, in torch \d+\.\d \(one by one, one thread\)", third)
    assert re.fullmatch(rf"file: {run}/model\.onnx \(1\.\d MB\)", last)


def test_ten_lines_of_onnxruntime_decide_as_predict_does(content: bytes, photos: Path, run: Path):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    attributes = json.loads(session.get_modelmeta().custom_metadata_map["longtail"])["attributes"]
    said = longtail.load(run).predict(sorted(photos.glob("*.png")))
    assert len(said) == 48
    for prediction in said:
        image = np.asarray(Image.open(prediction.image).convert("RGB"))[None]
        probabilities, decision = session.run(["probabilities", "decision"], {"images": image})
        labels = {a["name"]: a["classes"][k] for a, k in zip(attributes, decision[0])}
        assert labels == prediction.labels
        for values, a in zip(probabilities[0], attributes):
            expected = prediction.probabilities[a["name"]]
            assert dict(zip(a["classes"], values.tolist())) == pytest.approx(expected, abs=1e-5)
    assert len({tuple(p.labels.values()) for p in said}) > 2


def test_the_file_says_what_it_is(content: bytes):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["longtail"]) == {
        "schema_version": 1,
        "longtail_version": "0.1.0",
        "method": "crl",
        "decision": "argmax",
        "image_size": [24, 20],
        "attributes": [
            {"name": "colour", "classes": ["blue", "green", "red"]},
            {"name": "bright", "classes": ["no", "yes"]},
        ],
        "threshold": None,
        "coverage": None,
        "thresholds": {},
    }
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("images", ["N", "H", "W", 3])]


def test_the_file_goes_with_the_run_when_that_is_replaced(content: bytes, run: Path):
    files = RunFolder(run).files
    assert {run / "model.onnx", run / "README.md"} <= {*files}


def test_a_file_that_decides_otherwise_is_not_written(
    exported: None, monkeypatch: pytest.MonkeyPatch, run: Path, tmp_path: Path
):
    def wrong(self: Runner, images: np.ndarray) -> Found:
        found = right(self, images)
        found.decision[0, 0] = 2 if found.decision[0, 0] == 0 else 0
        return found

    right = Runner.__call__
    monkeypatch.setattr(Runner, "__call__", wrong)
    with pytest.raises(InputError, match=r"not exported, the file decides 20 of 64 images otherwise than"):
        export_onnx(run, tmp_path / "new.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_whose_probabilities_are_others_is_not_written(exported: None, run: Path, tmp_path: Path):
    opened = Run.open(run, "cpu")
    opened.know({"argmax": calibration(2.0, 2.0)})  # no other decision, and not in the file
    content = (run / "model.onnx").read_bytes()
    with pytest.raises(
        InputError, match=r"decides 0 of 64 images .*, and probabilities differ by up to 0\.\d"
    ):
        check_parity(opened, content, *sample_images(opened))


def test_the_temperature_of_the_run_goes_into_the_file(run: Path):
    opened = Run.open(run, "cpu")
    opened.know({"argmax": calibration(2.0, 0.5)})
    images = np.random.default_rng(0).integers(0, 256, (3, 50, 40, 3), dtype=np.uint8)
    with torch.no_grad():
        network = Decider(opened.learner, opened.card.image_size, opened.ruling)
        probabilities, decision = network(torch.from_numpy(images))
    expected = library_scores(opened, images)
    np.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(decision.numpy(), expected.argmax(2))


def test_thresholds_and_sets_of_the_run_go_into_the_file(run: Path):
    opened = Run.open(run, "cpu")
    opened.know({"argmax": calibration(1.0, 1.0)})
    thresholds = {1: Threshold(0, 1e-10, 60)}
    opened.ruling = Ruling(opened.frequencies, opened.ruling.temperature, thresholds, [0.8, 1.1])
    images = np.random.default_rng(0).integers(0, 256, (20, 50, 40, 3), dtype=np.uint8)
    images //= np.arange(1, 21, dtype=np.uint8)[:, None, None, None]
    with torch.no_grad():
        network = Decider(opened.learner, opened.card.image_size, opened.ruling)
        probabilities, decision, members = network(torch.from_numpy(images))
    scores = library_scores(opened, images)
    np.testing.assert_array_equal(decision.numpy(), opened.ruling.decisions(scores))
    np.testing.assert_array_equal(members.numpy(), opened.ruling.members(scores))
    assert (decision.numpy() != probabilities.numpy().argmax(2)).any()
    assert not members[:, 1, 2].any()  # the attribute has two classes


def test_a_decision_between_equals_may_differ_and_is_counted(content: bytes, monkeypatch: pytest.MonkeyPatch):
    library = np.array([[[0.5, 0.49995, 0.00005]], [[0.6, 0.4, 0.0]]])
    near = np.array([[[0.49996, 0.49999, 0.00005]], [[0.6, 0.4, 0.0]]], np.float32)
    run = SimpleNamespace(decisions=lambda scores: scores.argmax(2), members=lambda _: None, thresholds={})
    wrong, ties, largest = parity._differences(run, library, Found(near, near.argmax(2)))
    assert (wrong, ties, largest) == (0, 1, pytest.approx(4e-5, rel=0.01))
    wrong, ties, _ = parity._differences(run, library, Found(near, np.array([[0], [1]])))
    assert (wrong, ties) == (1, 0)


def test_images_of_the_run_come_in_many_sizes_and_numbers(run: Path):
    batches, made_up = sample_images(Run.open(run, "cpu"))
    assert made_up is None
    assert sum(map(len, batches)) == 64
    assert len({batch.shape[1:3] for batch in batches}) == 20
    assert {len(batch) for batch in batches} == {1, 2, 3, 5}
    assert (
        len({tuple(batch[0].mean((0, 1)).round(1)) for batch in batches}) > 10
    )  # not one image over and over


def test_where_the_data_are_gone_images_are_made_up_and_that_is_said(
    exported: None, run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "config.json").write_text((run / "config.json").read_text().replace(str(photos), "/nowhere"))
    assert main(["export", str(copy), "--output", str(tmp_path / "new.onnx")]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("images of the run's data cannot be read: /nowhere: ")
    assert second.startswith("compared: 64 random images in random sizes, all decided like")


def test_images_that_cannot_be_read_are_passed_over(run: Path):
    def read(row: int) -> bytes | np.ndarray:
        if row % 2:
            raise OSError("gone")
        return b"damaged" if row % 4 else np.full((3, 4, 3), row, np.uint8)

    class Store(SimpleNamespace):
        def __len__(self) -> int:
            return 40

    store = Store(read=read, name=str)
    shown = parity._readable(store, 64, 16)
    assert [int(next(shown)[0, 0, 0]) for _ in range(11)] == [*range(0, 40, 4), 0]


def test_the_scores_compared_with_are_those_of_predict(run: Path, photos: Path, tmp_path: Path):
    pixels = np.asarray(Image.open(photos / "3.png").convert("RGB"))
    (prediction,) = longtail.load(run).predict(photos / "3.png")
    found = library_scores(Run.open(run, "cpu"), pixels[None])[0]
    for values, expected in zip(found, prediction.probabilities.values()):
        np.testing.assert_array_equal(values[: len(expected)], [*expected.values()])


def test_another_decision_has_a_name_of_its_own(
    monkeypatch: pytest.MonkeyPatch, exported: None, tmp_path: Path
):
    run = write_run(tmp_path / "run", card(decision="prior"))
    monkeypatch.setattr(export, "check_parity", lambda *_: Parity(64, None, 0, 0.0, 1.0, 1.0))
    assert export_onnx(run, decision="argmax").path == run / "model.argmax.onnx"
    assert export_onnx(run).path == run / "model.onnx"


def test_that_a_file_holds_features_of_training_images_is_said(
    monkeypatch: pytest.MonkeyPatch, exported: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = write_run(tmp_path / "run", card(decision="knn"))
    monkeypatch.setattr(export, "check_parity", lambda *_: Parity(64, None, 0, 0.0, 1.0, 1.0))
    assert main(["export", str(run)]) == 0
    assert capsys.readouterr().err == "the file holds the features of 60 training images, which vote\n"


@pytest.mark.parametrize(
    ("flags", "mistake"),
    [
        (["--format", "timm"], "--format timm: expected --output FOLDER with it"),
        (["--output", "nowhere/a.onnx"], "--output nowhere/a.onnx: the folder nowhere does not exist"),
        (
            ["--decision", "clusters"],
            "--decision clusters: needs the clusters that lmle learns, crl has none",
        ),
    ],
)
def test_mistakes_are_one_line(run: Path, flags: list[str], mistake: str, capsys: pytest.CaptureFixture[str]):
    assert main(["export", str(run), *flags]) == 2
    assert capsys.readouterr().err == f"longtail: error: {mistake}\n"


def test_a_check_compares_with_the_run_it_is_given(content: bytes, tmp_path: Path):
    other = Run.open(write_run(tmp_path / "other", card()), "cpu")
    with pytest.raises((InputError, ValueError)):
        check_parity(other, content, *sample_images(other))


def test_thresholds_that_stay_are_said_and_stand_in_the_file(
    monkeypatch: pytest.MonkeyPatch, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    written: list[FileCard] = []

    def give(_: object, card: FileCard, *__: object) -> bytes:
        written.append(card)
        return (run / "model.onnx").read_bytes()

    monkeypatch.setattr(export, "onnx_bytes", give)
    output = str(tmp_path / "new.onnx")
    assert main(["export", str(run), "--threshold", "recall=.9", "--output", output]) == 0
    assert "bright: decided at probability ½, not for recall=0.9" in capsys.readouterr().err
    assert (written[0].threshold, [*written[0].thresholds]) == ("recall=0.9", ["bright"])
    assert [*written[0].thresholds["bright"].values()] == [0.5]
