"""What is computed from a comparison equals plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from longtail.comparing.figures import Figure, Gain, claim, gains, ranking, standings, widening
from longtail.evaluation.intervals import paired_difference
from longtail.evaluation.metrics import METRICS

from .comparison_documents import comparison, fail, several_attributes, single_attribute, typed

Json = dict[str, Any]


def numbers(document: Json, name: str, decision: str, metric: str) -> dict[int, float]:
    """By seed, the metric of every cell that has it; decision 'own' is the cell's own."""
    found = {}
    for method in document["methods"]:
        if method["name"] != name:
            continue
        for cell in method["cells"]:
            key = cell["own_decision"] if decision == "own" else decision
            if cell["status"] == "finished" and key in cell["decisions"]:
                value = cell["decisions"][key]["mean"].get(metric)
                if value is not None:
                    found[cell["seed"]] = value
    return found


def slow_figure(document: Json, name: str, decision: str, metric: str) -> tuple[float | None, ...]:
    """Mean, sd, difference, low, high; from sums."""
    own = numbers(document, name, decision, metric)
    other = numbers(document, document["baseline"], decision, metric)
    if not own:
        return (None,) * 5
    mean = sum(own.values()) / len(own)
    spread = sum((value - mean) ** 2 for value in own.values())
    sd = math.sqrt(spread / (len(own) - 1)) if len(own) > 1 else None
    d = [own[seed] - other[seed] for seed in own if seed in other]
    if name == document["baseline"] or len(d) < 2:
        return mean, sd, None, None, None
    m = sum(d) / len(d)
    if len(d) == 2:
        return mean, sd, m, None, None
    error = math.sqrt(sum((x - m) ** 2 for x in d) / (len(d) - 1) / len(d))
    half = stats.t.ppf(0.975, len(d) - 1) * error
    return mean, sd, m, m - half, m + half


def fast_figure(figure: Figure | None) -> tuple[float | None, ...]:
    if figure is None:
        return (None,) * 5
    found = figure.difference
    return figure.mean, figure.sd, *((found.value, found.low, found.high) if found else (None, None, None))


def assert_same(fast: tuple[float | None, ...], slow: tuple[float | None, ...]) -> None:
    assert [x is None for x in fast] == [x is None for x in slow]
    for one, other in zip(fast, slow, strict=True):
        assert one is None or one == pytest.approx(other, abs=1e-12)


def check_against_loops(document: Json) -> None:
    for row in standings(typed(document)):
        for metric in METRICS:
            assert_same(fast_figure(row.own.of(metric)), slow_figure(document, row.method, "own", metric))
            assert_same(
                fast_figure(row.adjusted.of(metric)), slow_figure(document, row.method, "prior", metric)
            )


@pytest.mark.parametrize("make", [single_attribute, several_attributes])
def test_figures_are_means_deviations_and_paired_differences_of_the_cells(make: Callable[[], Json]):
    check_against_loops(make())


def test_two_seeds_have_a_difference_without_an_interval():
    document = comparison([3], ["ce", "crl"], seeds=2)
    found = standings(typed(document))[1].own.accuracy
    assert found is not None
    assert found.difference is not None
    assert found.difference.low is found.difference.high is None


def test_the_best_of_equal_methods_is_seldom_said_to_gain():
    document = comparison([2], ["ce", *(f"m{i}" for i in range(19))], seeds=5)
    rng, uncorrected, corrected = np.random.default_rng(0), 0, 0
    for _ in range(100):
        figures = rng.normal(0.5, 0.02, (20, 5))
        for method, row in zip(document["methods"], figures.tolist(), strict=True):
            for cell, figure in zip(method["cells"], row, strict=True):
                cell["decisions"]["argmax"]["mean"]["class_balanced_accuracy"] = figure
        best = int(figures.mean(1).argmax())
        found = claim(typed(document), document["methods"][best]["name"])
        if found is not None:
            uncorrected += paired_difference(figures[best].tolist(), figures[0].tolist()).low > 0
            corrected += found.seeds.low > 0
    assert uncorrected >= 7
    assert corrected <= 3


def test_a_claim_is_corrected_for_the_rivals_and_for_other_images():
    document = typed(single_attribute())
    found = claim(document, "crl-instance")
    difference = standings(document)[3].own.class_balanced_accuracy
    assert found is not None
    assert found.images is not None
    assert difference is not None
    assert difference.difference is not None
    assert difference.difference.low is not None
    half = difference.difference.value - difference.difference.low
    assert found.rivals == 3
    quantiles = stats.t.ppf(1 - 0.025 / 3, 4) / stats.t.ppf(0.975, 4)
    assert found.seeds.value - found.seeds.low == pytest.approx(quantiles * half)
    wider = math.sqrt(1 + 5 * 1200 / 5000)
    assert widening(document) == pytest.approx(wider)
    assert found.images.value - found.images.low == pytest.approx(wider * quantiles * half)


def test_a_method_without_a_finished_run_is_neither_ranked_nor_a_rival():
    document = comparison([3], ["ce", "crl", "focal"], seeds=3)
    for cell in document["methods"][2]["cells"]:
        fail(cell, "no room")
    assert set(ranking(typed(document))) == {"ce", "crl"}
    found = claim(typed(document), "crl")
    assert found is not None
    assert found.rivals == 1


def test_an_interval_is_widened_by_the_seeds_that_were_finished():
    document = comparison([3], ["ce", "crl"], seeds=5)
    for method in document["methods"]:
        fail(method["cells"][4], "no room")
    assert widening(typed(document)) == pytest.approx(math.sqrt(1 + 4 * 1200 / 5000))


def test_nothing_is_claimed_of_the_baseline_of_two_seeds_or_of_unknown_images():
    assert claim(typed(single_attribute()), "ce") is None
    assert claim(typed(comparison([3], ["ce", "crl"], seeds=2)), "crl") is None
    assert widening(typed(comparison([3], ["ce", "crl"], seeds=2))) is None
    document = comparison([3], ["ce", "crl"], seeds=3)
    document["data"]["images"] = {"test": 100}
    found = claim(typed(document), "crl")
    assert found is not None
    assert found.images is widening(typed(document)) is None


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=25)
def test_figures_equal_plain_loops_whatever_is_missing(data: st.DataObject):
    document = comparison([2, 3], ["a", "ce", "b"], seeds=4)
    cells = [cell for method in document["methods"] for cell in method["cells"]]
    for cell in cells:
        fate = data.draw(st.sampled_from(["whole", "failed", "no prior", "own prior", "undefined"]))
        if fate == "failed":
            fail(cell, "out of memory")
        elif fate == "no prior":
            del cell["decisions"]["prior"]
        elif fate == "own prior":
            cell["own_decision"] = "prior"
        elif fate == "undefined":
            cell["decisions"]["argmax"]["mean"]["few_recall"] = None
    for method in document["methods"]:
        method["cells"] = data.draw(st.permutations(method["cells"]))
    check_against_loops(document)


def test_the_order_of_cells_does_not_matter():
    document = single_attribute()
    before = standings(typed(document))
    for method in document["methods"]:
        method["cells"].reverse()
    for one, other in zip(standings(typed(document)), before, strict=True):
        for metric in METRICS:
            assert_same(fast_figure(one.own.of(metric)), fast_figure(other.own.of(metric)))


def test_rows_count_cells_and_cost_what_finished_cells_cost():
    document = single_attribute()
    cells = document["methods"][2]["cells"]
    row = standings(typed(document))[2]
    finished = [c["training"] for c in cells if c["training"]]
    assert (row.method, row.finished, row.failed) == ("crl-class", 4, 1)
    assert row.seconds == pytest.approx(sum(t["seconds"] for t in finished) / 4)
    assert row.images_per_second == pytest.approx(sum(t["images_per_second"] for t in finished) / 4)
    assert row.peak_memory_bytes == 500_004_000


def test_unknown_costs_are_left_out_and_a_method_without_runs_has_none():
    document = single_attribute()
    for cell in document["methods"][1]["cells"]:
        fail(cell, "no space left")
    document["methods"][3]["cells"][0]["training"]["peak_memory_bytes"] = None
    document["methods"][3]["cells"][0]["training"]["images_per_second"] = None
    over, crl = standings(typed(document))[1], standings(typed(document))[3]
    assert (over.finished, over.failed) == (0, 5)
    assert over.seconds is over.images_per_second is over.peak_memory_bytes is None
    assert {figures.of(metric) for figures in (over.own, over.adjusted) for metric in METRICS} == {None}
    speeds = [c["training"]["images_per_second"] for c in document["methods"][3]["cells"][1:]]
    assert crl.images_per_second == pytest.approx(sum(speeds) / 4)
    assert crl.peak_memory_bytes == 500_004_000


def gains_of(document: Json, name: str) -> list[Gain]:
    compared = typed(document)
    return gains(compared, next(method for method in compared.methods if method.name == name))


def slow_recall_gain(document: Json, name: str, k: int) -> list[float]:
    by_name = {m["name"]: m["cells"] for m in document["methods"]}
    differences = []
    for cell in by_name[name]:
        for base in by_name[document["baseline"]]:
            if base["seed"] == cell["seed"] and "finished" == base["status"] == cell["status"]:
                one = cell["decisions"][cell["own_decision"]]["attributes"][0]["recall"][k]
                other = base["decisions"][base["own_decision"]]["attributes"][0]["recall"][k]
                if one is not None and other is not None:
                    differences.append(one - other)
    return differences


def test_recall_gains_are_means_and_ranges_over_paired_seeds():
    document = single_attribute()
    document["methods"][2]["cells"][0]["own_decision"] = "prior"
    classes, name = document["attributes"][0]["classes"], document["methods"][2]["name"]
    most = max(c["train_count"] for c in classes)
    for k, (entry, gain) in enumerate(zip(classes, gains_of(document, name), strict=True)):
        d = slow_recall_gain(document, name, k)
        assert gain.name == entry["name"]
        assert gain.imbalance == most / entry["train_count"]
        assert_same((gain.mean, gain.low, gain.high), (sum(d) / len(d), min(d), max(d)))


def test_a_class_without_test_or_training_images_has_no_gain_or_imbalance():
    document = single_attribute()
    document["attributes"][0]["classes"][4]["train_count"] = 0
    for method in document["methods"]:
        for cell in method["cells"]:
            for figures in cell["decisions"].values():
                figures["attributes"][0]["recall"][4] = None
    found = gains_of(document, "over")
    assert found[4] == Gain("class 4", None, None, None, None)
    assert all(gain.mean is not None for k, gain in enumerate(found) if k != 4)


def test_attribute_gains_are_differences_of_class_balanced_accuracy():
    document = several_attributes()
    found = gains_of(document, "crl")
    for j, (gain, attribute) in enumerate(zip(found, document["attributes"], strict=True)):
        d = []
        for seed in (0, 1):
            crl, ce = (document["methods"][i]["cells"][seed]["decisions"]["argmax"] for i in (2, 0))
            one, other = (f["attributes"][j]["metrics"]["class_balanced_accuracy"] for f in (crl, ce))
            d.append(one - other)
        assert (gain.name, gain.imbalance) == (attribute["name"], attribute["imbalance_ratio"])
        assert_same((gain.mean, gain.low, gain.high), (sum(d) / 2, min(d), max(d)))
