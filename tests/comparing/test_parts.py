from __future__ import annotations

import pytest

from longtail.cli.parsing import Command
from longtail.comparing.parts import _flags, choice_flags, parse_part
from longtail.errors import InputError
from longtail.training.config import TrainConfig

BASE = TrainConfig(data="digits")


@pytest.mark.parametrize(
    ("text", "flag", "value"),
    [
        ("over", "sampler", "over"),
        ("sampler=over", "sampler", "over"),
        ("focal", "loss", "focal"),
        ("none", "class-weights", "none"),
        ("mixing=none", "mixing", "none"),
        ("weight-decay=0.01", "weight-decay", 0.01),
        ("weight_decay=1e-3", "weight-decay", 0.001),
        ("batch-size=64", "batch-size", 64),
        ("level=class", "crl.level", "class"),
        ("crl.level=class", "crl.level", "class"),
        ("replicate=true", "replicate", True),
        ("crl.power=2", "crl.power", 2),
    ],
)
def test_a_part_is_a_flag_with_its_value(text: str, flag: str, value: object) -> None:
    part = parse_part(text)
    assert (part.flag, part.value) == (flag, value)
    assert type(part.value) is type(value)


def test_every_part_is_a_flag_of_a_training() -> None:
    arguments = Command.named("train").arguments()
    known = {name for argument in arguments for name in argument.names}
    shown = {".".join(path[1:] if len(path) > 1 else path).replace("_", "-") for path in _flags()}
    assert {f"--{name}" for name in shown} <= known


def test_help_names_the_flags_whose_values_are_parts() -> None:
    text = " ".join((Command.named("compare").function.__doc__ or "").split())
    *flags, last = choice_flags()
    assert f"a value of {', '.join(flags)} or {last}, or FLAG=VALUE" in text
    with pytest.raises(InputError, match=f"a value of {', '.join(flags)} or {last} "):
        parse_part("nothing")


def test_a_part_changes_one_thing() -> None:
    part = parse_part("crl.kappa=3")
    assert part.of_settings(BASE) == BASE
    assert part.of_options(BASE.method_options).crl.kappa == 3
    other = parse_part("momentum=0.5")
    assert other.of_options(BASE.method_options) == BASE.method_options
    assert other.of_settings(BASE).momentum == 0.5
