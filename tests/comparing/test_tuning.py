from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from longtail.comparing import tuning
from longtail.comparing.cells import MOST_TRIALS, cell_of, entry_of, shown_flags
from longtail.comparing.tuning import MAIN, RATES, Tuned, settings_of
from longtail.methods.rows import METHODS
from longtail.training.config import TrainConfig

BASE = TrainConfig(data="digits")
BASE_FOLDER = Path("folder")
LABELS = list(METHODS)


@pytest.mark.parametrize("label", [*LABELS, "crl-i", "triplet+argmax"])
def test_every_method_has_the_same_number_of_distinct_settings_its_own_first(label):
    config = entry_of(label, BASE).config
    settings = list(settings_of(config))
    assert len(settings) == len({repr(s) for s in settings}) == MOST_TRIALS
    assert settings[0] == config


def test_without_a_main_weight_learning_rates_are_tried():
    found = [s.peak_rate for s in settings_of(entry_of("ce", replace(BASE, learning_rate=0.2)).config)]
    assert found == pytest.approx([0.2 * rate for rate in RATES])
    assert "ce" not in MAIN


def test_rates_and_weights_are_changed_one_at_a_time_before_both():
    settings = [(s.peak_rate, s.method_options.crl.weight) for s in settings_of(entry_of("crl", BASE).config)]
    changes = [(rate != settings[0][0]) + (weight != settings[0][1]) for rate, weight in settings]
    assert changes == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert {rate for rate, _ in settings} == {0.1, 0.03, 0.3}
    assert {weight for _, weight in settings} == {None, 0.05, 0.5}


def test_fewer_trials_are_the_first_of_more():
    config = entry_of("lmle", BASE).config
    assert list(islice(settings_of(config), 3)) == list(settings_of(config))[:3]


def test_what_was_tried_is_told_by_flags():
    config = entry_of("crl", BASE).config
    cells = tuple(cell_of("crl", s, BASE_FOLDER, 0) for s in islice(settings_of(config), 2))
    told = Tuned(cells, (0.5, None), 0).to_dict()
    assert told["chosen"] == 0
    assert [trial["validation"] for trial in told["trials"]] == [0.5, None]
    assert told["trials"][0]["flags"] == shown_flags(config)
    assert told["trials"][1]["flags"] != told["trials"][0]["flags"]


@pytest.mark.parametrize(
    ("values", "chosen"),
    [([0.2, 0.5, 0.5], 1), ([0.2, None, 0.1], 0), ([None, 0.0, None], 1), ([None, None, None], 0)],
)
def test_the_best_trial_is_chosen_of_equals_the_first_and_never_a_failed_one(
    monkeypatch, tmp_path, values, chosen
):
    class Tried:
        folder = tmp_path

        def run(self, cells, what):
            return {cell: "failed" for cell, value in zip(cells, values) if value is None}

    monkeypatch.setattr(tuning, "last_validation", lambda run: values[int(run.name.split("-")[1])])
    found = tuning.tune(Tried(), {"ce": entry_of("ce", BASE).config}, {"ce": None}, 3)["ce"]
    assert (found.values, found.chosen) == (tuple(values), chosen)
