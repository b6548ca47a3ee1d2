from __future__ import annotations

import errno
import logging
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from longtail.cli.app import _failed
from longtail.errors import InputError, Interrupted

from .conftest import Job, Run


def test_an_error_is_one_line_that_names_its_process_where_there_are_several(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    _failed("one\n  two")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert _failed("three") == 2
    assert capsys.readouterr().err == "longtail: error: one two\nlongtail: process 1: error: three\n"


def raising(error: BaseException):
    def act(call: SimpleNamespace) -> Any:
        raise error

    return act


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian x", "got 'trian'. Did you mean 'train'?"),
        ("--versio", "got '--versio'. Did you mean '--version'?"),
        ("--quiet train x", "got '--quiet'"),
        ("train x --epoch 3", "unknown option: --epoch. Did you mean --epochs?"),
        ("train x --crl.levl class", "unknown option: --crl.levl. Did you mean --crl.level?"),
        ("train x --group_colum g", "unknown option: --group_colum. Did you mean --group-column?"),
        ("train x --epochs two", "--epochs: expected a whole number, got 'two'"),
        ("train x --seed=1.5", "--seed: expected a whole number, got '1.5'"),
        ("train x --seed -1", "--seed: expected a whole number from 0 up to 2^63 - 1, got -1"),
        ("train x --learning-rate nan", "--learning-rate: expected a number, got 'nan'"),
        ("train x --precision 64", "--precision: expected one of 32, bf16, 16, got '64'"),
        ("train x --method crll", "got 'crll'. Did you mean 'crl'?"),
        ("train x --seed", "--seed: expected a value"),
        ("train x --attributes", "--attributes: expected a value"),
        ("train x --seed 1 --seed 2", "--seed: expected once, given more than once"),
        ("train x y", "unexpected 'y'; see longtail train --help"),
        (
            "train x --crl 3",
            "--crl: is no flag; expected one of --crl.level, --crl.comparison, --crl.kappa, "
            "--crl.rho, --crl.margin, --crl.power, --crl.raw-features, --crl.nodes, --crl.scope, "
            "--crl.balance, --crl.weight, --crl.alpha, --crl.eta",
        ),
        ("train x --focal", "--focal: is no flag; expected one of --focal.gamma"),
        ('train x --focal {"gamma":1}', "--focal: is no flag; expected one of --focal.gamma"),
        ("train x --no-crl", "unknown option: --no-crl. Did you mean --no-replicate?"),
        ("train x --start r1", "unknown option: --start. Did you mean --from?"),
        ("train x --typed y", "unknown option: --typed. Did you mean --seed?"),
        ("train -- x --dry-run", "--dry-run: stands behind --, where there are no flags; put it before"),
        ("train x --data y", "DATA is given twice, with --data and without; see longtail train --help"),
        ("--version train", "--version: stands alone; leave out the other words"),
        ("evaluate", "RUN is missing; see longtail evaluate --help"),
        ("predict", "RUN is missing; see longtail predict --help"),
        ("diagnose", "DATA is missing; see longtail diagnose --help"),
        ("evaluate x --split dev", "--split: expected one of train, val, test, got 'dev'"),
        ("methods x", "unexpected 'x'; see longtail methods --help"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(run: Run, words: str, message: str):
    assert run(*words.split()).mistake.endswith(message)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (("train", ""), "DATA"),
        (("compare", ""), "DATA"),
        (("compare", "x", ""), "RUNS"),
        (("diagnose", ""), "DATA"),
        (("evaluate", ""), "RUN"),
        (("evaluate", "x", ""), "DATA"),
        (("predict", "", "x"), "RUN"),
        (("predict", "x", "y", ""), "IMAGES"),
    ],
)
def test_an_empty_name_is_not_the_current_folder(run: Run, words: tuple[str, ...], label: str):
    assert run(*words).mistake == f"{label}: expected a path or a name, got ''"


def test_what_the_user_gave_wrong_ends_with_one_line(run: Run, training: Job):
    training.act = raising(InputError("labels.csv, row 7:\nexpected a number"))
    assert run("train", "photos").mistake == "labels.csv, row 7: expected a number"


def test_a_stopped_training_says_how_to_go_on(run: Run, training: Job):
    training.act = raising(Interrupted("stopped; go on with: longtail train --resume runs/x"))
    ended = run("train", "photos")
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == "longtail: stopped; go on with: longtail train --resume runs/x\n"


def test_ctrl_c_anywhere_else_shows_no_traceback(run: Run, training: Job):
    training.act = raising(KeyboardInterrupt())
    assert run("train", "photos").code == 130


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x/model"),
            "runs/x/model: No space left on device",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "photos"), "photos: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (
            OSError("runs/x/state.pt: cannot be written (disk full)"),
            "runs/x/state.pt: cannot be written (disk full)",
        ),
    ],
)
def test_a_full_disk_is_one_line_that_names_the_file(run: Run, training: Job, error: OSError, message: str):
    training.act = raising(error)
    assert run("train", "photos").mistake == message


def test_a_fault_of_the_program_keeps_its_traceback(run: Run, training: Job):
    training.act = raising(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run("train", "photos")


def test_what_libraries_remark_does_not_reach_the_terminal(run: Run, training: Job):
    def act(call: SimpleNamespace) -> Any:
        warnings.warn("a library's remark", stacklevel=1)
        logging.getLogger("lightning_fabric").warning("another one")
        raise InputError("the end")

    training.act = act
    assert run("train", "photos").err == "longtail: error: the end\n"


def test_names_that_the_terminal_cannot_show_are_shown_escaped(run: Run, training: Job):
    training.act = raising(InputError("photos/\udcff.jpg: no image"))
    assert run("train", "photos").mistake == r"photos/\udcff.jpg: no image"


def test_the_version_is_that_of_the_package(run: Run):
    import longtail

    assert run("--version").out == f"longtail {longtail.__version__}\n"
