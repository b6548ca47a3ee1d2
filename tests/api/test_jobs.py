import numpy as np
import pytest
from PIL import Image

import longtail
from longtail.api.settings import settings
from longtail.comparing import compare
from longtail.features.cache import cache_folder
from longtail.methods import find
from longtail.models import lite0
from longtail.runs import suspects
from longtail.runs.embedding import Embedded

from ..comparing.comparing import ScriptedLauncher, train_here


def test_a_mistake_writes_nothing_and_never_exits(tmp_path):
    with pytest.raises(longtail.InputError, match="nowhere"):
        longtail.train(tmp_path / "nowhere", output=tmp_path / "run")
    with pytest.raises(longtail.InputError, match="expected the folder of a run"):
        longtail.resume(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_training_is_not_replaced(trained):
    with pytest.raises(longtail.InputError, match="--overwrite"):
        longtail.train("digits", output=trained.folder, epochs=1)


def test_advice_and_counts_of_data():
    found = longtail.diagnose("digits", check_images=False, tail_ratio=None)
    assert found.found.images == 1797
    assert all(advice.text for advice in found.advice)
    assert "digit" in str(found.table())
    assert found._repr_html_().startswith("<pre")


def test_labels_are_judged_where_that_is_asked_for(monkeypatch):
    def pixels(dataset, watcher, bits):
        rows = np.arange(len(dataset))
        return Embedded(rows, np.stack([dataset.images.read(row).ravel() for row in rows]) / 16, ())

    monkeypatch.setattr(suspects, "expect_weights", lambda flag: None)
    monkeypatch.setattr(suspects, "embed", pixels)
    found = longtail.diagnose("digits", check_images=False, check_labels=True)
    assert found.labels is not None
    assert found.labels.attributes[0].judged == 1797
    assert 0 < len(found.suspects) <= 0.05 * 1797
    assert all(suspect.given != suspect.suggested for suspect in found.suspects)
    assert longtail.diagnose("digits", check_images=False).suspects == ()


def test_options_that_have_no_effect_are_refused(tmp_path):
    with pytest.raises(longtail.InputError, match=r"--knn\.k: has no effect with --method ce; leave it out"):
        longtail.train("digits", method="ce", knn={"k": 3}, output=str(tmp_path / "a"))
    with pytest.raises(
        longtail.InputError, match=r"--lmle\.k: has no effect with --methods ce,crl; leave it out"
    ):
        longtail.compare("digits", methods="ce,crl", lmle={"k": 3}, output=str(tmp_path / "a"))


def test_methods_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package")  # no row of a network of photos beside them
    monkeypatch.setattr(compare, "WorkerLauncher", lambda local: ScriptedLauncher(train_here))
    found = longtail.compare(
        "digits",
        methods=["threshold-adjustment", "ce"],
        seeds=1,
        epochs=1,
        backbone="convnet",
        tail_ratio=20.0,
        tail_largest=40,
        output=tmp_path / "comparison",
        parallel=1,
    )
    assert [m.name for m in found.document.methods][:2] == ["threshold-adjustment", "ce"]
    assert "threshold-adjustment" in str(found.table())
    assert found.page.exists()


OWN = """
from longtail.methods.base import Method
from longtail.methods.context import Losses


class Own(Method):
    def loss(self, output, batch):
        return Losses({"ce": self.cross_entropy(output, batch)})
"""


def test_a_method_of_the_users_own_is_trained_where_its_argument_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "_allowed", {})
    own = f"{tmp_path / 'own.py'}:Own"
    (tmp_path / "own.py").write_text(OWN)
    model = longtail.train("digits", output=tmp_path / "run", method=own, backbone="convnet", steps=1)
    assert model.method == own


def test_a_tilde_is_the_home_folder_for_all_that_is_read_and_written(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LONGTAIL_CACHE", "~/cache")
    how = {"method": "ce", "backbone": "convnet", "epochs": 1, "tail_ratio": 10, "tail_largest": 60}
    longtail.train("digits", output="~/run", **how)
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    (prediction,) = longtail.load("~/run").predict("~/image.png")
    assert prediction.image == str(tmp_path / "image.png")
    assert cache_folder() == tmp_path / "cache"
    assert settings("digits", output="").output == ""
    with pytest.raises(longtail.InputError, match="output"):
        settings("digits", output=5)  # pyright: ignore[reportArgumentType]
    assert (tmp_path / "run" / "results.json").exists()
