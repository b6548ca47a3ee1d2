import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.data import unlabelled
from longtail.data.unlabelled import ManifestReading, open_images
from longtail.decisions.thresholds import Threshold
from longtail.errors import InputError
from longtail.images.load import ImageLoader
from longtail.runs.calibration import Calibration
from longtail.runs.predict import notes_on, predict, predict_blocks
from longtail.runs.ruling import Ruling
from longtail.runs.run import Run
from longtail.training.checkpoint import load_model, weights_of, write_model


@pytest.fixture
def run(untrained):
    return Run.open(untrained(kind=("a", "b", "c"), new=("no", "yes")), "cpu")


def images(*sources):
    return open_images(list(map(str, sources)), ManifestReading(), lambda line: None)


def test_scores_are_those_of_the_network_in_the_order_of_the_images(run, noise, monkeypatch):
    monkeypatch.setattr(unlabelled, "BLOCK", 2)
    one, two, three = noise("1.png", "2.png", "3.png")
    found = list(predict(run, images(three, one, two)))
    assert [p.image for p in found] == [three, one, two]
    for prediction in found:
        pixels = Image.open(prediction.image)
        batch = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
        assert batch.shape[2:] == (9, 12)
        alone = next(predict(run, images(prediction.image)))
        assert prediction == alone
        for name, values in prediction.probabilities.items():
            assert sum(values.values()) == pytest.approx(1, abs=1e-5)
            assert prediction.labels[name] == max(values, key=values.__getitem__)
    assert found[0].sets is None
    assert found[0].features is None


def test_features_come_with_the_same_scores(run, noise):
    path = noise("1.png")[0]
    (full,) = next(predict_blocks(run, images(path), features=True)).predictions
    plain = next(predict(run, images(path)))
    assert plain == full  # features are not compared
    assert full.features.shape == (2, 5)
    assert full.features.dtype == np.float32
    loader_of = next(iter(images(path)))
    assert full.features.tolist() == features_of(run, loader_of).tolist()


def features_of(run, block):
    from longtail.data.dataset import Dataset

    dataset = Dataset("x", run.card.schema, np.zeros((1, 2), np.int64), ["x"], block)
    return run.features(np.arange(1), ImageLoader(dataset, run.card.image_size))[0]


def test_an_image_is_decoded_once_and_no_more_than_a_block_is_in_memory(run, noise, monkeypatch):
    monkeypatch.setattr(unlabelled, "BLOCK", 2)
    read, paths = [], noise(*(f"{i}.png" for i in range(5)))
    before = unlabelled.Block.read
    monkeypatch.setattr(unlabelled.Block, "read", lambda self, i: read.append(i) or before(self, i))
    found = predict_blocks(run, images(*paths))
    assert len(next(found).predictions) == 2
    assert len(read) == 2
    assert sum(len(block.predictions) for block in found) == 3
    assert len(read) == 5


def test_unreadable_images_are_left_out_and_named(run, noise, watcher):
    run.watcher = watcher
    good, bad = noise("good.png", "bad.png")
    Path(bad).write_text("no image")
    (block,) = predict_blocks(run, images(bad, good, bad))
    assert [p.image for p in block.predictions] == [good]
    assert block.names == [bad, good, bad]
    assert [(item.row, item.name) for item in block.unreadable] == [(0, bad), (2, bad)]
    assert len(watcher.lines) == 2
    assert watcher.lines[0].startswith(f"left out {bad}: not an image")
    assert [p.image for p in predict(run, images(bad, good), skip_unreadable=True)] == [good]
    with pytest.raises(InputError, match=r"bad\.png: not an image"):
        list(predict(run, images(good, bad)))


def test_a_block_of_unreadable_images_alone_stops_nothing(run, noise, monkeypatch):
    monkeypatch.setattr(unlabelled, "BLOCK", 1)
    good, bad = noise("good.png", "bad.png")
    Path(bad).write_text("no image")
    assert [len(block.predictions) for block in predict_blocks(run, images(bad, good))] == [0, 1]


def test_scores_that_are_not_finite_are_one_line_with_the_model_and_the_image(run, noise):
    learner, card = load_model(run.folder.model)
    with torch.no_grad():  # finite, and beyond float32 once they are summed
        learner.model.head.weight.fill_(3e38)
        learner.model.head.bias.fill_(3e38)
        learner.model.head.feature.bias.fill_(3e38)
    write_model(run.folder.model, weights_of(learner), card)
    broken = Run.open(run.folder.path, "cpu")
    for features in (False, True):
        with pytest.raises(
            InputError, match=r"model\.safetensors: its scores of .*1\.png are not finite \(1 of 1 images\)"
        ):
            list(predict_blocks(broken, images(*noise("1.png")), features=features))


# --- thresholds and sets --------------------------------------------------------------------------


@pytest.fixture
def calibrated(run):
    """A run with validation images: of the second attribute enough, of 200 a quarter of the rare class."""
    random = torch.Generator().manual_seed(0)
    scores = torch.rand((400, 2, 3), generator=random)
    scores[:, 1, 2] = 0
    scores /= scores.sum(2, keepdim=True)
    labels = torch.stack([torch.arange(400) % 3, (torch.arange(400) % 4 == 0).long()], 1)
    run.know({run.decision: Calibration.of(scores, labels, run.frequencies)})
    return run


def test_attributes_of_two_classes_are_decided_by_their_threshold(run, noise):
    paths = noise(*(f"{i}.png" for i in range(9)))
    before = list(predict(run, images(*paths)))
    middle = float(np.median([p.probabilities["new"]["yes"] for p in before]))
    run.ruling = Ruling(run.frequencies, thresholds={1: Threshold(1, middle, 99)})
    after = list(predict(run, images(*paths)))
    assert [p.labels["new"] == "yes" for p in after] == [
        p.probabilities["new"]["yes"] >= middle for p in before
    ]
    assert {p.labels["new"] for p in after} == {"no", "yes"}
    assert {p.labels["new"] for p in before} != {"no", "yes"}
    assert [p.labels["kind"] for p in after] == [p.labels["kind"] for p in before]


def test_another_aim_has_other_thresholds_and_another_coverage_other_sets(calibrated):
    found = []
    for share in (0.7, 0.9):
        calibrated.aim_at(f"recall={share}", share)
        found.append((calibrated.ruling.thresholds[1].value, calibrated.ruling.smallest_typical))
    assert found[0] != found[1]
    assert found[0][0] > found[1][0]


def test_a_threshold_that_cannot_be_tuned_is_said(calibrated):
    calibrated.aim_at("balanced", None)
    assert notes_on(calibrated) == [
        "new: decided at probability ½, not for balanced (fewer than 500 of the rarer class)"
    ]


def test_sets_hold_the_decision_and_what_is_typical_enough_the_most_probable_first(calibrated, noise):
    calibrated.aim_at(None, 0.8)
    paths = noise(*(f"{i}.png" for i in range(9)))
    for prediction in predict(calibrated, images(*paths)):
        for name, inside in prediction.sets.items():
            values = prediction.probabilities[name]
            assert prediction.labels[name] in inside
            assert list(inside) == sorted(inside, key=values.__getitem__, reverse=True)
            scores = np.zeros((1, 2, 3))
            j = calibrated.card.schema.names.index(name)
            scores[0, j, : len(values)] = list(values.values())
            members = calibrated.ruling.members(scores)[0, j]
            assert {label for label, is_in in zip(values, members) if is_in} == set(inside)


def test_an_unfinished_training_is_said(run):
    assert notes_on(run) == []
    assert run.unfinished is None


# --- sources --------------------------------------------------------------------------------------


def test_an_archive_in_capitals_is_read_and_what_it_leaves_out_is_said(run, noise, tmp_path):
    (path,) = noise("a.png")
    said = []
    with zipfile.ZipFile(tmp_path / "SOME.ZIP", "w") as archive:
        archive.write(path, "blue0.png")
        archive.writestr("notes.txt", "seen in May")
    blocks = open_images([str(tmp_path / "SOME.ZIP")], ManifestReading(), said.append)
    (prediction,) = predict(run, blocks)
    assert prediction.image.endswith("blue0.png")
    assert said == [f"{tmp_path / 'SOME.ZIP'}: 1 other file left out, no image: txt 1"]
