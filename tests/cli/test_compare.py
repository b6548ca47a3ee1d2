"""`longtail compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import longtail.comparing
from longtail.comparing.cells import Comparison
from longtail.comparing.document import COMPARISON
from longtail.methods.options import CRLOptions
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions

from ..comparing.comparison_documents import several_attributes, single_attribute, typed
from .conftest import Job, Run, _replace  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def comparing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Job:
    """In place of longtail.comparing.compare and .join; both leave a comparison, `act` says which."""
    monkeypatch.chdir(tmp_path)
    job = Job()

    def leave(folder: Path, document: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        COMPARISON.write(folder / "comparison.json", typed(document or several_attributes()))
        return folder

    def compare(comparison: Comparison, *, watcher: Any) -> Path:
        return leave(comparison.folder, job.called("compare", comparison=comparison, watcher=watcher))

    def join(runs: list[Path], folder: Path, **arguments: Any) -> Path:
        return leave(folder, job.called("join", runs=runs, folder=folder, **arguments))

    def plan(comparison: Comparison) -> list[str]:
        job.called("plan", comparison=comparison)
        return ["ce: 5 runs, 5 new"]

    def with_linear(comparison: Comparison, watcher: Any) -> Comparison:
        return comparison

    functions: dict[str, Any] = {"compare": compare, "plan": plan, "with_linear": with_linear}
    _replace(monkeypatch, "compare", longtail.comparing, **functions)
    _replace(monkeypatch, "join", longtail.comparing, join=join)
    return job


def compared(comparing: Job) -> Comparison:
    (call,) = comparing.calls
    assert call.name == "compare"
    return call.comparison


def run_folder(tmp_path: Path, name: str) -> str:
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").touch()
    return str(tmp_path / name)


def test_without_flags_the_usual_methods_are_compared(run: Run, comparing: Job):
    ended = run("compare", "photos/pets.csv")
    assert (ended.code, ended.err) == (0, "")
    comparison = compared(comparing)
    assert comparison.base == TrainConfig(data="photos/pets.csv")
    assert comparison.labels == ("ce", "balanced-softmax", "crl")
    assert (comparison.seeds, comparison.folder) == (5, Path("runs/pets-comparison"))
    assert (comparison.tune, comparison.budget, comparison.parallel, comparison.engine) == (
        None,
        None,
        None,
        "local",
    )


def test_every_flag_reaches_the_comparison(run: Run, comparing: Job, tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text(
        'method = "ce"\nseed = 7\noutput = "other"\nmomentum = 0.8\nepochs = 3\n[crl]\nkappa = 4\n'
    )
    words = (
        "photos --methods ce,crl-i+over --seeds 2 --baseline crl-i+over --tune 3 --parallel 4 --epochs 6 "
        f"--engine slurm --tail-ratio 50 --config {file} --output cmp --overwrite"
    )
    assert run("compare", *words.split()).code == 0
    comparison = compared(comparing)
    assert comparison.labels == ("ce", "crl-i+over")
    assert (comparison.seeds, comparison.baseline, comparison.tune) == (2, "crl-i+over", 3)
    assert (comparison.parallel, comparison.engine, comparison.overwrite) == (4, "slurm", True)
    assert comparison.folder == Path("cmp")
    base = comparison.base
    assert (base.epochs, base.momentum, base.seed, base.output) == (6, 0.8, 0, None)
    assert base.data_options == DataOptions(tail_ratio=50.0)
    assert base.method_options.crl == CRLOptions(kappa=4)


def test_the_settings_of_a_run_are_settings_of_a_comparison(run: Run, comparing: Job, tmp_path: Path):
    config = TrainConfig("photos", method="crt", start="runs/first", seed=3, output="x", epochs=4)
    CONFIG.write(tmp_path / "settings.json", config)
    assert run("compare", "--config", str(tmp_path / "settings.json")).code == 0
    assert compared(comparing).base == TrainConfig("photos", epochs=4)


def test_the_options_of_a_method_are_shared_too(run: Run, comparing: Job):
    assert run("compare", "photos", "--crl.kappa", "4", "--methods", "ce,crl").code == 0
    assert compared(comparing).base.method_options.crl == CRLOptions(kappa=4)


def test_the_budget_stands_in_place_of_epochs(run: Run, comparing: Job):
    assert run("compare", "photos", "--budget", "60").code == 0
    assert compared(comparing).budget == 60.0
    message = run("compare", "photos", "--budget", "60", "--epochs", "5").mistake
    assert message == "--budget: decides the epochs of each method; leave out --epochs"


def test_at_the_end_stand_the_table_and_the_place_of_the_page(run: Run, comparing: Job):
    ended = run("compare", "photos", "--output", "cmp")
    assert "focal" in ended.out
    assert ended.out.endswith("page: cmp/comparison.html\n")
    assert run("compare", "photos", "--quiet").out == ""


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_a_comparison_with_failed_runs_ends_with_a_line_and_a_code_of_its_own(
    run: Run, comparing: Job, quiet: tuple[str, ...]
):
    comparing.act = lambda call: single_attribute()
    ended = run("compare", "photos", *quiet)
    assert ended.code == 1
    assert ended.err == "longtail: 1 of 20 runs failed; the same command tries again\n"
    assert ("out of memory" in ended.out) == (not quiet)


def test_a_dry_run_says_what_would_be_trained_and_trains_nothing(run: Run, comparing: Job):
    ended = run("compare", "photos", "--dry-run")
    assert (ended.code, ended.out) == (0, "ce: 5 runs, 5 new\n")
    assert [call.name for call in comparing.calls] == ["plan"]


def test_folders_of_runs_are_joined(run: Run, comparing: Job, tmp_path: Path):
    paths = [run_folder(tmp_path, name) for name in ("a", "b")]
    assert run("compare", *paths, "--baseline", "ce").code == 0
    (call,) = comparing.calls
    assert (call.name, call.runs) == ("join", [Path(path) for path in paths])
    assert (call.folder, call.baseline) == (Path("runs/comparison"), "ce")
    assert run("compare", paths[0], "--output", "x").code == 0
    assert comparing.calls[-1].folder == Path("x")


def test_runs_that_are_joined_are_not_trained_otherwise(run: Run, comparing: Job, tmp_path: Path):
    paths = [run_folder(tmp_path, name) for name in ("a", "b")]
    message = run(
        "compare", *paths, "--seeds", "3", "--methods", "ce", "--epochs", "2", "--overwrite"
    ).mistake
    assert message == "--epochs, --methods, --seeds, --overwrite: the runs are trained already; leave it out"
    assert comparing.calls == []


def test_a_folder_that_is_no_run_among_several_is_named(run: Run, comparing: Job, tmp_path: Path):
    message = run("compare", run_folder(tmp_path, "a"), "photos").mistake
    assert message == "photos: expected one DATA, or folders of finished runs, got 2 arguments"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "DATA is missing: expected data as for `longtail train`, or folders of finished runs"),
        ("photos --methods ce,tripet", "got 'tripet'. Did you mean 'triplet'?"),
        ("photos --methods ce,crl+ovr", "got 'ovr'. Did you mean 'over'?"),
        ("photos --methods lmle+over", "lmle draws its own batches, which its loss needs; leave it out"),
        ("photos --methods ce,ce", "--methods: expected each method once, got ce more than once"),
        ("photos --methods ,", "with commas between them, got an empty name in ','"),
        ("photos --methods ce,,crl", "with commas between them, got an empty name in 'ce,,crl'"),
        ("photos --methods=", "with commas between them, got an empty name in ''"),
        ("photos --start runs/x", "unknown option: --start."),
        ("--output=x --data=", "DATA: expected a path or a name, got ''"),
        ("photos --tune 0", "--tune: expected 2 to 9 settings to try, got 0"),
        ("photos --seeds 0", "--seeds: expected at least 1, got 0"),
        ("photos --seeds two", "--seeds: expected a whole number, got 'two'"),
        ("photos --parallel 0", "--parallel: expected at least 1, got 0"),
        ("photos --budget -1", "--budget: expected seconds above 0, got -1.0"),
        ("photos --baseline lws", "--baseline: expected one of ce, balanced-softmax, crl, got 'lws'."),
        (
            "photos --methods ce,ldam-drw --lmle.k 5",
            "--lmle.k: has no effect with --methods ce,ldam-drw; leave",
        ),
        ("photos --method ce", "unknown option: --method. Did you mean --methods?"),
        ("photos --engine slrum", "got 'slrum'. Did you mean 'slurm'?"),
        ("photos --epochs 0", "--epochs: expected at least 1, got 0"),
    ],
)
def test_mistakes_are_told_in_one_line_before_anything_runs(
    run: Run, comparing: Job, words: str, message: str
):
    assert message in run("compare", *words.split()).mistake
    assert comparing.calls == []


def test_a_folder_of_other_files_is_refused(run: Run, tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    message = run("compare", "digits", "--seeds", "2", "--output", str(tmp_path), "--quiet").mistake
    assert message == f"--output {tmp_path}: the folder holds other files; choose another --output"
