from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import pytest

from longtail.errors import InputError
from longtail.images.augment import AUGMENTATIONS
from longtail.methods.options import CRLOptions, MethodOptions, MetricOptions
from longtail.training.config import CONFIG, Augmentation, TrainConfig
from longtail.training.data_options import DataOptions

CHANGED = TrainConfig(
    data="photos",
    learning_rate=1e-4,
    data_options=DataOptions(attributes=("colour", "Größe"), tail_ratio=50),
    method_options=MethodOptions(crl=CRLOptions(power=2, margin=0.1)),
)


def test_a_configuration_comes_back_from_its_file(tmp_path: Path):
    CONFIG.write(tmp_path / "config.json", CHANGED)
    assert CONFIG.read(tmp_path / "config.json") == CHANGED


def test_the_file_is_the_fields_in_order_as_the_version_before_wrote_it():
    assert CONFIG.encode(CHANGED) == json.dumps(asdict(CHANGED), indent=2, ensure_ascii=False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"data": "x", "epoch": 2}', "unknown field `$.epoch`"),
        (
            '{"data": "x", "method_options": {"crl": {"levl": 1}}}',
            "`$.method_options.crl.levl`",
        ),
        ('{"data": "x", "epochs": 2.5}', "Expected `int | null`, got `float` - at `$.epochs`"),
        ('{"data": "x", "epochs": 0}', "--epochs: expected at least 1, got 0"),
        ("{}", "missing required field `data`"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_place(text: str, fault: str):
    with pytest.raises(InputError) as error:
        CONFIG.decode(text, "runs/x/config.json")
    assert str(error.value).startswith("runs/x/config.json: not valid settings of a run: ")
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "--epochs: expected at least 1, got 0"),
        ({"batch_size": 0}, "--batch-size: expected at least 1, got 0"),
        ({"features": 0}, "--features: expected at least 1, got 0"),
        ({"devices": 0}, "--devices: expected at least 1, got 0"),
        ({"seed": -1}, "--seed: expected a whole number from 0 up to 2^63 - 1, got -1"),
        ({"seed": 2**63}, "--seed: expected a whole number from 0 up to 2^63 - 1"),
        ({"workers": -1}, "--workers: expected 0 or more, got -1"),
        ({"hidden": -1}, "--hidden: expected 0 or more, got -1"),
        ({"learning_rate": 0.0}, "--learning-rate: expected a positive number, got 0.0"),
        ({"momentum": 1.0}, "--momentum: expected a number from 0 up to but without 1, got 1.0"),
        ({"warmup": -0.1}, "--warmup: expected a number from 0 up to but without 1, got -0.1"),
        ({"weight_decay": -1.0}, "--weight-decay: expected 0 or more, got -1.0"),
        ({"clip_gradient": 0.0}, "--clip-gradient: expected a positive number, got 0.0"),
        ({"many_above": -1, "few_below": 0}, "--many-above: expected 0 or more, got -1"),
        ({"method": "mtct", "freeze": True}, "--freeze: mtct trains a backbone of its own from the start"),
        ({"method": "mtct", "finetune": "all"}, "--finetune all: mtct trains a backbone"),
        ({"few_below": 102}, "--few-below: expected at most --many-above + 1, so that no class is in both"),
        ({"image_size": "96x"}, "--image-size: expected pixels as 128 or 96x64 (at most 4096), got '96x'"),
        ({"method": "crll"}, "got 'crll'. Did you mean 'crl'?"),
        ({"weights": "w", "from_scratch": True}, "--weights: does not go with --from-scratch, the backbone"),
        ({"weights": "w", "start": "runs/a"}, "--weights: does not go with --from, the backbone begins"),
        ({"method": "crt"}, "--method crt: goes on from a trained run, name it with --from RUN"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_its_flag(setting: dict[str, object], message: str):
    with pytest.raises(InputError) as error:
        TrainConfig(data="photos", **setting)  # pyright: ignore[reportArgumentType]
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"val_share": 1.0}, "--val-share: expected a number from 0 up to but without 1, got 1.0"),
        ({"test_share": -0.5}, "--test-share: expected a number from 0 up to but without 1, got -0.5"),
        ({"val_share": 0.5, "test_share": 0.5}, "--val-share and --test-share: expected to leave a part"),
        ({"tail_ratio": 0.5}, "--tail-ratio: expected at least 1, got 0.5"),
        ({"tail_largest": 5}, "--tail-largest: shapes a long tail, add --tail-ratio"),
        ({"tail_profile": "power-law"}, "--tail-profile: shapes a long tail, add --tail-ratio"),
        ({"tail_largest": 0, "tail_ratio": 9}, "--tail-largest: expected at least 1, got 0"),
    ],
)
def test_a_setting_of_the_data_out_of_its_range_is_refused(setting: dict[str, object], message: str):
    with pytest.raises(InputError) as error:
        DataOptions(**setting)  # pyright: ignore[reportArgumentType]
    assert message in str(error.value)


def test_a_head_on_vectors_decays_as_a_regression_of_one_strength_for_any_number_of_images():
    frozen = TrainConfig("photos", method="ce", freeze=True)
    assert frozen.decay(3562) == pytest.approx(100 / (10 * 3562))
    assert frozen.decay(35_620) == pytest.approx(frozen.decay(3562) / 10)
    assert frozen.decay(1) == 0.5  # more would make its steps grow
    assert replace(frozen, weight_decay=0.0).decay(3562) == 0
    assert replace(frozen, optimizer="adamw").decay(3562) == 0.05
    for other, decay in (("ldam-drw", 0.0005), ("crl", 0.002)):
        assert replace(frozen, method=other, freeze=False).decay(3562) == decay
    assert replace(frozen, method="ldam-drw").decay(3562) == 0.0005  # directions alone are read


@pytest.mark.parametrize(
    ("method", "options", "rate"),
    [
        ("ce", MethodOptions(), 0.3),
        ("ce", MethodOptions(feature_layer="rectified"), 0.3),
        ("ce", MethodOptions(feature_layer="linear"), 0.1),
        ("lmle", MethodOptions(), 0.1),
        ("triplet", MethodOptions(), 0.3),
        ("triplet", MethodOptions(feature_layer="linear", metric=MetricOptions(beside=True)), 0.1),
    ],
)
def test_two_linear_layers_in_a_row_learn_slower_on_vectors(method: str, options: MethodOptions, rate: float):
    config = TrainConfig(data="photos", method=method, method_options=options, freeze=True)
    assert config.peak_rate == rate
    assert replace(config, freeze=False, backbone="convnet").peak_rate == 0.1


def test_a_regression_has_no_layer_that_would_have_to_learn():
    layered = MethodOptions(feature_layer="rectified")
    with pytest.raises(InputError, match="--feature-layer rectified: linear is solved on the vectors"):
        TrainConfig("photos", method="linear", method_options=layered)
    TrainConfig("photos", method="linear", method_options=MethodOptions(feature_layer="vector"))


def test_every_augmentation_can_be_asked_for():
    assert list(get_args(Augmentation)) == list(AUGMENTATIONS)
