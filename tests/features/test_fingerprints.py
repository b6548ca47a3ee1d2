"""Fingerprints of a data set: kept on disk, unreadable images alone, groups joined with given ones."""

import io

import numpy as np
import pytest
from PIL import Image

from longtail.data.dataset import Dataset
from longtail.features import fingerprints
from longtail.features.cache import entries
from longtail.features.fingerprints import grouped, looks
from longtail.images.fingerprint import fingerprint
from longtail.schema import Attribute, LabelSchema


class Store:
    """Encoded files in a list, None where one is missing."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def name(self, index):
        return f"{index}.jpg"

    def read(self, index):
        if self.images[index] is None:
            raise FileNotFoundError(2, "No such file or directory")
        return self.images[index]


def dataset(images, **rest):
    schema = LabelSchema((Attribute("kind", ("a", "b")),))
    ids = [f"i{row}" for row in range(len(images))]
    return Dataset("made", schema, np.zeros((len(images), 1), np.int64), ids, Store(images), **rest)


def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture
def exposures(scene):
    """Every scene in several brightnesses, one after the other."""

    def take(scenes, each=3):
        return [jpeg(scene(seed, 1 - 0.2 * dark)) for seed in range(scenes) for dark in range(each)]

    return take


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_they_are_those_of_the_images_and_found_again_without_decoding(cache, monkeypatch, exposures, scene):
    images = [*exposures(4), None, b"broken", scene(9)]
    first = looks(dataset(images))
    assert np.isnan(first.prints[12:14]).all()
    for row in (0, 5, 14):
        np.testing.assert_array_equal(first.prints[row], fingerprint(images[row], "a"))
    (entry,) = entries(cache)
    assert (entry.images, entry.about.network) == (13, "fingerprint")
    monkeypatch.setattr(fingerprints, "fingerprint", None)  # a call would fail
    again = looks(dataset(images[:12]))
    np.testing.assert_array_equal(again.prints, first.prints[:12])


def test_images_that_cannot_be_read_are_each_alone():
    found = looks(dataset([None, None, b"broken", b"broken"]))
    assert found.files.tolist() == found.groups.tolist() == [0, 1, 2, 3]


def test_other_bits_are_other_fingerprints(cache, exposures):
    looks(dataset(exposures(1)))
    looks(dataset(exposures(1)), 12)
    assert [entry.images for entry in entries(cache)] == [3, 3]


def test_a_cache_that_cannot_be_written_changes_nothing(cache, exposures):
    expected = looks(dataset(exposures(2))).prints
    for folder in cache.iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    cache.rmdir()
    cache.write_text("a file in the place of the folder")
    np.testing.assert_array_equal(looks(dataset(exposures(2))).prints, expected)


def test_progress_ends_at_all_images(exposures):
    heard = []
    looks(dataset(exposures(30)), on_progress=lambda done, total: heard.append((done, total)))
    assert heard == [(64, 90), (90, 90)]


def test_exposures_are_grouped_and_said(exposures):
    found = grouped(dataset(exposures(6)))
    assert found.groups.tolist() == np.repeat(np.arange(6), 3).tolist()
    assert found.notes == ("near duplicates: 18 of 18 images, in 6 groups",)
    assert found.identities is None


def test_given_groups_are_joined_and_stay_who_is_shown(exposures):
    given = np.array([0, 1, 2, 3, 3, 3, 4, 4, 0], np.int64)
    found = grouped(dataset(exposures(3), groups=given))
    assert found.groups.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert found.identities.tolist() == given.tolist()
    assert found.notes[-1].endswith("joined with the given groups")


def test_equal_files_are_together_even_if_flat():
    flat = [jpeg(np.full((32, 32, 3), value, np.uint8)) for value in (10, 10, 200)]
    assert grouped(dataset(flat)).groups.tolist() == [0, 0, 1]
