from dataclasses import replace
from itertools import islice

import pytest

from longtail.comparing import tuning
from longtail.comparing.cells import MOST_TRIALS, entry_of, shown_flags
from longtail.comparing.tuning import MAIN, RATES, settings_of
from longtail.methods.rows import METHODS
from longtail.training.config import TrainConfig

BASE = TrainConfig(data="digits")
LABELS = [name for name, row in METHODS.items() if not row.solved]


@pytest.mark.parametrize("label", [*LABELS, "crl-i", "triplet+argmax"])
def test_every_method_has_the_same_number_of_distinct_settings_its_own_first(label):
    config = entry_of(label, BASE).config
    settings = list(settings_of(config))
    assert len(settings) == len(set(settings)) == MOST_TRIALS
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


def tried(monkeypatch, tmp_path, label, values):
    """As many settings of a method as there are values, which come out so; None where one fails."""

    class Tried:
        folder = tmp_path

        def run(self, cells, what):
            return {cell: "failed" for cell, value in zip(cells, values) if value is None}

    monkeypatch.setattr(tuning, "judged_validation", lambda run: values[int(run.name.split("-")[1])])
    return tuning.tune(Tried(), {label: entry_of(label, BASE).config}, {label: None}, len(values))[label]


def test_what_was_tried_is_told_by_flags(monkeypatch, tmp_path):
    config = entry_of("crl", BASE).config
    found = tried(monkeypatch, tmp_path, "crl", [0.5, None])
    one, other = found.tuning.trials
    assert (one.validation, other.validation) == (0.5, None)
    assert one.flags == tuple(shown_flags(config))
    assert other.flags != one.flags
    assert found.chosen == found.cells[0]
    assert found.chosen.config == replace(config, output=str(tmp_path / "tune" / "crl-0-seed0"))


@pytest.mark.parametrize(
    ("values", "chosen"),
    [([0.2, 0.5, 0.5], 1), ([0.2, None, 0.1], 0), ([None, 0.0, None], 1), ([None, None, None], 0)],
)
def test_the_best_trial_is_chosen_of_equals_the_first_and_never_a_failed_one(
    monkeypatch, tmp_path, values, chosen
):
    found = tried(monkeypatch, tmp_path, "ce", values)
    assert [trial.validation for trial in found.tuning.trials] == values
    assert found.tuning.chosen == chosen
    assert found.chosen == found.cells[chosen]


def test_what_is_solved_has_one_setting():
    config = entry_of("linear", TrainConfig(data="digits")).config
    assert list(settings_of(config)) == [config]
