from __future__ import annotations

from pathlib import Path

import pytest

from longtail.methods.options import CRLOptions, MethodOptions
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions

from .conftest import Job, Run, write_results


def trained_with(training: Job) -> TrainConfig:
    (call,) = [call for call in training.calls if call.name == "train"]
    return call.config


def test_without_flags_the_defaults_are_trained(run: Run, training: Job):
    assert run("train", "photos").code == 0
    assert trained_with(training) == TrainConfig(data="photos")


def test_every_kind_of_flag_reaches_the_configuration(run: Run, training: Job):
    words = (
        "photos --method crl --epochs 5 --learning-rate 1e-2 --image-size 96x64 --shared-feature "
        "--precision 16 --attributes colour shape --attributes size --group-column owner "
        "--test-share 0 --skip-missing --tail-ratio 50 "
        "--sampler under --crl.level instance --crl.power 2 --crl.margin 0.1 --output runs/x"
    )
    assert run("train", *words.split()).code == 0
    assert trained_with(training) == TrainConfig(
        data="photos",
        method="crl",
        epochs=5,
        learning_rate=0.01,
        image_size="96x64",
        shared_feature=True,
        precision="16",
        output="runs/x",
        data_options=DataOptions(
            attributes=("colour", "shape", "size"),
            group_column="owner",
            test_share=0.0,
            skip_missing=True,
            tail_ratio=50.0,
        ),
        method_options=MethodOptions(sampler="under", crl=CRLOptions(level="instance", power=2, margin=0.1)),
    )


def test_a_flag_of_another_method_is_refused_and_its_table_in_a_file_is_not(
    run: Run, training: Job, tmp_path: Path
):
    ended = run("train", "photos", "--method", "ce", "--lmle.k", "5")
    assert ended.code == 2
    assert ended.err == "longtail: error: --lmle.k: has no effect with --method ce; leave it out\n"
    assert run("train", "photos", "--method", "ce", "--decision", "knn", "--knn.k", "5").code == 0
    file = tmp_path / "a.toml"
    file.write_text("[lmle]\nk = 5\n")
    assert run("train", "photos", "--method", "ce", "--config", str(file)).code == 0
    assert training.calls[-1].config.method == "ce"


def test_flags_may_stand_before_the_data(run: Run, training: Job):
    assert run("train", "--epochs", "5", "--overwrite", "photos").code == 0
    assert trained_with(training) == TrainConfig(data="photos", epochs=5)
    assert training.calls[0].overwrite


def test_flags_win_over_the_file_that_may_name_the_data(run: Run, training: Job, tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text('data = "photos"\nepochs = 5\nskip_missing = true\n[crl]\nkappa = 3\nrho = 0.4\n')
    assert (
        run("train", "--config", str(file), "--epochs", "6", "--no-skip-missing", "--crl.rho", "0.3").code
        == 0
    )
    options = MethodOptions(crl=CRLOptions(kappa=3, rho=0.3))
    assert trained_with(training) == TrainConfig(data="photos", epochs=6, method_options=options)
    assert run("train", "others", "--config", str(file)).code == 0
    assert training.calls[1].config.data == "others"


def test_a_mistake_in_the_file_is_one_line(run: Run, training: Job, tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text("epoch = 5\n")
    assert (
        run("train", "x", "--config", str(file)).mistake
        == f"{file}: unknown key 'epoch'. Did you mean 'epochs'?"
    )
    assert training.calls == []


def test_data_must_be_named_and_must_not_be_swallowed(run: Run, training: Job):
    assert run("train").mistake.startswith("DATA is missing: expected a folder")
    assert run("train", "--attributes", "a", "photos").mistake.startswith(
        "DATA is missing (it stands before --attributes)"
    )


def test_a_dry_run_says_the_plan_and_trains_nothing(run: Run, training: Job):
    ended = run("train", "photos", "--dry-run")
    assert ended.out == "images: 3 train\nthe run would be written to runs/x\n"
    assert [call.name for call in training.calls] == ["plan"]


def test_a_run_goes_on_with_its_own_settings_where_it_lies_now(run: Run, training: Job):
    assert run("train", "--resume", "moved/run").code == 0
    job = training.calls[-1]
    assert job.config == TrainConfig(data="photos", epochs=7, output="moved/run")
    assert (job.resume, job.overwrite) == (True, False)


@pytest.mark.parametrize(("stands", "resume"), [("new", False), ("unfinished", True)])
def test_a_script_that_is_started_again_begins_or_goes_on(run: Run, training: Job, stands: str, resume: bool):
    training.stands = stands
    assert run("train", "photos", "--epochs", "7", "--resume", "auto").code == 0
    (call,) = training.calls
    assert (call.config.data, call.config.epochs, call.resume) == ("photos", 7, resume)


def test_a_script_that_is_started_again_after_the_end_does_nothing(run: Run, training: Job):
    training.stands = "finished"
    ended = run("train", "photos", "--resume", "auto")
    assert (ended.code, ended.out, training.calls) == (0, "finished already: runs/x\n", [])
    assert run("train", "photos", "--resume", "auto", "--overwrite").code == 0
    assert training.calls[0].resume is False


@pytest.mark.parametrize(
    ("stands", "says"),
    [
        ("finished", "finished already: runs/x\n"),
        ("unfinished", "would go on: runs/x\n"),
        ("new", "images"),
    ],
)
def test_a_dry_run_says_what_a_script_that_is_started_again_does(
    run: Run, training: Job, stands: str, says: str
):
    training.stands = stands
    ended = run("train", "photos", "--resume", "auto", "--dry-run")
    assert (ended.code, ended.out.startswith(says)) == (0, True)
    assert [call.name for call in training.calls] == (["plan"] if stands == "new" else [])


def test_a_run_is_told_the_method_of_ones_own_again_and_no_other(run: Run, training: Job):
    assert run("train", "--resume", "runs/x", "--method", "own.py:Loss").code == 0
    assert training.calls[0].method == "own.py:Loss"
    message = run("train", "--resume", "runs/x", "--method", "crl").mistake
    assert message == "--resume runs/x: resumes with the settings of the run; leave out --method"


def test_a_file_alone_does_not_name_a_method_of_ones_own(run: Run, training: Job, tmp_path: Path):
    (tmp_path / "own.py").write_text("raise SystemExit('imported')\n")
    file = tmp_path / "a.toml"
    file.write_text(f'method = "{tmp_path / "own.py"}:Loss"\n')
    assert (
        "is a method of your own, which runs only where you name it"
        in run("train", "photos", "--config", str(file)).mistake
    )
    assert (
        "cannot be imported (SystemExit: imported)"
        in run("train", "photos", "--method", f"{tmp_path / 'own.py'}:Loss").mistake
    )


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ("photos --epochs 7 --crl.rho 0.4", "DATA, --epochs, --crl.rho"),
        ("--overwrite", "--overwrite"),
        ("--dry-run --config a.toml", "--config, --dry-run"),
    ],
)
def test_a_resumed_run_refuses_other_settings(run: Run, training: Job, others: str, named: str):
    message = run("train", "--resume", "runs/x", *others.split()).mistake
    assert message == f"--resume runs/x: resumes with the settings of the run; leave out {named}"


def test_at_the_end_stand_the_results_and_where_the_report_is(run: Run, training: Job, tmp_path: Path):
    write_results(tmp_path)
    out = run("train", "photos").out
    assert "lynx" in out
    assert out.endswith(f"report: {tmp_path / 'report.html'}\nrun: {tmp_path}\n")
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_a_run_without_test_images_shows_its_folder_alone(run: Run, training: Job, tmp_path: Path):
    assert run("train", "photos").out == f"run: {tmp_path}\n"


def test_quiet_is_silent(run: Run, training: Job, tmp_path: Path):
    write_results(tmp_path)

    def act(call: object) -> Path:
        training.calls[-1].watcher.say("1 attribute")
        return tmp_path

    training.act = act
    assert run("train", "photos").out.startswith("1 attribute\n")
    ended = run("train", "photos", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_a_training_from_a_run_takes_over_its_data_and_settings(run: Run, training: Job, tmp_path: Path):
    config = TrainConfig(
        "photos", method="lmle", epochs=7, image_size="32", output="runs/first", weights="w.safetensors"
    )
    (tmp_path / "config.json").write_text(CONFIG.encode(config))
    assert run("train", "--from", str(tmp_path), "--method", "crt", "--epochs", "3").code == 0
    expected = TrainConfig(data="photos", method="crt", epochs=3, image_size="32", start=str(tmp_path))
    assert trained_with(training) == expected


def test_a_file_lies_over_the_run_that_is_started_from(run: Run, training: Job, tmp_path: Path):
    first = TrainConfig(
        data="photos", epochs=7, seed=3, data_options=DataOptions(val_share=0.2, tail_ratio=9)
    )
    CONFIG.write(tmp_path / "config.json", first)
    file = tmp_path / "a.toml"
    file.write_text('method = "lws"\nepochs = 5\nval_share = 0.3\n')
    words = ("--from", str(tmp_path), "--config", str(file), "--seed", "4")
    assert run("train", *words).code == 0
    options = DataOptions(val_share=0.3, tail_ratio=9)
    assert trained_with(training) == TrainConfig(
        "photos", method="lws", epochs=5, seed=4, start=str(tmp_path), data_options=options
    )


def test_a_file_may_name_the_run_to_start_from_and_then_takes_nothing_over(
    run: Run, training: Job, tmp_path: Path
):
    CONFIG.write(tmp_path / "config.json", TrainConfig(data="photos", epochs=7))
    config = TrainConfig(data="others", method="crt", start=str(tmp_path))
    CONFIG.write(tmp_path / "settings.json", config)
    assert run("train", "--config", str(tmp_path / "settings.json")).code == 0
    assert trained_with(training) == config


def test_a_training_from_no_run_is_refused(run: Run, training: Job, tmp_path: Path):
    ended = run("train", "--from", str(tmp_path), "--method", "crt")
    assert ended.code == 2
    assert "expected the folder of a trained run" in ended.err
    assert run("train", "photos", "--method", "lws").err == (
        "longtail: error: --method lws: goes on from a trained run, name it with --from RUN\n"
    )
    assert not training.calls
