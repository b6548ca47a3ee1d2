"""A split by chance that has nearly the same images on two sides is said; a flag keeps them on one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data.splits import SPLITS_FILE, split_dataset
from longtail.evaluation.results import RESULTS
from longtail.features.cache import entries
from longtail.runs import leak
from longtail.runs.data import read_dataset
from longtail.runs.evaluate import evaluate
from longtail.runs.leak import leak_note
from longtail.runs.run import Run
from longtail.runs.train import plan, train
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

GROUPED = DataOptions(group_near_duplicates=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path, scene):
    """Twenty scenes of two classes, each in three brightnesses."""
    for number in range(60):
        folder = tmp_path / "photos" / ("a" if number < 30 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(number // 3, 1 - 0.2 * (number % 3))).save(folder / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def config(photos, tmp_path):
    return TrainConfig(
        data=str(photos),
        method="ce",
        backbone="convnet",
        epochs=1,
        image_size="16",
        features=4,
        accelerator="cpu",
        output=str(tmp_path / "run"),
    )


def note_of(photos, **changes):
    dataset = replace(read_dataset(str(photos), DataOptions()), **changes)
    return leak_note(dataset, split_dataset(dataset))


def test_a_split_by_chance_of_exposures_leaks(photos):
    note = note_of(photos)
    assert note.startswith("the split leaks: ")
    assert "of 12 test images have a near duplicate among the training images" in note
    assert "--group-near-duplicates" in note


def test_what_the_user_has_grouped_or_split_is_not_looked_at(photos, cache):
    assert note_of(photos, groups=np.arange(60) // 2) is None
    assert note_of(photos, split=np.arange(60).astype(np.int8) % 3) is None
    assert entries(cache) == []


def test_groups_of_one_image_each_say_nothing(photos):
    assert note_of(photos, groups=np.arange(60)).startswith("the split leaks: ")


def test_other_scenes_and_many_images_are_no_reason_for_a_warning(photos, monkeypatch):
    for file in [*photos.rglob("*.png")]:
        if int(file.stem) % 3:
            file.unlink()
    assert note_of(photos) is None
    monkeypatch.setattr(leak, "CHECKED", 10)
    monkeypatch.setattr(leak, "looks", None)  # a call would fail
    assert note_of(photos) is None


def test_without_test_images_validation_images_are_looked_at(photos):
    dataset = read_dataset(str(photos), DataOptions())
    splits = split_dataset(dataset, (0.7, 0.3, 0.0))
    assert " val images have" in leak_note(dataset, splits)
    assert leak_note(dataset, split_dataset(dataset, (1.0, 0.0, 0.0))) is None


def sides(run, dataset):
    """The split of each image."""
    splits = SPLITS_FILE.read(run / "splits.json").rows(dataset.ids, "a")
    found = np.full(len(dataset), -1)
    for side, name in enumerate(("train", "val", "test")):
        found[splits.of(name)] = side
    return found


def test_a_training_warns_or_with_the_flag_keeps_each_scene_on_one_side(config, watcher):
    train(config, watcher=watcher)
    assert any(line.startswith("the split leaks") for line in watcher.lines)
    assert RESULTS.read(Path(config.output) / "results.json").faults[0].name == "leak"
    assert evaluate(Path(config.output)).faults[0].text.startswith("the split leaks")
    watcher.lines.clear()
    run = train(replace(config, data_options=GROUPED), overwrite=True, watcher=watcher)
    assert not any(line.startswith("the split leaks") for line in watcher.lines)
    assert "leak" not in [fault.name for fault in RESULTS.read(run / "results.json").faults]
    assert "near duplicates: 60 of 60 images, in 20 groups" in watcher.lines
    dataset = read_dataset(config.data, GROUPED)
    by_scene = sides(run, dataset).reshape(20, 3)
    assert (by_scene == by_scene[:, :1]).all()
    assert set(by_scene.ravel()) == {0, 1, 2}
    again = Run.open(run)
    assert again.config.data_options.group_near_duplicates
    np.testing.assert_array_equal(again.data.dataset.groups, dataset.groups)
    assert evaluate(run).image_groups == (by_scene[:, 0] == 2).sum()


def test_a_rehearsal_looks_at_no_image_for_it(config, cache):
    plan(config)
    assert entries(cache) == []
