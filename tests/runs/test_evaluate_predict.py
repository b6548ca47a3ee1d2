import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from longtail.data.unlabelled import ManifestReading, open_images
from longtail.errors import InputError
from longtail.evaluation.results import RESULTS
from longtail.runs.evaluate import _imbalance_seen, evaluate
from longtail.runs.predict import notes_on, predict
from longtail.runs.run import Run
from longtail.runs.train import train
from longtail.training.checkpoint import load_model, weights_of, write_model
from longtail.training.data_options import DataOptions


@pytest.fixture
def run(config, folder):
    settings = replace(config, data=str(folder), data_options=DataOptions(), batch_size=8, learning_rate=0.05)
    return train(settings)


def test_a_split_can_be_chosen(run):
    before = RESULTS.read(run / "results.json")
    results = evaluate(run, split="train")
    assert results.split == "train"
    assert RESULTS.read(run / "results.json") == before
    with pytest.raises(InputError, match="--split: expected one of train, val, test"):
        evaluate(run, split="tset")


def test_other_data_are_matched_by_the_names_of_their_classes(run, folder, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / "new" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "new" / name / f"{i}.png").write_bytes(
                (folder / name / f"{name}{i}.png").read_bytes()
            )
    results = evaluate(run, data=str(tmp_path / "new"), output=tmp_path / "new.json")
    assert [c.test_count for c in results.attributes[0].classes] == [3, 0, 3]
    assert RESULTS.read(tmp_path / "new.json") == results


def test_other_data_need_not_show_more_than_one_class(run, folder, tmp_path):
    (tmp_path / "new" / "green").mkdir(parents=True)
    (tmp_path / "new" / "green" / "g.png").write_bytes((folder / "green" / "green0.png").read_bytes())
    results = evaluate(run, data=str(tmp_path / "new"))
    assert [c.test_count for c in results.attributes[0].classes] == [0, 1, 0]


def test_attributes_of_other_data_are_those_of_the_model_not_guessed(config, folder, tmp_path):
    colours = [f"{path.parent.name}/{path.name},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    rows = [f"{row},{number % 2}" for number, row in enumerate(colours)]
    (folder / "labels.csv").write_text("\n".join(["image,colour,bald", *rows]) + "\n")
    options = DataOptions(attributes=("colour", "bald"))
    run = train(replace(config, data=str(folder), data_options=options))
    rows = [f"red/red{i}.png,{'red' if i else ''},0" for i in range(3)]  # constant, and one unlabelled
    (tmp_path / "new.csv").write_text("\n".join(["image,colour,bald", *rows]) + "\n")
    results = evaluate(run, data=str(tmp_path / "new.csv"), options=DataOptions(images=str(folder)))
    counts = {a.name: {c.name: c.test_count for c in a.classes} for a in results.attributes}
    assert counts == {"colour": {"blue": 0, "green": 0, "red": 2}, "bald": {"0": 3, "1": 0}}


def test_a_class_never_seen_in_training_is_named(run, folder):
    (folder / "violet").mkdir()
    Image.new("RGB", (12, 10)).save(folder / "violet" / "v.png")
    with pytest.raises(InputError, match=r"v\.png has the .* 'violet', which .* \(1 such class\); .* out$"):
        evaluate(run, data=str(folder))


def test_a_class_in_capitals_has_its_name_suggested(run, folder):
    (folder / "red").rename(folder / "Red")
    with pytest.raises(
        InputError, match=r"'Red', .* out\. The model's 'red' differs only in case or spaces$"
    ):
        evaluate(run, data=str(folder))


def test_an_attribute_without_a_training_label_has_no_imbalance():
    shares = torch.tensor([[0.75, 0.25], [0.0, 0.0]])
    run = SimpleNamespace(
        learner=SimpleNamespace(method=SimpleNamespace(shares=shares)),
        card=SimpleNamespace(schema=SimpleNamespace(names=("colour", "bald"))),
    )
    assert _imbalance_seen(run) == "colour 3, bald –"


def test_a_class_that_only_left_out_rows_have_does_not_matter(run, folder, tmp_path):
    rows = [
        "image,label",
        *(f"red/red{i}.png,red" for i in range(3)),
        "blue/blue0.png,blue",
        "gone.png,violet",
    ]
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
    options = DataOptions(images=str(folder), attributes=("label",), skip_missing=True)
    results = evaluate(run, data=str(tmp_path / "new.csv"), options=options)
    assert [c.test_count for c in results.attributes[0].classes] == [1, 0, 3]


def test_only_the_images_that_are_evaluated_are_read(run, folder):
    splits = json.loads((run / "splits.json").read_text())
    for name in splits["train"]:
        (folder / name).write_bytes(b"damaged after the training")
    assert evaluate(run).split == "test"


def test_data_that_changed_under_a_run_are_not_evaluated_silently(run, folder):
    (folder / "red" / "red0.png").unlink()
    with pytest.raises(InputError, match=r"splits\.json"):
        evaluate(run)


def test_the_data_of_a_run_in_another_place_have_its_splits(run, folder, tmp_path, watcher):
    own = evaluate(run)
    folder.rename(tmp_path / "moved")
    with pytest.raises(
        InputError, match=rf"is not there; .* If they were moved: longtail evaluate {run} PLACE"
    ):
        evaluate(run)
    moved = evaluate(run, data=str(tmp_path / "moved"), watcher=watcher)
    assert moved.mean == own.mean
    assert [c.test_count for c in moved.attributes[0].classes] == [
        c.test_count for c in own.attributes[0].classes
    ]
    assert "moved: its images are called as those of the run, whose splits count" in watcher.lines


def test_moved_data_with_splits_of_their_own_and_images_that_a_tail_left_out_have_those_of_the_run(
    config, folder, tmp_path
):
    names = (f"{path.parent.name}/{path.name}" for path in sorted(folder.rglob("*.png")))
    rows = [f"{name},{name.split('/')[0]},train" for name in names]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["image,colour,split", *rows]) + "\n")
    options = DataOptions(images=str(folder), tail_ratio=2.0)
    run = train(replace(config, data=str(table), data_options=options))
    moved = tmp_path / "moved.csv"
    moved.write_text(table.read_text())
    found = evaluate(run, data=str(moved), options=DataOptions(images=str(folder)))
    assert found.mean == RESULTS.read(run / "results.json").mean


def test_a_model_whose_settings_cannot_be_read_still_predicts(run, folder):
    (run / "config.json").write_text("{}")
    assert len(predicted(run, folder / "red" / "red0.png")) == 1
    assert notes_on(Run.open(run, "cpu")) == []


def test_images_of_the_training_among_others_are_counted(run, folder, tmp_path, watcher):
    shutil.copytree(folder, tmp_path / "more")
    shutil.copy(folder / "red" / "red0.png", tmp_path / "more" / "red" / "new.png")
    known = json.loads((run / "splits.json").read_text())
    found = evaluate(run, data=str(tmp_path / "more"), watcher=watcher)
    images = sum(map(len, (known["train"], known["val"], known["test"]))) + 1
    assert sum(c.test_count for c in found.attributes[0].classes) == images
    expected = (
        f"more: {len(known['train'])} of {images} images are called as images that the run was trained on"
    )
    assert any(line.startswith(expected) for line in watcher.lines)


def test_a_split_that_other_data_lack_is_one_line(run, folder, tmp_path):
    rows = [f"red/red{i}.png,red,{split}" for i, split in enumerate(["train", "val", "val"])]
    (tmp_path / "new.csv").write_text("\n".join(["image,label,split", *rows]) + "\n")
    options = DataOptions(images=str(folder))
    assert evaluate(run, data=str(tmp_path / "new.csv"), split="val", options=options).split == "val"
    with pytest.raises(InputError, match="new: its splits have no test image; name another with --split"):
        evaluate(run, data=str(tmp_path / "new.csv"), options=options)


def test_an_attribute_of_another_name_is_said_to_be_taken_for_it(run, folder, tmp_path, watcher):
    (tmp_path / "new.csv").write_text("image,hue\nred/red0.png,red\nblue/blue0.png,blue\n")
    options = DataOptions(images=str(folder), attributes=("hue",))
    evaluate(run, data=str(tmp_path / "new.csv"), options=options, watcher=watcher)
    assert "hue is taken for label, as the run calls it" in watcher.lines


def test_labels_that_changed_since_the_training_are_told(config, folder, tmp_path, watcher):
    rows = [f"{path.parent.name}/{path.name},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["image,colour", *rows]) + "\n")
    run = train(replace(config, data=str(table), data_options=DataOptions(images=str(folder))))
    told = "tmp: labels have changed since the training".replace("tmp", Run.open(run).data.dataset.name)
    evaluate(run, watcher=watcher)
    assert told not in watcher.lines
    whole = (run / "origin.json").read_bytes()
    for spoil in (lambda file: file.write_bytes(whole[:40]), lambda file: file.unlink()):
        spoil(run / "origin.json")
        evaluate(run, watcher=watcher)
    (run / "origin.json").write_bytes(whole)
    rows[0] = rows[0].replace(",blue", ",red")
    table.write_text("\n".join(["image,colour", *rows]) + "\n")
    evaluate(run, watcher=watcher)
    assert told in watcher.lines


def test_a_run_that_may_not_be_written_to_is_said_before_the_work(run, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="may not be written to; name a file for the results with --output"):
        evaluate(run)
    assert evaluate(run, output=tmp_path / "found.json").split == "test"


def predicted(run, *sources):
    blocks = open_images([*map(str, sources)], ManifestReading(), lambda line: None)
    return list(predict(Run.open(run), blocks))


def test_files_folders_and_archives_are_predicted_in_their_order(run, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(folder / "blue" / "blue0.png", "blue0.png")
    one = str(folder / "red" / "red3.png")
    predictions = predicted(run, one, folder / "green", tmp_path / "some.zip", one)
    assert [Path(p.image).name for p in predictions[:1]] == ["red3.png"]
    assert len(predictions) == 1 + 12 + 1 + 1
    assert predictions[0] == predictions[-1]
    for prediction in predictions:
        (probabilities,) = prediction.probabilities.values()
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        (label,) = prediction.labels.values()
        assert probabilities[label] == max(probabilities.values())
    right = [next(iter(p.labels.values())) for p in predictions[:1]]
    assert right == ["red"]


def test_a_missing_image_and_a_missing_run_are_one_line(run, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.png: no such file"):
        predicted(run, tmp_path / "nothing.png")
    with pytest.raises(InputError, match="expected a run folder"):
        predicted(tmp_path / "norun", __file__)


def test_scores_that_are_not_finite_are_one_line_with_the_model_and_the_image(run, folder):
    learner, card = load_model(run / "model.safetensors")
    with torch.no_grad():  # finite, and beyond float32 once they are summed
        learner.model.head.weight.fill_(3e38)
        learner.model.head.bias.fill_(3e38)
        learner.model.head.feature.bias.fill_(3e38)
    write_model(run / "model.safetensors", weights_of(learner), card)
    (run / "calibration.safetensors").unlink()  # of the model before
    image = str(folder / "red" / "red3.png")
    with pytest.raises(
        InputError, match=r"model\.safetensors: its scores of .*red3\.png are not finite \(1 of 1"
    ):
        predicted(run, image)
    with pytest.raises(InputError, match=r"model\.safetensors: its scores of .*\.png are not finite"):
        evaluate(run)
