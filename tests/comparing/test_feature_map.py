from types import SimpleNamespace

import numpy as np
import pytest

from longtail.comparing import feature_map as module
from longtail.comparing.feature_map import chosen_rows, feature_map, in_the_plane, most_imbalanced
from longtail.errors import InputError
from longtail.runs.train import train
from longtail.training.watcher import Silent


def test_classes_that_are_apart_stay_apart_in_the_plane():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    features = (10 * np.eye(3, 8)[labels] + rng.normal(0, 0.1, (60, 8))).astype(np.float32)
    points = in_the_plane(features)
    assert points.shape == (60, 2)
    centres = np.array([points[labels == k].mean(0) for k in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    assert (nearest == labels).all()
    assert (points == in_the_plane(features)).all()


@pytest.mark.parametrize(
    "features",
    [np.ones((9, 4)), np.full((9, 4), np.nan), np.zeros((4, 1))],
    ids=["all alike", "not numbers", "one of size one"],
)
def test_features_without_a_shape_are_put_at_the_origin(features):
    assert (in_the_plane(features.astype(np.float32)) == 0).all()


def test_a_line_and_the_fewest_images_have_a_picture():
    line = np.arange(4, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    assert np.isfinite(in_the_plane(line)).all()
    assert np.isfinite(in_the_plane(line[:, :1])).all()


def test_only_labelled_rows_are_shown_and_no_more_than_a_limit(monkeypatch):
    labels = np.array([0, -1, 1, 2, -1, 0])
    rows = np.array([1, 2, 3, 5])
    assert chosen_rows(labels, rows).tolist() == [2, 3, 5]
    monkeypatch.setattr(module, "MOST_IMAGES", 2)
    assert len(chosen_rows(labels, rows)) == 2
    assert set(chosen_rows(labels, rows)) <= {2, 3, 5}
    assert chosen_rows(labels, rows).tolist() == chosen_rows(labels, rows).tolist()


def test_the_most_imbalanced_attribute_is_shown():
    ratios = [2.0, None, 9.0, 9.0]
    assert most_imbalanced([SimpleNamespace(imbalance_ratio=ratio) for ratio in ratios]) == 2
    assert most_imbalanced([SimpleNamespace(imbalance_ratio=None)]) == 0


def test_the_test_images_of_a_run_are_placed(config, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MOST_IMAGES", 40)
    run = train(config)
    found = feature_map({"crl": run, "again": run}, Silent())
    assert (found.attribute, len(found.labels)) == (0, 40)
    assert np.shape(found.points["crl"]) == (40, 2)
    assert found.points["crl"] == found.points["again"]
    monkeypatch.setattr(module, "MOST_IMAGES", 3)
    assert feature_map({"crl": run}, Silent()) is None
    with pytest.raises(InputError):
        feature_map({"crl": tmp_path / "nothing"}, Silent())
