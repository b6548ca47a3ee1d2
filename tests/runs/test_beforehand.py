"""The regression that a training is held against."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

from longtail.evaluation.results import RESULTS
from longtail.models import lite0
from longtail.runs import beforehand
from longtail.runs.beforehand import BEFOREHAND
from longtail.runs.train import train
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions
from longtail.training.record import EPOCHS

from .conftest import drawn

pytestmark = pytest.mark.skipif(
    find_spec(lite0.PACKAGE) is None, reason="the extra pretrained is not installed"
)


@pytest.fixture
def config(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(beforehand, "FEWEST_TO_CHOOSE", 2)
    return TrainConfig(
        data=str(folder), method="ce", finetune="last", epochs=1, batch_size=16, image_size="32",
        accelerator="cpu", output=str(tmp_path / "run"), data_options=DataOptions(val_share=0.25),
    )  # fmt: skip


@drawn(pictures=False)
def test_it_is_that_of_the_method_linear_and_known_before_the_first_epoch(config, watcher, tmp_path):
    run = train(config, watcher=watcher)
    found = BEFOREHAND.read(run / "beforehand.json").linear
    assert RESULTS.read(run / "results.json").training.linear == found
    assert any("to beat on the validation images: " in line for line in watcher.lines)
    solved = train(replace(config, method="linear", finetune=None, output=str(tmp_path / "linear")))
    (epoch,) = EPOCHS.read_lines(solved / "metrics.jsonl")
    assert epoch.validation.class_balanced_accuracy == pytest.approx(found)
    assert not (solved / "beforehand.json").exists()
    assert RESULTS.read(solved / "results.json").training.linear is None


@drawn(pictures=False)
@pytest.mark.parametrize(("name", "value"), [("MOST", 1), ("FEWEST_TO_CHOOSE", 10_000)])
def test_what_takes_long_or_means_nothing_is_left_out(config, name, value, monkeypatch):
    monkeypatch.setattr(beforehand, name, value)
    run = train(config)
    assert not (run / "beforehand.json").exists()
    assert RESULTS.read(run / "results.json").training.linear is None


@drawn(pictures=False)
@pytest.mark.parametrize("other", [{"freeze": True}, {"backbone": "convnet", "from_scratch": True}])
def test_another_regime_has_none(config, other):
    run = train(replace(config, finetune=None, **other))
    assert not (run / "beforehand.json").exists()
