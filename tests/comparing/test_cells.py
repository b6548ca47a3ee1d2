from dataclasses import replace
from pathlib import Path

import pytest

from longtail.cli.parsing import Command
from longtail.comparing.cells import Cell, Comparison, cell_of, entry_of, shown_flags
from longtail.errors import InputError
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.methods.rows import METHODS
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions

BASE = TrainConfig(
    data="digits", epochs=3, backbone="convnet", data_options=DataOptions(attributes=("a", "b"))
)
LABELS = [
    *(name for name, row in METHODS.items() if not row.second_stage),
    "crl-c",
    "crl-i",
    "crl-i+over",
    "ce+weight-decay=0.01+optimizer=adamw",
    "crl+level=class+loss=softmax",
    "vs+vs.gamma=0.2+sampler=over",
    "remix+mix.alpha=0.5",
    "crl-iccv+power=2+comparison=absolute+raw-features=true",
    "ce+inverse-frequency",
    "triplet+argmax",
]


def test_the_first_stage_alone_begins_with_the_weights_of_a_file():
    base = replace(BASE, weights="w.safetensors")
    assert entry_of("ce", base).config.weights == "w.safetensors"
    assert entry_of("crt", base).config.weights is None


@pytest.mark.parametrize(
    ("label", "method", "parts"),
    [
        ("ce", "ce", {}),
        ("crl", "crl", {}),
        ("crl-c", "crl-iccv", {"crl": CRLOptions(level="class")}),
        ("crl-i", "crl-iccv", {"crl": CRLOptions(level="instance")}),
        ("crl-i+over", "crl-iccv", {"crl": CRLOptions(level="instance"), "sampler": "over"}),
        ("ce+inverse-frequency", "ce", {"class_weights": "inverse-frequency"}),
    ],
)
def test_a_label_is_a_method_with_parts(label, method, parts):
    assert entry_of(label, BASE).config == replace(BASE, method=method, method_options=MethodOptions(**parts))


@pytest.mark.parametrize(
    ("label", "method", "decision", "first"),
    [
        ("threshold-adjustment", "ce", "prior", None),
        ("ce+prior", "ce", "prior", None),
        ("crl-i+tau-norm", "crl-iccv", "tau-norm", None),
        ("crt", "crt", None, "ce"),
        ("crl-i+over+lws", "lws", None, "crl-i+over"),
        ("ce+crt+lws", "lws", None, "ce+crt"),
        ("ce+prior+crt+tau-norm", "crt", "tau-norm", "ce+prior"),
    ],
)
def test_a_label_names_what_comes_before_and_after_a_training(label, method, decision, first):
    entry = entry_of(label, BASE)
    assert (entry.config.method, entry.decision, entry.first) == (method, decision, first)
    assert entry.config.method_options.decision is None


def test_a_second_stage_needs_the_first_among_the_methods(tmp_path):
    with pytest.raises(
        InputError, match=r"--methods crl-c.crt: goes on from the runs of crl-c, .* add crl-c"
    ):
        Comparison(BASE, ("ce", "crl-c+crt"), tmp_path).entries()


def test_what_all_share_is_kept_and_what_the_method_does_not_read_makes_no_difference():
    options = MethodOptions(crl=CRLOptions(kappa=3))
    base = replace(BASE, method_options=options, seed=7, output="x", method="ce")
    assert entry_of("crl-i", base).config.method_options.crl == CRLOptions(kappa=3, level="instance")
    assert entry_of("ce", base).config == entry_of("ce", BASE).config
    assert entry_of("ce", base).config.epochs == 3


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("crl-x", "--methods: expected one of ce, .*, got 'crl-x'. Did you mean 'crl-"),
        (
            "ce+ovr",
            r"--methods ce\+ovr: expected FLAG=VALUE, .*shuffled, over, .* got 'ovr'. Did you mean 'ov",
        ),
        ("lmle+over", r"--methods lmle\+over: --sampler over: lmle draws its own batches"),
        ("ce+clusters", r"--methods ce\+clusters: --decision clusters: needs the clusters"),
        ("ce+wd=1", r"--methods ce\+wd=1: expected an option of the method or of its optimizer, got 'wd'"),
        ("ce+weight-decya=1", "got 'weight-decya'. Did you mean 'weight-decay'"),
        ("ce+weight-decay=x", r"--methods ce\+weight-decay=x: --weight-decay: expected a number, got 'x'"),
        (
            "ce+weight-decay=-1",
            r"ce\+weight-decay=-1: --weight-decay: expected 0 or more, got -1.0",
        ),
        ("crl+level=all", "--crl.level: expected one of class, instance, got 'all'"),
        ("ce+level=class", "--crl.level: has no effect with ce; leave it out"),
        ("vs+gamma=1", "expected one flag, got 'gamma', which may be any of focal.gamma, vs.gamma"),
        ("ce+epochs=3", "got 'epochs'"),
        ("", "got ''"),
        ("lmle+prior", r"--methods lmle\+prior: --decision prior: lmle trains on every class alike"),
        ("ldam-drw+tau-norm", r"--methods ldam-drw\+tau-norm: --decision tau-norm: the class vectors"),
        ("lws+tau-norm", "--decision tau-norm: lws has a learned factor"),
    ],
)
def test_a_label_that_cannot_be_trained_is_refused_by_name(label, message):
    with pytest.raises(InputError, match=message) as error:
        entry_of(label, BASE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("label", LABELS)
def test_the_shown_flags_train_the_same(label):
    config = entry_of(label, BASE).config
    bound = Command.named("train").bind(["digits", *shown_flags(config)])
    assert bound.arguments["settings"] == config


@pytest.mark.parametrize("label", LABELS)
def test_the_settings_in_a_file_train_the_same(label, tmp_path):
    config = replace(entry_of(label, BASE).config, seed=4, output=str(tmp_path / "run"))
    file = tmp_path / "settings.json"
    file.write_text(CONFIG.encode(config))
    assert Command.named("train").bind(["--config", str(file)]).arguments["settings"] == config


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": ()}, "--methods: expected names"),
        ({"labels": ("ce", "crl", "ce")}, "--methods: expected each method once, got ce more than once"),
        ({"seeds": 0}, "--seeds: expected at least 1, got 0"),
        ({"parallel": 0}, "--parallel: expected at least 1, got 0"),
        ({"tune": 0}, "--tune: expected 2 to 9 settings to try, got 0"),
        ({"tune": 10}, "--tune: expected 2 to 9"),
        ({"budget": 0.0}, "--budget: expected seconds above 0"),
        ({"budget": 9.0}, "--budget: decides the epochs of each method; leave out --epochs"),
        ({"baseline": "cr"}, "--baseline: expected one of ce, crl, got 'cr'. Did you mean 'crl'"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused_by_its_flag(wrong, message, tmp_path):
    settings = {"labels": ("ce", "crl"), **wrong}
    with pytest.raises(InputError, match=message):
        Comparison(BASE, folder=tmp_path, **settings)


@pytest.fixture
def cell(tmp_path) -> Cell:
    return cell_of("crl-i", entry_of("crl-i", BASE).config, tmp_path, 2)


def written(cell: Cell, config: TrainConfig, *files: str):
    cell.path.mkdir()
    (cell.path / "config.json").write_text(CONFIG.encode(config))
    for name in files:
        (cell.path / name).touch()


def test_a_cell_has_its_own_folder_and_seed(cell, tmp_path):
    assert (cell.path, cell.config.seed, cell.name) == (tmp_path / "crl-i-seed2", 2, "crl-i, seed 2")


@pytest.mark.parametrize(
    ("files", "state", "words"),
    [
        (None, "new", ["--config", "s.json"]),
        ([], "again", ["--config", "s.json", "--overwrite"]),
        (["model.safetensors"], "again", ["--config", "s.json", "--overwrite"]),
        (["state.pt"], "unfinished", ["--resume", "RUN"]),
        (["state.pt", "results.json"], "unfinished", ["--resume", "RUN"]),  # evaluated while it was stopped
    ],
)
def test_a_cell_goes_on_from_what_its_folder_holds(cell, files, state, words):
    if files is not None:
        written(cell, replace(cell.config, output="moved"), *files)
    assert cell.state(overwrite=False) == state
    command = cell.command(False, Path("s.json"))
    assert command[1:5] == ["-P", "-m", "longtail", "train"]  # nothing in the folder is imported
    assert command[5:] == [str(cell.path) if word == "RUN" else word for word in words]


@pytest.mark.parametrize("files", [(), ("state.pt",)])
def test_the_process_of_a_cell_is_told_the_method_of_ones_own(cell, files):
    own = replace(cell.config, method="mine/own.py:Loss")
    named = cell_of("mine/own.py:Loss+over", own, cell.path.parent, 0)
    assert named.path == cell.path.parent / "mine-own.py-Loss+over-seed0"
    if files:
        written(named, named.config, *files)
    assert named.command(False, Path("s.json"))[-2:] == ["--method", "mine/own.py:Loss"]


def test_a_finished_cell_is_not_trained(cell):
    written(cell, cell.config, "results.json")
    assert cell.state(overwrite=True) == "finished"
    with pytest.raises(ValueError, match="is finished"):
        cell.command(True, Path("s.json"))


def test_a_cell_of_other_settings_is_replaced_only_when_asked(cell):
    written(cell, replace(cell.config, epochs=4), "results.json")
    with pytest.raises(
        InputError, match="trained with other settings; --overwrite replaces it, another --out"
    ):
        cell.state(overwrite=False)
    assert cell.state(overwrite=True) == "again"


def test_a_damaged_configuration_counts_as_other_settings(cell):
    written(cell, cell.config)
    (cell.path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="other settings"):
        cell.state(overwrite=False)


def test_a_folder_of_other_files_is_never_touched(cell):
    cell.path.mkdir()
    (cell.path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds other files"):
        cell.state(overwrite=True)


@pytest.mark.parametrize(
    ("changes", "backbone"),
    [
        ({"backbone": "convnet", "from_scratch": True, "augment": "small"}, "lite0"),
        ({"backbone": "timm:resnet18", "freeze": True}, "timm:resnet18"),
        ({"method_options": MethodOptions(feature_layer="rectified")}, "lite0"),
        ({}, "lite0"),
    ],
)
def test_the_regression_stands_on_published_weights_whatever_the_others_train(changes, backbone):
    config = entry_of("linear", TrainConfig(data="digits", **changes)).config
    assert (config.named_backbone, config.from_scratch, config.augment) == (backbone, False, None)
    assert config.frozen
    assert config.method_options.feature_layer is None
