from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.cli.config_file import configure, read_settings
from longtail.errors import InputError
from longtail.training.config import CONFIG, TrainConfig

TOML = """
data = "photos"
epochs = 20
learning_rate = 1
image_size = 64
attributes = ["colour", "shape"]
test_share = 0.3
skip_missing = true
sampler = "over"

[crl]
level = "instance"
power = 2
"""

YAML = """
data: photos
epochs: 20
learning_rate: 1e-0
image_size: 64
attributes: [colour, shape]
test_share: 0.3
skip_missing: true
group_column:
sampler: over
crl: {level: instance, power: 2}
"""

MEANT = {
    "data": "photos",
    "epochs": 20,
    "learning_rate": 1.0,
    "image_size": "64",
    "data_options": {"attributes": ("colour", "shape"), "test_share": 0.3, "skip_missing": True},
    "method_options": {"sampler": "over", "crl": {"level": "instance", "power": 2}},
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, name: str = "a.toml") -> str:
    path = written(folder, name, text)
    with pytest.raises(InputError) as error:
        read_settings(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message.replace(str(path), name)


def test_toml_and_yaml_mean_the_same(tmp_path: Path):
    assert read_settings(written(tmp_path, "a.toml", TOML)) == MEANT
    meant = {**MEANT, "data_options": {**MEANT["data_options"], "group_column": None}}
    assert read_settings(written(tmp_path, "a.yaml", YAML)) == meant


def test_the_configuration_of_a_run_is_a_configuration_file(tmp_path: Path):
    config = TrainConfig(data="photos", epochs=3, clip_gradient=2.0)
    path = written(tmp_path, "config.json", CONFIG.encode(config))
    assert configure(read_settings(path), {}, path) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "a.toml: unknown key 'epoch'. Did you mean 'epochs'?"),
        ("group_colum = 'g'", "a.toml: unknown key 'group_colum'. Did you mean 'group_column'?"),
        ("batch-size = 3", "a.toml: unknown key 'batch-size'. Did you mean 'batch_size'?"),
        ("[crl]\nlevl = 'class'", "a.toml: unknown key 'crl.levl'. Did you mean 'crl.level'?"),
        ("zzzz = 1", "a.toml: unknown key 'zzzz'."),
        ("epochs = 'many'", "a.toml: epochs: expected a whole number, got 'many'"),
        ("epochs = 2.5", "a.toml: epochs: expected a whole number, got 2.5"),
        ("val_share = 'x'", "a.toml: val_share: expected a number, got 'x'"),
        ("shared_feature = 1", "a.toml: shared_feature: expected true or false, got 1"),
        ("[crl]\nlevel = 'top'", "a.toml: crl.level: expected one of class, instance, got 'top'"),
        ("crl = 3", "a.toml: crl: expected a table of settings, got 3"),
        (
            "data_options = 3\nval_share = 0.1",
            "a.toml: data_options: expected a table of settings, got 3",
        ),
        (
            "sampler = 'ovr'",
            "a.toml: sampler: expected one of shuffled, over, root, under, got 'ovr'. Did you mean 'over'?",
        ),
        ("samplr = 'over'", "a.toml: unknown key 'samplr'. Did you mean 'sampler'?"),
        ("epochs = = 3", "a.toml: not readable as TOML: Invalid value (at line 1, column 10)"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text) == message


def test_a_mistake_in_yaml_names_the_line(tmp_path: Path):
    assert refusal(tmp_path, "epochs: 1\ncrl: {a: ]", "a.yaml").endswith("(line 2)")
    assert refusal(tmp_path, "- 1", "a.yml") == "a.yml: expected settings as key = value, got list"


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path):
    with pytest.raises(InputError, match=r"--config nix.toml: there is no such file"):
        read_settings(Path("nix.toml"))
    assert (
        refusal(tmp_path, "", "a.ini") == "--config a.ini: expected a file that ends in .toml, .yaml or .json"
    )
    path = tmp_path / "b.toml"
    path.write_bytes(b"data = '\xff'")
    with pytest.raises(InputError, match="not readable as TOML"):
        read_settings(path)


def test_a_value_out_of_range_names_the_place_it_came_from():
    path, file = Path("a.toml"), {"data": "photos", "epochs": 0}
    with pytest.raises(InputError, match=r"^a\.toml: --epochs: expected at least 1, got 0$"):
        configure(file, {}, path)
    with pytest.raises(InputError, match=r"^--epochs: expected at least 1, got -1$"):
        configure(file, {"epochs": -1}, path)
    with pytest.raises(InputError, match=r"^a\.toml: --val-share and --test-share: "):
        configure(
            {"data": "x", "data_options": {"val_share": 0.9}}, {"data_options": {"test_share": 0.5}}, path
        )


LAYER: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 9),
        "shared_feature": st.booleans(),
        "output": st.none() | st.text(),
        "data_options": st.fixed_dictionaries(
            {}, optional={"val_share": st.floats(0, 0.4), "skip_missing": st.booleans()}
        ),
        "method_options": st.fixed_dictionaries(
            {},
            optional={
                "sampler": st.sampled_from(["over", "under", None]),
                "crl": st.fixed_dictionaries(
                    {}, optional={"kappa": st.integers(1, 9), "rho": st.floats(0.1, 0.9)}
                ),
            },
        ),
    },
)


@given(LAYER, LAYER)
def test_flags_win_over_the_file_and_the_file_over_the_defaults(file: dict[str, Any], flags: dict[str, Any]):
    config = asdict(configure({"data": "photos", **file}, flags, Path("a.toml")))
    expected = asdict(TrainConfig(data="photos"))
    for layer in (file, flags):
        for key, value in layer.items():
            if isinstance(value, dict):
                inner = value.get("crl", {})
                expected[key].update({name: own for name, own in value.items() if name != "crl"})
                expected[key].get("crl", {}).update(inner)
            else:
                expected[key] = value
    assert config == expected
