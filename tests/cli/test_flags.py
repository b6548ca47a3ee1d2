from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints

from longtail.cli.flags import SOURCE, SourceFlags, TrainFlags, flag_names
from longtail.training.config import DataOptions, TrainConfig


def names(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]


def test_every_setting_is_a_flag_but_the_data_and_the_run_to_start_from():
    assert names(TrainFlags) == [name for name in names(TrainConfig) if name not in ("data", "start")]


def test_the_flags_of_nested_options_are_the_fields_of_their_class():
    for name, hint in get_type_hints(TrainConfig).items():
        if hasattr(hint, "__dataclass_fields__"):
            assert names(type(getattr(TrainFlags(), name))) == names(hint)


def test_the_flags_that_have_no_prefix_have_no_name_twice():
    assert not set(names(TrainConfig)) & set(names(DataOptions))


def test_the_flags_to_read_data_are_those_that_do_not_split_them():
    left = {name for name in names(DataOptions) if name.split("_")[0] in ("val", "test", "tail")}
    assert set(SOURCE) == set(names(SourceFlags)) == set(names(DataOptions)) - left - {"skip_unreadable"}


def test_nothing_is_given_at_first():
    assert TrainFlags().given() == {}
    assert flag_names({}) == []


def test_given_flags_are_nested_as_in_the_configuration():
    parts = type(TrainFlags().method_options)
    methods = parts(sampler="over", crl=type(parts().crl)(level="instance"))
    options = type(TrainFlags().data_options)(val_share=0.0, attributes=())
    given = TrainFlags(epochs=3, shared_feature=False, method_options=methods, data_options=options).given()
    assert given == {
        "epochs": 3,
        "shared_feature": False,
        "data_options": {"val_share": 0.0, "attributes": ()},
        "method_options": {"sampler": "over", "crl": {"level": "instance"}},
    }
    assert flag_names(given) == [
        "--epochs",
        "--shared-feature",
        "--attributes",
        "--val-share",
        "--sampler",
        "--crl.level",
    ]
