"""What went wrong in a training: every rule fires where it should, and only there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from msgspec import structs

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.metrics import Metrics
from longtail.evaluation.results import Results
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.training.config import TrainConfig
from longtail.training.faults import Evidence, _guessed, chance, faults
from longtail.training.learner import feature_spread
from longtail.training.record import EpochRecord

from ..reporting.conftest import fake_results

CHANCE = math.log(4)


def course(losses: Sequence[float | None], **mined: Any) -> list[EpochRecord]:
    """Epochs with these losses and these counts."""
    return [
        EpochRecord(
            epoch=number,
            step=10 * number,
            learning_rate=0.1,
            seconds=1.0,
            images_per_second=100.0,
            input_wait_share=0.0,
            loss={"total": loss, "ce": loss},
            mined={"feature_spread": [0.5], **mined},
            validation=None,
        )
        for number, loss in enumerate(losses, 1)
    ]


def results(low: float = 0.5) -> Results:
    """Of one attribute of four classes, with this lower end of its interval."""
    made = fake_results([("shape", "abcd")])
    (attribute,) = made.attributes
    metrics = structs.replace(
        attribute.metrics, class_balanced_accuracy=Estimate(max(low, 0.6), low, max(low, 0.7))
    )
    return structs.replace(made, attributes=(structs.replace(attribute, metrics=metrics),))


def found(
    losses: Sequence[float | None] = (0.3, 0.1, 0.1),
    *,
    low: float = 0.5,
    known: float | None = CHANCE,
    validation: Sequence[Sequence[int]] | None = ((9, 9, 9, 9),),
    **mined: Any,
) -> list[str]:
    return [f.name for f in faults(results(low), Evidence(course(losses, **mined), known, validation))]


def test_a_training_that_went_well_has_no_faults():
    assert found() == []
    assert found(active_share=0.5, margin_share=0.6) == []


def test_a_model_that_was_not_trained_here_is_judged_by_its_figures_alone():
    assert faults(results(), Evidence([], CHANCE, None)) == ()
    assert [f.name for f in faults(results(low=0.2), Evidence([], None, None))] == ["guessing"]


@pytest.mark.parametrize(
    ("mined", "is_fault"),
    [
        ({"active_share": 1.0, "margin_share": 1.0}, True),
        ({"active_share": 0.988, "margin_share": 1.07}, True),
        ({"active_share": 0.9, "margin_share": 1.0}, False),
        ({"active_share": 0.97, "margin_share": 1.0}, False),
        ({"active_share": 1.0, "margin_share": 1.3}, False),
        ({"active_share": 1.0, "margin_share": 0.7}, False),
        ({"active_share": 1.0, "margin_share": None}, False),
        ({"active_share": None, "margin_share": None}, False),
        ({"feature_spread": [0.01]}, True),
        ({"feature_spread": [0.01], "active_share": 0.5, "margin_share": 0.4}, True),
        ({"feature_spread": [None]}, False),
    ],
)
def test_collapsed_features_show_in_their_spread_or_in_a_loss_that_stays_at_its_margin(
    mined: dict[str, Any], is_fault: bool
):
    assert ("collapsed" in found(**mined)) == is_fault


def test_features_near_together_are_no_fault_where_batch_norm_tells_them_apart_or_none_learn():
    epochs = course((0.1, 0.1, 0.1), feature_spread=[0.001], active_share=1.0, margin_share=1.0)
    assert faults(results(), Evidence(epochs, None, None, near=True)) == ()


def test_one_fault_is_said_for_the_attributes_whose_features_collapsed():
    made = fake_results([("shape", "abcd"), ("hue", "ab")])
    evidence = Evidence(course((0.1, 0.1, 0.1), feature_spread=[0.5, 0.001]), None, None)
    (fault,) = [f for f in faults(made, evidence) if f.name == "collapsed"]
    assert fault.text.startswith("the features have collapsed (hue): ")


def test_an_interval_that_covers_one_class_for_all_is_guessing():
    assert found(low=0.25) == ["guessing"]
    assert found(low=0.2501) == []


def test_only_classes_with_test_images_are_guessed_among():
    def of(*tested: int, low: float = 0.46) -> SimpleNamespace:
        metrics = SimpleNamespace(class_balanced_accuracy=Estimate(0.5, low, 0.54))
        return SimpleNamespace(metrics=metrics, classes=[SimpleNamespace(test_count=n) for n in tested])

    assert _guessed(cast("Any", of(9, 9, *[0] * 8)))
    assert not _guessed(cast("Any", of(*[9] * 10)))
    assert _guessed(cast("Any", of(9, 0, low=0.98)))
    assert not _guessed(cast("Any", of(9))), "of a single class there is nothing to guess"


def test_images_whose_loss_stays_near_that_of_the_shares_are_not_fitted():
    assert found([1.2, 0.8, 0.8]) == ["not-fitted"]
    assert found([1.2, 0.6, 0.6]) == []
    assert found([1.2, 0.8, 0.8], known=None) == []
    assert found([1.2, None, None]) == []


def test_the_last_tenth_of_the_epochs_is_compared_with_the_one_before():
    flat = [0.5] * 16
    assert found([*flat, 0.4, 0.4, 0.36, 0.36]) == ["still-falling"]
    assert found([*flat, 0.4, 0.4, 0.38, 0.38]) == []
    assert found([0.5, 0.4, 0.3]) == ["still-falling"]
    assert found([0.5, 0.3]) == [], "two epochs have no course"
    assert found([*flat, 0.3, 0.3, 0.36, 0.36]) == [], "a loss that rises"
    assert found([*flat, 0.4, 0.4, None, 0.36]) == [], "a tenth without one of its losses"


def test_the_rise_of_the_first_epochs_is_no_fall_at_the_end():
    assert found([1.3, 0.2, *[0.1] * 28]) == []


def test_validation_images_too_few_to_mean_something_are_counted():
    assert found(validation=[[4, 5, 0, 5]]) == ["small-validation"]
    assert found(validation=[[5, 5, 5, 5]]) == []
    assert found(validation=[[5] * 9, [4]]) == [], "one class of ten is left to the others"
    assert found(validation=[[5] * 8, [4]]) == ["small-validation"]
    assert found(validation=[[0, 0, 0, 0]]) == [], "nothing is chosen by images that are not there"
    assert found(validation=None) == []


def test_chance_is_the_entropy_of_what_is_drawn():
    counts = [[90, 10], [50, 50, 0]]
    plain = TrainConfig("photos", method="ce")

    def over(*shares: float) -> float:
        return -sum(p * math.log(p) for p in shares)

    root = [math.sqrt(n) / (math.sqrt(90) + math.sqrt(10)) for n in (90, 10)]
    assert chance(plain, counts) == pytest.approx(over(0.9, 0.1) + math.log(2))
    assert chance(replace(plain, method="over-sampling"), counts) == pytest.approx(2 * math.log(2))
    assert chance(replace(plain, method="crl"), counts) == pytest.approx(over(*root) + math.log(2))
    for method in ("deepid2", "mtct"):  # pairs and triplets in proportion to the data
        assert chance(replace(plain, method=method), counts) == chance(plain, counts)
    assert chance(replace(plain, method="cost-sensitive"), counts) is None
    assert chance(replace(plain, method="focal"), counts) is None
    assert chance(replace(plain, method="vs"), counts) is None, "scaled logits cost another amount"
    assert chance(replace(plain, method="mixup"), counts) is None
    options = MethodOptions(crl=CRLOptions(balance="tpami"))
    assert chance(replace(plain, method="crl-iccv", method_options=options), counts) is None


def test_chance_is_what_a_model_that_knows_only_the_shares_loses():
    labels = torch.tensor([0] * 90 + [1] * 10)
    logits = torch.tensor([0.9, 0.1]).log().expand(100, 2)
    expected = torch.nn.functional.cross_entropy(logits, labels).item()
    assert chance(TrainConfig("photos", method="ce"), [[90, 10]]) == pytest.approx(expected)


def test_the_spread_of_features_is_the_share_of_their_mean_square_that_differs():
    torch.manual_seed(0)
    features = torch.randn(20, 3, 5, dtype=torch.float64) + torch.tensor([0.0, 1.0, 100.0])[:, None]
    expected = []
    for j in range(3):
        pairs = [(a - b).square().sum() for a in features[:, j] for b in features[:, j]]
        expected.append((sum(pairs) / (2 * 20**2) / features[:, j].square().sum(1).mean()).item())
    assert feature_spread(features).tolist() == pytest.approx(expected, abs=1e-6)
    assert feature_spread(torch.zeros(4, 1, 2)).tolist() == [0.0], "all are one"
    assert feature_spread(torch.ones(4, 1, 2)).tolist() == [0.0]
    assert feature_spread(torch.eye(2)[:, None]).tolist() == [0.5]
    half = features.bfloat16()  # as mixed precision gives them
    assert feature_spread(half).tolist() == pytest.approx(feature_spread(half.double()).tolist(), abs=1e-6)


def memorised(losses: Sequence[float], figures: Sequence[float | None], known: float | None = CHANCE) -> bool:
    nothing = Metrics(*[None] * 7)
    epochs = [
        structs.replace(
            record,
            validation=None if value is None else structs.replace(nothing, class_balanced_accuracy=value),
        )
        for record, value in zip(course(losses), figures, strict=True)
    ]
    return "memorised" in [f.name for f in faults(results(), Evidence(epochs, known, None))]


def test_a_loss_near_zero_while_validation_falls_is_memorised():
    low, high = 0.04 * CHANCE, 0.06 * CHANCE
    assert memorised([1, 0.5, low], [0.5, 0.6, 0.56])
    assert not memorised([1, 0.5, low], [0.5, 0.6, 0.58])  # within what chance moves
    assert not memorised([1, 0.5, low], [0.5, 0.55, 0.6])  # still gains
    assert not memorised([1, 0.5, high], [0.5, 0.6, 0.5])
    assert not memorised([1, 0.5, low], [0.5, 0.6, 0.5], known=None)
    assert not memorised([1, low], [0.6, 0.5])
    assert not memorised([1, 0.5, low], [None, None, None])
    assert not memorised([1, 0.5, low, low], [None, 0.6, 0.5, 0.5])  # an epoch that was not judged
    # the loss is that of the last tenth, too
    assert not memorised([*[1] * 18, 0.2 * CHANCE, 0.0], [*[0.6] * 18, 0.5, 0.5])
    # a single good epoch among twenty says nothing: tenths are compared
    assert not memorised([low] * 20, [0.6 if i == 5 else 0.55 for i in range(20)])


@pytest.mark.parametrize(
    ("reached", "linear", "is_fault"),
    [(0.7, 0.6, False), (0.6, 0.6, True), (0.5, 0.6, True), (None, 0.6, False), (0.5, None, False)],
)
def test_a_training_is_held_against_the_regression(
    reached: float | None, linear: float | None, is_fault: bool
):
    nothing = Metrics[float | None](*[None] * 7)
    epochs = [
        structs.replace(record, validation=structs.replace(nothing, class_balanced_accuracy=value))
        for record, value in zip(course([0.5, 0.4, 0.3]), [0.99, reached, 0.99], strict=True)
    ]  # the second epoch's network is the one that is judged
    made = results()
    assert made.training is not None
    made = structs.replace(made, training=structs.replace(made.training, judged_epoch=2, linear=linear))
    assert ("no-gain" in [f.name for f in faults(made, Evidence(epochs, None, None))]) == is_fault
    assert "no-gain" not in [f.name for f in faults(made, Evidence(epochs, None, None, planned=9))]


def test_the_most_serious_fault_is_said_first():
    evidence = Evidence(course([1.2, 0.8, 0.8]), CHANCE, [[4, 5, 0, 5]], planned=9, leak="near duplicates")
    names = [fault.name for fault in faults(results(low=0.2), evidence)]
    assert names == ["leak", "unfinished", "guessing", "not-fitted", "small-validation"]
