from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from longtail.cli.parsing import READING, Command
from longtail.errors import InputError
from longtail.training.config import MethodOptions, TrainConfig
from longtail.training.data_options import DataOptions

TRAIN = Command.named("train")


def settings(*words: str) -> TrainConfig:
    return TRAIN.bind(words).arguments["settings"]


def flags(command: str) -> set[str]:
    return {argument.name for argument in Command.named(command).arguments() if argument.show}


def names(cls: type[Any]) -> list[str]:
    return [field.name for field in fields(cls)]


def tables() -> dict[str, type[Any]]:
    return {
        name: hint
        for name, hint in get_type_hints(MethodOptions).items()
        if hasattr(hint, "__dataclass_fields__")
    }


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def test_every_setting_is_a_flag_of_train_with_the_prefix_of_its_table():
    plain = {*names(TrainConfig), *names(DataOptions), *names(MethodOptions)} - {*tables(), "start"}
    expected = {flag(name) for name in plain - {"data_options", "method_options"}}
    nested = {flag(f"{table}.{name}") for table, options in tables().items() for name in names(options)}
    assert expected | nested | {"--from"} <= flags("train")


def test_the_flags_that_have_no_prefix_have_no_name_twice():
    every = [*names(TrainConfig), *names(DataOptions), *names(MethodOptions)]
    assert len(every) == len(set(every))


def test_a_comparison_shares_all_settings_but_those_its_trainings_differ_in():
    missing = flags("train") - flags("compare")
    assert missing == {"--method", "--seed", "--from", "--resume", "--allow-changed-data"}


def test_the_flags_to_read_data_are_those_that_do_not_split_them():
    left = {name for name in names(DataOptions) if name.split("_")[0] in ("val", "test", "tail")}
    reading = {name for name in names(DataOptions) if READING.fullmatch(name)}
    assert reading == set(names(DataOptions)) - left
    for command in ("evaluate", "diagnose"):
        assert flags(command) & {flag(name) for name in names(DataOptions)} == {
            flag(name) for name in reading
        }


@trials(max_examples=10)  # a command line takes 40 ms
@given(st.integers(0, 2**63 - 1))
def test_a_whole_number_is_read_as_it_is_written(number: int):
    assert settings("x", "--seed", str(number)).seed == number


@trials(max_examples=10)
@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_a_number_is_read_to_its_last_digit(number: float):
    assert settings("x", "--learning-rate", repr(number)).learning_rate == number


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--seed 1.5", "--seed: expected a whole number, got '1.5'"),
        ("--seed 1.0", "--seed: expected a whole number, got '1.0'"),
        ("--seed=", "--seed: expected a whole number, got ''"),
        ("--seed True", "--seed: expected a whole number, got 'True'"),
        ("--learning-rate x", "--learning-rate: expected a number, got 'x'"),
        *((f"--learning-rate {value}", f"got '{value}'") for value in (math.nan, math.inf, -math.inf)),
        ("--shared-feature=maybe", "--shared-feature: expected true or false, got 'maybe'"),
        ("--crl.power 3", "--crl.power: expected one of 1, 2, got '3'"),
        (
            "--crl.level instnace",
            "--crl.level: expected one of class, instance, got 'instnace'. Did you mean 'instance'?",
        ),
        (
            "--augment smal",
            "--augment: expected one of none, mirror, small, small-noflip, photo, photo-noflip, got 'smal'. "
            "Did you mean 'small'?",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_flag(words: str, message: str):
    with pytest.raises(InputError) as error:
        settings("x", *words.split())
    assert str(error.value).endswith(message)


def test_a_choice_keeps_the_type_it_is_declared_with():
    config = settings("x", "--crl.power", "2", "--precision", "16")
    assert (config.method_options.crl.power, config.precision) == (2, "16")


def test_a_negative_form_is_understood_and_wins_over_a_file(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_text('{"skip_missing": true, "shared_feature": true}')
    config = settings("x", "--no-skip-missing", "--config", str(file))
    assert (config.shared_feature, config.data_options.skip_missing) == (True, False)


def test_what_was_typed_is_told_apart_from_what_stands_in_a_file(tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text("epochs = 3\n")
    bound = TRAIN.bind(["photos", "--attributes", "a", "b", "--crl.rho", "0.4", "--config", str(file)])
    assert bound.arguments["typed"] == {
        "DATA": ("photos",),
        "--attributes": ("a", "b"),
        "--crl.rho": ("0.4",),
        "--config": (str(file),),
    }


LAYER: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 9),
        "shared_feature": st.booleans(),
        "output": st.text("ab/", min_size=1),
        "data_options": st.fixed_dictionaries(
            {},
            optional={
                "val_share": st.floats(0, 0.4),
                "skip_missing": st.booleans(),
                "attributes": st.lists(st.text("ab", min_size=1), min_size=1),
            },
        ),
        "method_options": st.fixed_dictionaries(
            {},
            optional={
                "sampler": st.sampled_from(["shuffled", "root", "under"]),
                "crl": st.fixed_dictionaries(
                    {}, optional={"kappa": st.integers(1, 9), "rho": st.floats(0.1, 0.9)}
                ),
            },
        ),
    },
)


def typed(layer: dict[str, Any], prefix: str = "") -> list[str]:
    words: list[str] = []
    for name, value in layer.items():
        match value:
            case dict():
                words += typed(value, "" if name.endswith("_options") else f"{name}.")
            case bool():
                words.append(flag(prefix + name) if value else flag(f"no-{prefix}{name}"))
            case list():
                words += [flag(prefix + name), *value]
            case _:
                words += [flag(prefix + name), str(value)]
    return words


@trials(max_examples=30)
@given(LAYER, LAYER)
def test_flags_win_over_the_file_and_the_file_over_the_defaults(
    tmp_path_factory: pytest.TempPathFactory, file: dict[str, Any], flags: dict[str, Any]
):
    path = tmp_path_factory.mktemp("a") / "a.json"
    path.write_text(json.dumps(file))
    expected = asdict(TrainConfig(data="photos"))
    for layer in (file, flags):
        for key, value in layer.items():
            if isinstance(value, dict):
                expected[key].update({name: own for name, own in value.items() if name != "crl"})
                expected[key].get("crl", {}).update(value.get("crl", {}))
            else:
                expected[key] = value
    expected["data_options"]["attributes"] = tuple(expected["data_options"]["attributes"])
    assert asdict(settings("photos", "--config", str(path), *typed(flags))) == expected


@pytest.mark.parametrize("name", ["train", "compare", "evaluate", "predict", "diagnose", "methods", "data"])
def test_what_a_command_says_of_itself_is_complete(name: str):
    for argument in Command.named(name).arguments():
        if argument.show and not re.fullmatch(r"\W*(data_options|method_options)?", argument.name):
            assert argument.parameter.help, argument.name
