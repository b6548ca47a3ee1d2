"""What a comparison leaves open is decided once, for all of its cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtail.comparing import defaults
from longtail.comparing.cells import Comparison
from longtail.comparing.defaults import decided
from longtail.training import facts
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions


def decisions(labels: str, base: TrainConfig, budget: float | None = None):
    comparison = Comparison(base, tuple(labels.split(",")), Path("unused"), budget=budget)
    found = decided(comparison, comparison.entries())
    assert list(found.entries) == list(comparison.labels)
    return {label: entry.config for label, entry in found.entries.items()}, found.notes


@pytest.fixture(autouse=True)
def without_gpus(monkeypatch):
    monkeypatch.setattr(defaults, "visible_gpus", list)


def test_methods_get_one_length_and_what_was_chosen_is_said_once_for_all_of_them():
    base = TrainConfig("digits", batch_size=16, data_options=DataOptions(tail_ratio=20))
    configs, lines = decisions("ce,crl,down-sampling", base)
    assert configs["ce"].planned_epochs == configs["crl"].planned_epochs
    assert configs["down-sampling"].planned_epochs > configs["ce"].planned_epochs  # its epochs are short
    assert all(config.from_scratch and not config.freeze and config.keep for config in configs.values())
    alike = [line for line in lines if line.startswith("ce, crl: chosen: --from-scratch --epochs ")]
    assert len(alike) == 1


def test_a_second_stage_has_the_regime_of_its_first(monkeypatch):
    monkeypatch.setattr(facts, "has_weights", lambda: True)
    monkeypatch.setattr(facts, "suggest_size", lambda images: (128, 128))
    configs, _ = decisions("ce,crt", TrainConfig("digits"))
    assert [config.finetune for config in configs.values()] == ["last", "last"]
    assert configs["crt"].start == "ce"
    configs, _ = decisions("ce,crt", TrainConfig("digits", backbone="convnet"))
    assert [config.finetune for config in configs.values()] == [None, None]


def test_stages_may_be_named_in_any_order():
    configs, _ = decisions("ce,ce+crt+lws,ce+crt", TrainConfig("digits", backbone="convnet"))
    assert [config.start for config in configs.values()] == [None, "ce+crt", "ce"]


def test_a_budget_of_seconds_takes_the_place_of_the_length():
    configs, lines = decisions("ce", TrainConfig("digits", backbone="convnet"), budget=5.0)
    assert configs["ce"].epochs == 1
    assert not [line for line in lines if "--epochs" in line]


def test_on_a_cluster_the_nodes_have_the_gpus(monkeypatch):
    asked = []
    monkeypatch.setattr(defaults, "facts_of", lambda *of: asked.append(of[-1]) or facts.facts_of(*of))
    base = TrainConfig("digits", backbone="convnet")
    for engine in ("local", "slurm"):
        comparison = Comparison(base, ("ce",), Path("unused"), engine=engine)
        decided(comparison, comparison.entries())
    assert asked == ["cpu", "cuda"]


def test_a_split_that_leaks_is_said_only_where_images_may_be_looked_at(monkeypatch):
    monkeypatch.setattr(defaults, "leak_note", lambda dataset, splits, bits: "the split leaks")
    comparison = Comparison(TrainConfig("digits"), ("ce",), Path("unused"))
    assert "the split leaks" in decided(comparison, comparison.entries(), leaks=True).notes
    assert "the split leaks" not in decided(comparison, comparison.entries()).notes
