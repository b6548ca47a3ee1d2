import json
import shutil
from dataclasses import replace

import pytest

from longtail.comparing import collect
from longtail.comparing.cells import entry_of, shared_epochs
from longtail.comparing.collect import CellRun
from longtail.comparing.document import COMPARISON, Budget
from longtail.comparing.join import grouped, join
from longtail.errors import InputError
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.runs.train import train
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions

BASE = TrainConfig(
    data="digits",
    epochs=1,
    backbone="convnet",
    batch_size=64,
    features=8,
    accelerator="cpu",
    data_options=DataOptions(tail_ratio=20),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(collect, "feature_map", lambda runs, watcher: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of ce and crl-i with seed 0."""
    place = tmp_path_factory.mktemp("runs")
    return [
        train(replace(entry_of(label, BASE).config, output=str(place / label))) for label in ("ce", "crl-i")
    ]


@pytest.fixture
def runs(trained, tmp_path):
    return [shutil.copytree(path, tmp_path / path.name) for path in trained]


def changed(path, name, **changes):
    file = path / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def seeded(path, seed):
    copy = shutil.copytree(path, path.with_name(f"{path.name}-{seed}"))
    changed(copy, "config.json", seed=seed)
    return copy


def test_runs_are_grouped_by_method_and_paired_by_seed(runs, tmp_path):
    folder = join([*runs, *(seeded(run, 3) for run in runs)], tmp_path / "joined", command="typed")
    document = COMPARISON.read(folder / "comparison.json")
    assert [m.name for m in document.methods] == ["ce", "crl-i"]
    assert [[c.seed for c in m.cells] for m in document.methods] == [[0, 3], [0, 3]]
    assert (document.baseline, document.command) == ("ce", "typed")
    assert document.budget == Budget(1, None)
    cell = document.methods[0].cells[0]
    assert cell.run == "../ce"
    assert cell.decisions.keys() == {"argmax", "prior"}
    assert cell.training.peak_memory_bytes is None


@pytest.mark.parametrize(
    ("file", "changes", "what"),
    [
        ("results.json", {"data": {"name": "pets", "images": {"test": 1}, "image_size": [8, 8]}}, "data"),
        ("results.json", {"split": "val"}, "split that was evaluated"),
        ("splits.json", {"train": []}, r"splits than .*ce, with the same seed"),
        ("splits.json", {"test": []}, r"splits than .*ce, with the same seed"),
    ],
)
def test_runs_on_other_data_are_refused_by_name(runs, tmp_path, file, changes, what):
    changed(runs[1], file, **changes)
    with pytest.raises(InputError, match=rf"crl-i: has other {what}.*; leave one of them out") as error:
        join(runs, tmp_path / "joined")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "joined").exists()


def test_runs_with_other_classes_are_refused(runs, tmp_path):
    attributes = json.loads((runs[1] / "results.json").read_text())["attributes"]
    attributes[0]["classes"][0]["name"] = "other"
    changed(runs[1], "results.json", attributes=attributes)
    with pytest.raises(InputError, match="crl-i: has other attributes or classes"):
        join(runs, tmp_path / "joined")


def test_runs_with_other_settings_of_the_data_are_refused(runs, tmp_path):
    options = json.loads((runs[1] / "config.json").read_text())["data_options"]
    changed(runs[1], "config.json", data_options={**options, "tail_ratio": 30.0})
    with pytest.raises(InputError, match="other settings of the data"):
        join(runs, tmp_path / "joined")


def test_a_run_that_is_there_twice_is_refused(runs, tmp_path):
    twice = shutil.copytree(runs[0], tmp_path / "twice")
    for again in (twice, runs[0]):
        with pytest.raises(InputError, match=r"same method, options and seed 0 as .*ce; leave one out"):
            join([*runs, again], tmp_path / "joined")


def test_an_unfinished_run_is_refused(runs, tmp_path):
    (runs[1] / "results.json").unlink()
    with pytest.raises(InputError, match="crl-i: expected the folder of a finished run"):
        join(runs, tmp_path / "joined")


def test_a_baseline_that_is_not_among_the_runs_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match="--baseline: expected one of ce, crl-i, got 'crl'"):
        join(runs, tmp_path / "joined", baseline="crl")
    folder = join(runs, tmp_path / "joined", baseline="crl-i")
    assert COMPARISON.read(folder / "comparison.json").baseline == "crl-i"


def labels(tmp_path, *configs):
    return [
        entrant.label for entrant in grouped([CellRun(tmp_path / str(i), c) for i, c in enumerate(configs)])
    ]


def test_labels_say_what_runs_differ_in(tmp_path):
    ce, crl = entry_of("ce", BASE).config, entry_of("crl-i+over", BASE).config
    longer = replace(ce, epochs=9)
    assert labels(tmp_path, ce, crl) == ["ce", "crl-i+over"]
    assert labels(tmp_path, ce, longer) == ["ce --epochs 1", "ce --epochs 9"]
    assert labels(tmp_path, ce, replace(longer, momentum=0.8), crl) == [
        "ce --epochs 1",
        "ce --epochs 9 --momentum 0.8",
        "crl-i+over",
    ]


def test_a_label_says_what_loss_and_mixing_a_run_has_beside_its_method(tmp_path):
    focal, mixed = (entry_of(label, BASE).config for label in ("ce+focal", "ce+mixup"))
    assert labels(tmp_path, focal, mixed) == ["ce+focal", "ce+mixup"]


def test_a_regression_has_no_length_that_could_be_shared(tmp_path):
    ce, linear = entry_of("ce", BASE).config, replace(entry_of("linear", BASE).config, epochs=1)
    assert shared_epochs([replace(ce, epochs=20), linear]) == 20
    assert shared_epochs([replace(ce, epochs=20), replace(ce, epochs=10)]) is None


def test_runs_that_differ_in_seed_folder_and_place_of_the_data_are_one_method(tmp_path):
    ce = entry_of("ce", BASE).config
    moved = replace(ce, seed=1, output="x", data="elsewhere/digits")
    assert labels(tmp_path, ce, moved) == ["ce"]


def test_second_stages_that_go_on_from_runs_of_several_seeds_are_one_method(tmp_path):
    stages = [replace(entry_of("ce", BASE).config, method="crt", start=f"ce-seed{s}", seed=s) for s in (0, 1)]
    assert labels(tmp_path, *stages) == ["ce+crt"]


def test_second_stages_of_different_first_stages_are_different_methods(tmp_path):
    def kept(name: str, config: TrainConfig) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(CONFIG.encode(config))
        return str(tmp_path / name)

    light = replace(entry_of("crl-i", BASE).config, method_options=MethodOptions(crl=CRLOptions("instance")))
    heavy = replace(light, method_options=MethodOptions(crl=CRLOptions("instance", weight=5.0)))
    firsts = [kept("a", entry_of("ce", BASE).config), kept("b", light), kept("c", heavy)]
    stages = [replace(entry_of("ce", BASE).config, method="crt", start=start) for start in firsts]
    assert labels(tmp_path, *stages, *(replace(stage, seed=1) for stage in stages)) == [
        "ce+crt",
        "crl-i+crt --from b",
        "crl-i+crt --from c",
    ]


def test_what_is_only_logged_makes_no_other_method(tmp_path):
    ce = entry_of("ce", BASE).config
    assert labels(tmp_path, ce, replace(ce, seed=1, log_to="tensorboard", checkpoint_every="1m")) == ["ce"]


def test_a_run_that_is_not_finished_is_not_compared(runs, tmp_path):
    (runs[0] / "state.pt").touch()
    with pytest.raises(InputError, match="ce: expected the folder of a finished run; finish it: "):
        join(runs, tmp_path / "joined")
