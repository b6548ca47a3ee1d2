import threading

import numpy as np
import pytest
import torch
from PIL import Image

import longtail


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three images of different sizes as files, one of them turned by its EXIF tag."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for place, size in enumerate([(20, 30), (40, 12), (9, 9)]):
        image = Image.fromarray(generator.integers(0, 255, (*size, 3), np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6 if place == 1 else 1
        image.save(folder / f"{place}.png", exif=exif)
    return folder


def paths_of(photos):
    return sorted(photos.iterdir())


def same(found, other):
    """Equal but for what the size of a batch changes in the last digits."""
    values = [[list(p.probabilities["digit"].values()) for p in each] for each in (found, other)]
    return np.allclose(*values, rtol=0, atol=1e-6)


def test_an_image_is_the_same_in_every_form(trained, photos):
    expected = trained.predict(photos)
    assert len(expected) == 3
    paths = paths_of(photos)
    assert same(trained.predict([str(path) for path in paths]), expected)
    assert same(trained.predict(paths), expected)
    assert same(trained.predict(path for path in paths), expected)
    assert same(trained.predict([Image.open(path) for path in paths]), expected)
    upright = [np.array(Image.open(path)) for path in (paths[0], paths[2])]
    assert same(trained.predict(upright), [expected[0], expected[2]])
    tensors = [torch.from_numpy(array).permute(2, 0, 1) for array in upright]
    assert same(trained.predict(tensors), [expected[0], expected[2]])
    mixed = [paths[0], upright[1], Image.open(paths[1])]
    assert same(trained.predict(mixed), [expected[0], expected[2], expected[1]])


def test_one_image_is_a_list_of_one(trained, photos):
    path = paths_of(photos)[0]
    for image in (path, str(path), Image.open(path), np.array(Image.open(path))):
        assert len(trained.predict(image)) == 1


def test_several_images_may_be_one_array(trained):
    images = np.random.default_rng(1).integers(0, 255, (5, 8, 8, 3), np.uint8)
    found = trained.probabilities(images)
    assert found.shape == (5, 10)
    assert np.allclose(found.sum(1), 1)
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert np.array_equal(trained.probabilities(channels_first), found)
    assert trained.features(images).shape == (5, 64)


def test_grey_images_are_images(trained):
    grey = np.random.default_rng(2).integers(0, 255, (8, 8), np.uint8)
    assert same(trained.predict(grey), trained.predict(np.stack([grey] * 3, 2)))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (3.5, "got float"),
        ([object()], "image 0: expected a path"),
        (np.zeros((8, 8, 3)), "expected pixels as uint8"),
        (np.zeros((8, 8, 2), np.uint8), "with 1, 3 or 4 channels"),
        (np.zeros((0, 8, 3), np.uint8), "expected"),
        ("nowhere.jpg", "no such file"),
        ("", "an empty path"),
    ],
)
def test_what_is_no_image_is_one_line(trained, image, said):
    with pytest.raises(longtail.InputError, match=said):
        trained.predict(image)


def test_no_image_gives_no_prediction(trained):
    assert trained.predict([]) == []
    with pytest.raises(longtail.InputError, match="at least one"):
        trained.probabilities([])


def test_predictions_come_one_by_one(trained):
    def endless():
        while True:
            yield np.zeros((8, 8, 3), np.uint8)

    assert next(trained.predictions(endless())).labels.keys() == {"digit"}


def test_a_loaded_model_is_the_trained_one(trained, photos):
    loaded = longtail.load(trained.folder)
    assert same(loaded.predict(photos), trained.predict(photos))
    assert loaded.results == trained.results
    assert loaded.schema == trained.schema
    assert "ce, digit (10 classes)" in repr(loaded)


def test_it_can_decide_otherwise(trained):
    assert longtail.load(trained.folder, decision="prior").decision == "prior"
    with pytest.raises(longtail.InputError, match="--coverage"):
        longtail.load(trained.folder, coverage=2.0)


def test_evaluating_writes_nothing(trained):
    before = {path: path.stat().st_mtime_ns for path in trained.folder.iterdir()}
    assert trained.evaluate().mean == trained.results.mean
    assert {path: path.stat().st_mtime_ns for path in trained.folder.iterdir()} == before
    assert trained.evaluate("digits", split="test").data.images["test"] > 0
    with pytest.raises(longtail.InputError, match="tail_rato: no such argument"):
        trained.evaluate("digits", tail_rato=2)


def test_threads_may_ask_at_once(trained):
    images = np.random.default_rng(3).integers(0, 255, (4, 8, 8, 3), np.uint8)
    expected, found = trained.probabilities(images), {}

    def ask(name):
        found[name] = trained.probabilities(images)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[name], expected) for name in range(4))


def test_tables_show_themselves(trained):
    table = trained.table()
    assert "class-balanced accuracy" in str(table)
    assert table._repr_html_().startswith("<pre")
    assert str(longtail.table(trained.results)) == str(table)


def test_what_it_was_loaded_for_is_what_its_predictions_have(trained, photos):
    plain = trained.predict(photos)
    assert plain[0].sets is None
    model = longtail.load(trained.folder, coverage=0.9)
    found = model.predict(photos)
    assert all(p.labels["digit"] in p.sets["digit"] for p in found)
    assert same(found, plain)


def test_a_model_whose_folder_was_trained_again_is_not_mixed_with_the_new_one(tmp_path):
    how = {"method": "ce", "backbone": "convnet", "epochs": 1, "output": tmp_path / "run"}
    longtail.train("digits", **how)
    old = longtail.load(tmp_path / "run")
    longtail.train("digits", seed=1, overwrite=True, **how)
    for use in (lambda: old.results, old.evaluate, old.export):
        with pytest.raises(longtail.InputError, match="was trained again since it was opened; open it anew"):
            use()
    assert longtail.load(tmp_path / "run").results.seed == 1


def test_a_transparent_array_is_laid_over_white_as_a_file_is(trained, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 12, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    assert same(trained.predict(pixels), trained.predict(tmp_path / "clear.png"))
