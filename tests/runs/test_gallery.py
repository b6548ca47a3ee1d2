"""What a report shows of the images: which, how many, how large; nothing where it must not."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from longtail.evaluation.metrics import Predictions
from longtail.methods.class_rectification import ClassRectification
from longtail.runs import gallery as galleries
from longtail.runs.evaluate import evaluate, judge
from longtail.runs.folder import RunFolder
from longtail.runs.gallery import MOST_IMAGES, Share, gallery_of
from longtail.runs.mined import MINED, most_mined
from longtail.runs.run import Run
from longtail.runs.train import train
from longtail.training.checkpoint import load_model
from longtail.training.config import CONFIG

from .conftest import Listening, drawn, of_colours, small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("gallery")
    return train(replace(small(place / "run"), image_size="32", epochs=1))


@pytest.fixture(scope="module")
def opened(run):
    return Run.open(run, "cpu")


@pytest.fixture(scope="module")
def judged(opened):
    return judge(opened, opened.data, "test")


@pytest.fixture(scope="module")
def gallery(opened, judged):
    return gallery_of(opened, judged.rows, judged.predictions, judged.results)


def test_every_mistake_shown_is_one_with_the_classes_and_the_score_that_stand_there(opened, judged, gallery):
    (mistakes,) = gallery.mistakes
    names, (attribute,) = opened.data.dataset.ids.__getitem__, judged.results.attributes
    place = {names(int(row)): i for i, row in enumerate(judged.rows)}
    scores, true = judged.predictions.of_attribute(0)
    decided = judged.predictions.decided(0)
    mean = sum(c.train_count for c in attribute.classes) / 10
    for strip in mistakes.rare:
        for example in strip.examples:
            i = place[gallery.pictures[example.picture].name]
            assert attribute.classes[true[i]].name == strip.title
            assert attribute.classes[true[i]].train_count < mean
            assert true[i] != decided[i]
            name, score = attribute.classes[decided[i]].name, 100 * scores[i, decided[i]]
            assert example.caption == f"taken for {name}, score {score:.1f}\N{NO-BREAK SPACE}%"
    for strip in mistakes.pairs:
        i = place[gallery.pictures[strip.examples[0].picture].name]
        of, to = attribute.classes[true[i]].name, attribute.classes[decided[i]].name
        assert strip.title == f"{of} taken for {to}"


def test_a_picture_is_kept_once_however_often_it_is_shown(gallery):
    names = [picture.name for picture in gallery.pictures]
    assert len(set(names)) == len(names)
    shown = [example.picture for strip in gallery.strips for example in strip.examples]
    assert set(shown) == set(range(len(names)))
    assert len(shown) > len(names)


def test_mistakes_show_where_the_network_looked_and_mined_images_do_not(gallery):
    mistakes = [e for m in gallery.mistakes for strip in (*m.rare, *m.pairs) for e in strip.examples]
    assert all(example.heat and example.heat.startswith(b"\x89PNG") for example in mistakes)
    assert all(example.heat is None for strip in gallery.mined for example in strip.examples)
    assert gallery.heated


def test_a_map_of_one_place_and_a_decision_by_neighbours_show_no_heat(opened, judged, monkeypatch):
    given = opened, judged.rows, judged.predictions, judged.results
    monkeypatch.setattr(opened, "decision", "knn")
    assert not gallery_of(*given).heated
    monkeypatch.undo()
    monkeypatch.setattr(galleries, "LEAST_PLACES", 99)
    assert not gallery_of(*given).heated


def test_what_was_mined_most_stands_first_with_its_count(run, gallery):
    kept = MINED.read(RunFolder(run).mined)
    positives, negatives = gallery.mined
    assert (positives.title, negatives.title) == ("Hard positives", "Hard negatives")
    for strip, side in ((positives, kept.positives), (negatives, kept.negatives)):
        assert len(strip.examples) == galleries.MOST_MINED
        times = [image.times for image in side]
        assert times == sorted(times, reverse=True)
        assert strip.examples[0].caption.endswith(f", in {times[0]:,} pairs")


def test_mined_images_are_named_most_often_first_and_those_never_mined_are_left_out():
    times = torch.tensor([[0, 3, 5, 3], [1, 0, 0, 0]], dtype=torch.int32)
    found = most_mined(times, "abcd", most=2)
    assert [(image.id, image.times) for image in found.positives] == [("c", 5), ("b", 3)]
    assert [(image.id, image.times) for image in found.negatives] == [("a", 1)]


def test_counting_changes_no_weight(run, tmp_path, monkeypatch):
    monkeypatch.setattr(ClassRectification, "observe", super(ClassRectification, ClassRectification).observe)
    other = train(replace(CONFIG.read(run / "config.json"), output=str(tmp_path / "other"), keep=None))
    assert not (other / "mined.json").exists()
    weights, without = (load_model(place / "model.safetensors")[0].state_dict() for place in (run, other))
    assert all(torch.equal(value, without[name]) for name, value in weights.items())


def test_the_report_holds_the_pictures_and_no_images_means_none(run, tmp_path):
    page = RunFolder(run).report
    with drawn(pictures=False):
        evaluate(run)
        with_images = page.read_text()
        evaluate(run, images=False)
        without = page.read_text()
        again = shutil.copytree(run, tmp_path / "again")
        config = CONFIG.read(again / "config.json")
        CONFIG.write(again / "config.json", replace(config, no_images=True))
        evaluate(again)
        by_config = (again / "report.html").read_text()
    assert with_images.count("data:image/jpeg") > 20
    for text in (without, by_config):
        assert "data:" not in text.replace("img-src data:", "")
        assert "What it gets wrong" not in text
    ids = re.findall(r'id="(picture\d+)"', with_images)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#(picture\d+)"', with_images)) == set(ids)
    assert not re.search(r"https?:", with_images)


def test_an_image_that_is_gone_costs_the_images_and_not_the_figures(tmp_path):
    folder = of_colours(tmp_path / "colours")
    config = replace(small(tmp_path / "run"), data=str(folder), image_size="16", method="ce", epochs=1)
    run = train(
        replace(config, data_options=replace(config.data_options, tail_ratio=None, tail_largest=None))
    )
    opened = Run.open(run, "cpu", Listening())
    judged = judge(opened, opened.data, "test")
    wrong = replace_by_wrong(judged.predictions)
    assert gallery_of(opened, judged.rows, wrong, judged.results).pictures
    for file in folder.rglob("*.png"):
        file.write_bytes(b"no image")
    with drawn(pictures=False):
        from longtail.runs.evaluate import publish

        publish(opened, replace(judged, predictions=wrong))
    assert any(line.startswith("the report shows no images: ") for line in opened.watcher.lines)
    assert "data:image" not in (run / "report.html").read_text()


def replace_by_wrong(predictions: Predictions) -> Predictions:
    """The same images, none of them recognised."""
    scores = np.ones_like(predictions.scores)
    np.put_along_axis(scores, predictions.labels[:, :, None].clip(0), 0.0, 2)
    return replace(predictions, scores=scores / 2)


def test_pictures_that_would_be_too_large_together_are_left_out(opened, judged, gallery, monkeypatch):
    monkeypatch.setattr(galleries, "MOST_BYTES", 20_000)
    few = gallery_of(opened, judged.rows, judged.predictions, judged.results)
    assert 0 < len(few.pictures) < len(gallery.pictures)
    assert sum(len(picture.jpeg) for picture in few.pictures) <= 20_000
    assert all(example.picture < len(few.pictures) for strip in few.strips for example in strip.examples)


@pytest.mark.parametrize("attributes", [1, 2, 7, 40, 120, 500])
def test_all_attributes_together_show_no_more_than_the_most(attributes):
    share = Share.of(attributes)
    shown = min(attributes, MOST_IMAGES) * share.each * (share.classes + share.pairs)
    assert 0 < shown <= MOST_IMAGES
    assert share.classes >= 1
    assert share.pairs >= 0
