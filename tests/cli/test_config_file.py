from __future__ import annotations

from pathlib import Path

import pytest

from longtail.cli.config_file import Layer, stacked
from longtail.cli.parsing import Command
from longtail.errors import InputError
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions

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

MEANT = TrainConfig(
    data="photos",
    epochs=20,
    learning_rate=1.0,
    image_size="64",
    data_options=DataOptions(attributes=("colour", "shape"), test_share=0.3, skip_missing=True),
    method_options=MethodOptions(sampler="over", crl=CRLOptions(level="instance", power=2)),
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def settings(path: Path, *words: str) -> TrainConfig:
    return Command.named("train").bind(["--config", str(path), *words]).arguments["settings"]


def refusal(folder: Path, text: str, name: str = "a.toml", words: str = "x") -> str:
    path = written(folder, name, text)
    with pytest.raises(InputError) as error:
        settings(path, *words.split())
    message = str(error.value)
    assert "\n" not in message
    return message.replace(str(path), name)


def test_toml_and_yaml_mean_the_same(tmp_path: Path):
    assert settings(written(tmp_path, "a.toml", TOML)) == MEANT
    assert settings(written(tmp_path, "a.yaml", YAML)) == MEANT


def test_the_configuration_of_a_run_is_a_configuration_file(tmp_path: Path):
    for config in (MEANT, TrainConfig(data="photos", epochs=3, clip_gradient=2.0)):
        assert settings(written(tmp_path, "config.json", CONFIG.encode(config))) == config


def test_a_length_takes_the_place_of_every_way_to_say_one_below_it(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(CONFIG.encode(TrainConfig("photos", epochs=7)))
    found = settings(written(tmp_path, "a.toml", "steps = 30"), "x", "--from", str(run))
    assert (found.steps, found.epochs) == (30, None)
    found = settings(written(tmp_path, "a.toml", "steps = 30"), "x", "--epochs", "2")
    assert (found.steps, found.epochs) == (None, 2)
    found = settings(written(tmp_path, "a.toml", "batch_size = 8"), "x", "--from", str(run))
    assert (found.steps, found.epochs) == (None, 7)
    (below,) = stacked({"budget"}, [Layer("a.toml", {"steps": 30, "seed": 1})])
    assert below.values == {"seed": 1}
    message = refusal(tmp_path, "steps = 30\nepochs = 2")
    assert message == "a.toml: --steps: decides the epochs; leave out --epochs"


def test_one_text_may_stand_for_several(tmp_path: Path):
    config = settings(written(tmp_path, "a.toml", 'attributes = "colour"'), "x")
    assert config.data_options.attributes == ("colour",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "a.toml: unknown key 'epoch'. Did you mean 'epochs'?"),
        ("group_colum = 'g'", "a.toml: unknown key 'group_colum'. Did you mean 'group_column'?"),
        ("[data_options]\nval_shar = 1", "a.toml: unknown key 'val_shar'. Did you mean 'val_share'?"),
        ("[crl]\nlevl = 'class'", "a.toml: unknown key 'crl.levl'. Did you mean 'crl.level'?"),
        ("zzzz = 1", "a.toml: unknown key 'zzzz'."),
        ("epochs = 'many'", "a.toml: epochs: expected a whole number, got 'many'"),
        ("epochs = 2.5", "a.toml: epochs: expected a whole number, got 2.5"),
        ("epochs = [1, 2]", "a.toml: epochs: expected a whole number, got [1, 2]"),
        ("epochs = true", "a.toml: epochs: expected a whole number, got True"),
        ("val_share = 'x'", "a.toml: val_share: expected a number, got 'x'"),
        ("val_share = nan", "a.toml: val_share: expected a number, got nan"),
        ("shared_feature = 1", "a.toml: shared_feature: expected true or false, got 1"),
        ("[crl]\nlevel = 'top'", "a.toml: crl.level: expected one of class, instance, got 'top'"),
        ("crl = 3", "a.toml: crl: expected a table of settings, got 3"),
        ("epochs = 3.0", "a.toml: epochs: expected a whole number, got 3.0"),
        ("[epochs]\na = 1", "a.toml: epochs: expected a whole number, got a table"),
        ("[other]\na = 1", "a.toml: unknown key 'other'."),
        ("shared_feature = 'true'", "a.toml: shared_feature: expected true or false, got 'true'"),
        ("attributes = [3, [4]]", "a.toml: attributes: expected text, got [4]"),
        ("seed = 2026-01-01", "a.toml: seed: expected a whole number, got datetime.date(2026, 1, 1)"),
        ("data_options = 3", "a.toml: data_options: expected a table of settings, got 3"),
        (
            "sampler = 'ovr'",
            "a.toml: sampler: expected one of shuffled, over, root, under, got 'ovr'. Did you mean 'over'?",
        ),
        ("samplr = 'over'", "a.toml: unknown key 'samplr'. Did you mean 'sampler'?"),
        ("epochs = = 3", "a.toml: not readable as TOML: Invalid value (at line 1, column 10)"),
        (
            "val_share = 0.2\n[data_options]\nval_share = 0.1",
            "a.toml: val_share: expected once, given more than once",
        ),
        ("batch-size = 4", "a.toml: unknown key 'batch-size'. Did you mean 'batch_size'?"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text) == message


@pytest.mark.parametrize(
    "key",
    ["overwrite", "quiet", "dry_run", "config", "resume", "from", "typed", "settings", "no_skip_missing"],
)
def test_a_file_holds_settings_and_starts_no_action(tmp_path: Path, key: str):
    for text, name in (
        (f"{key} = true", "a.toml"),
        (f"{key}: true", "a.yaml"),
        (f'{{"{key}": true}}', "a.json"),
    ):
        assert refusal(tmp_path, text, name).startswith(f"{name}: unknown key {key!r}.")


def test_a_table_is_written_as_a_table(tmp_path: Path):
    message = refusal(tmp_path, '{"crl.level": "class"}', "a.json")
    assert message == "a.json: unknown key 'crl.level'. Put 'level' into a table 'crl'."


def test_a_value_under_a_flag_is_checked_all_the_same(tmp_path: Path):
    message = refusal(tmp_path, "epochs = 'many'", words="x --epochs 3")
    assert message == "a.toml: epochs: expected a whole number, got 'many'"


def test_a_mistake_in_yaml_names_the_line(tmp_path: Path):
    assert refusal(tmp_path, "epochs: 1\ncrl: {a: ]", "a.yaml").endswith("(line 2)")
    assert refusal(tmp_path, "- 1", "a.yml") == "a.yml: expected settings as key = value, got list"
    unhashable = refusal(tmp_path, "epochs: 1\n? [a, b]\n: 4", "a.yaml")
    assert unhashable == "a.yaml: not readable as YAML: found unhashable key (line 2)"


def test_nothing_does_not_stand_for_a_number_or_for_the_data(tmp_path: Path):
    assert refusal(tmp_path, "seed:", "a.yaml") == "a.yaml: seed: expected a whole number, got nothing"
    assert refusal(tmp_path, "data:", "a.yaml", "") == "a.yaml: data: expected text, got nothing"
    assert refusal(tmp_path, "data = ''", words="") == "a.toml: DATA: expected a path or a name, got ''"
    for value in ("null", "[null]"):
        message = refusal(tmp_path, f'{{"attributes": {value}}}', "a.json")
        assert message == "a.json: attributes: expected text, got nothing"


def test_a_key_that_stands_there_twice_is_refused_in_every_format(tmp_path: Path):
    for name, text in {
        "a.json": '{"crl": {"rho": 0.1, "rho": 0.2}}',
        "a.yaml": "crl:\n  rho: 0.1\n  rho: 0.2",
    }.items():
        message = f"{name}: not readable as {name[2:].upper()}: key 'rho' stands there more than once"
        assert refusal(tmp_path, text, name) == message
    assert "not readable as TOML" in refusal(tmp_path, "[crl]\nrho = 0.1\nrho = 0.2")


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path):
    with pytest.raises(InputError, match=r"--config nix.toml: there is no such file"):
        settings(Path("nix.toml"))
    assert (
        refusal(tmp_path, "", "a.ini") == "--config a.ini: expected a file that ends in .toml, .yaml or .json"
    )
    assert refusal(tmp_path, "[" * 100_000, "a.json").startswith("a.json: not readable as JSON")
    path = tmp_path / "b.toml"
    path.write_bytes(b"data = '\xff'")
    with pytest.raises(InputError, match="not readable as TOML"):
        settings(path)


def test_a_value_out_of_range_names_the_place_it_came_from(tmp_path: Path):
    assert refusal(tmp_path, "epochs = 0") == "a.toml: --epochs: expected at least 1, got 0"
    assert refusal(tmp_path, "epochs = 0", words="x --epochs -1") == "--epochs: expected at least 1, got -1"
    nested = refusal(tmp_path, "[focal]\ngamma = -1")
    assert nested == "a.toml: --focal.gamma: expected 0 or more, got -1.0"
    both = refusal(tmp_path, "val_share = 0.9", words="x --test-share 0.5")
    assert both.startswith("a.toml: --val-share and --test-share: ")
