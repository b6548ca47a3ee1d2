import json
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

from longtail.comparing import queue as queue_module
from longtail.comparing.cells import cell_of, entry_of
from longtail.comparing.queue import Queue, judged_validation, keep_cost, last_words, peak_memory
from longtail.errors import InputError, Interrupted
from longtail.evaluation.metrics import Metrics
from longtail.runs.origin import DataMarks, start_mark
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.record import EPOCHS, EpochRecord

from .comparing import Listening, Scripted, ScriptedLauncher

BASE = TrainConfig(data="digits", epochs=2)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(queue_module, "PAUSE", 0)
    monkeypatch.setattr(queue_module, "_achieved", lambda run: "good")


def cells(tmp_path, number):
    config = entry_of("ce", BASE).config
    return [cell_of("ce", config, tmp_path / "runs", seed) for seed in range(number)]


def finish(path):
    path.mkdir(parents=True, exist_ok=True)
    (path / "results.json").touch()


def finishing(looks=2):
    """Jobs whose run is finished from the start."""

    def make(command, log):
        config = json.loads(log.with_suffix(".json").read_text())
        path = log.parent.parent / "runs" / f"ce-seed{config['seed']}"
        path.mkdir(parents=True)
        (path / "config.json").write_text(json.dumps(config))
        (path / "metrics.jsonl").write_text("{}\n{}\n")
        finish(path)
        return Scripted(looks=looks)

    return make


def test_all_cells_are_trained_and_never_more_at_a_time_than_allowed(tmp_path):
    running = []

    def make(command, log):
        job = finishing(looks=3)(command, log)
        running.append(sum(other.looks > 0 for other in launcher.jobs) + 1)
        return job

    launcher, watcher = ScriptedLauncher(make, parallel=2), Listening()
    assert Queue(tmp_path, launcher, watcher).run(cells(tmp_path, 5)) == {}
    assert (len(launcher.commands), max(running)) == (5, 2)
    assert [line.split("  ")[0].split(",")[0] for line in watcher.lines] == [
        f"{n}/5 runs" for n in range(1, 6)
    ]
    assert watcher.shares[-1][1:] == (10, 10)
    assert all(peak_memory(cell.path) == 1000 for cell in cells(tmp_path, 5))


def test_the_time_left_counts_trainings_since_their_epochs_differ(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(queue_module, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None))

    def make(command, log):
        job = finishing(looks=1)(command, log)
        config = json.loads(log.with_suffix(".json").read_text())
        path = log.parent.parent / "runs" / f"ce-seed{config['seed']}"
        (path / "metrics.jsonl").write_text("{}\n" * config["epochs"])
        now[0] += 10.0
        return job

    some = cells(tmp_path, 4)
    some[1] = replace(some[1], config=replace(some[1].config, epochs=100))
    watcher = Listening()
    Queue(tmp_path, ScriptedLauncher(make, parallel=1), watcher).run(some)
    assert [line.split("  ")[0] for line in watcher.lines] == [
        "1/4 runs, 0:30 left",
        "2/4 runs, 0:20 left",
        "3/4 runs, 0:10 left",
        "4/4 runs",
    ]
    assert watcher.shares[-1][1:] == (106, 106)


def test_the_time_left_counts_what_runs_and_not_what_was_done_before(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(queue_module, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None))
    first, second = cells(tmp_path, 2)
    for path in (first.path, second.path):
        path.mkdir(parents=True)
        (path / "metrics.jsonl").write_text("{}\n")
    pace = queue_module._Pace("runs", [first, second], [first, second])
    now[0] = 5.0
    (first.path / "metrics.jsonl").write_text("{}\n{}\n")
    # half a training in 5 s; half a training is left
    assert pace.progress([first, second]) == ("2 runs, epochs, 0:05 left", 3, 4)
    # one that waits for its turn has done no less by that
    assert pace.progress([first]) == ("1 run, epochs, 0:05 left", 3, 4)
    now[0] = 10.0
    pace.end([first, second])
    assert pace.progress([]) == ("0 runs, epochs", 3, 4)


def test_what_is_finished_is_not_started_again(tmp_path):
    launcher = ScriptedLauncher(finishing())
    Queue(tmp_path, launcher, Listening()).run(cells(tmp_path, 2))
    watcher = Listening()
    Queue(tmp_path, launcher, watcher).run(cells(tmp_path, 3))
    assert len(launcher.commands) == 3
    assert watcher.lines[0].startswith("3/3 runs")


def test_a_failed_cell_says_why_and_does_not_stop_the_rest(tmp_path):
    def make(command, log):
        if "seed1" in log.name:
            log.with_suffix(".err").write_text("Traceback\n  line\nRuntimeError: no luck\n\n")
            return Scripted(code=1)
        return finishing()(command, log)

    watcher, (first, second, third) = Listening(), cells(tmp_path, 3)
    launcher = ScriptedLauncher(make, parallel=1)
    assert Queue(tmp_path, launcher, watcher).run([first, second, third]) == {second: "RuntimeError: no luck"}
    assert len(launcher.commands) == 3
    assert any(line.endswith("ce, seed 1: RuntimeError: no luck") for line in watcher.lines)


def failing(words, but=()):
    """Jobs that fail in these words, except those whose log has one of the names."""

    def make(command, log):
        if any(name in log.name for name in but):
            return finishing()(command, log)
        log.with_suffix(".err").write_text(words.format(log.stem))
        return Scripted(code=1)

    return make


def test_where_the_first_cells_fail_alike_the_rest_is_not_tried(tmp_path):
    launcher = ScriptedLauncher(failing("error: no room left"), parallel=1)
    with pytest.raises(InputError, match="first 3 runs failed alike, the rest is not tried: no room left"):
        Queue(tmp_path, launcher, Listening()).run(cells(tmp_path, 9))
    assert len(launcher.commands) == 3


def test_what_finished_before_is_not_lost_where_a_later_stage_fails_alike(tmp_path):
    launcher, watcher = ScriptedLauncher(finishing(), parallel=1), Listening()
    queue = Queue(tmp_path, launcher, watcher)
    assert queue.run(cells(tmp_path, 2)) == {}
    config = entry_of("crl", BASE).config
    later = [cell_of("crl", config, tmp_path / "runs", seed) for seed in range(5)]
    launcher.make = failing("error: no room left")
    failed = queue.run(later)
    assert set(failed) == set(later)
    assert len(launcher.commands) == 2 + 3
    assert failed[later[-1]] == "the first 3 runs failed alike, the rest is not tried: no room left"


MARKS = {"images": 3, "ids": "i", "labels": "l", "tags": "t", "content": "c"}


def begun(cell, **changes):
    """A finished cell, and what it began with."""
    finish(cell.path)
    (cell.path / "config.json").write_text(CONFIG.encode(cell.config))
    (cell.path / "origin.json").write_text(json.dumps({**MARKS, "config": "", "splits": "", **changes}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": "other"}, "labels or classes changed since it was trained; --overwrite replaces it"),
        ({"images": 2, "ids": "other"}, r"the images \(3, were 2\) changed"),
    ],
)
def test_a_finished_cell_of_other_data_is_replaced_only_when_asked(tmp_path, changes, words):
    known, other = cells(tmp_path, 2)
    begun(known)
    begun(other, **changes)
    launcher, now = ScriptedLauncher(lambda command, log: Scripted()), DataMarks(**MARKS)
    assert Queue(tmp_path, launcher, Listening()).run([known, other]) == {}
    with pytest.raises(InputError, match=words):
        Queue(tmp_path, launcher, Listening(), marks=now).run([known, other])
    assert other.state(overwrite=False) == "finished"
    Queue(tmp_path, launcher, Listening(), overwrite=True, marks=now).run([known, other])
    assert [command[-1] for command in launcher.commands] == ["--overwrite"]


def test_a_second_stage_is_not_kept_when_its_first_stage_was_trained_again(tmp_path):
    (first,) = cells(tmp_path, 1)
    finish(first.path)
    (first.path / "model.safetensors").write_bytes(b"one")
    config = replace(entry_of("ce+crt", BASE).config, start=str(first.path))
    second = cell_of("ce+crt", config, tmp_path / "runs", 0)
    begun(second, start=start_mark(str(first.path)))
    launcher = ScriptedLauncher(lambda command, log: Scripted())
    assert Queue(tmp_path, launcher, Listening()).run([second]) == {}
    (first.path / "model.safetensors").write_bytes(b"another")
    with pytest.raises(InputError, match="the run that it goes on from, ce-seed0, changed since it was"):
        Queue(tmp_path, launcher, Listening()).run([second])
    assert launcher.commands == []
    Queue(tmp_path, launcher, Listening(), overwrite=True).run([second])
    assert len(launcher.commands) == 1


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (failing("error: no room left"), 3),  # nothing is left to try
        (failing("error: {}"), 9),  # each in words of its own
        (failing("error: no room left", but=["seed0"]), 9),  # one went well
    ],
)
def test_otherwise_all_are_tried(tmp_path, make, number):
    launcher = ScriptedLauncher(make, parallel=1)
    Queue(tmp_path, launcher, Listening()).run(cells(tmp_path, number))
    assert len(launcher.commands) == number


def test_a_method_that_fails_does_not_stop_another(tmp_path):
    config = entry_of("crl", BASE).config
    other = [cell_of("crl", config, tmp_path / "runs", seed) for seed in range(2)]
    launcher = ScriptedLauncher(failing("error: no room left"), parallel=1)
    with pytest.raises(InputError, match="the first 5 runs failed alike"):
        Queue(tmp_path, launcher, Listening()).run([*cells(tmp_path, 4), *other])


def test_a_run_that_ends_well_without_results_has_failed(tmp_path):
    (cell,) = cells(tmp_path, 1)
    failed = Queue(tmp_path, ScriptedLauncher(lambda command, log: Scripted()), Listening()).run([cell])
    assert failed[cell].startswith("there was no image to evaluate on")


def test_nothing_runs_when_one_cell_may_not_be_trained(tmp_path):
    some = cells(tmp_path, 2)
    some[1].path.mkdir(parents=True)
    (some[1].path / "thesis.tex").touch()
    launcher = ScriptedLauncher(finishing())
    with pytest.raises(InputError, match="ce-seed1: the folder holds other files"):
        Queue(tmp_path, launcher, Listening()).run(some)
    assert launcher.commands == []


def interrupting(times):
    """Jobs that go on until they are stopped; looking at them presses Ctrl-C."""
    left = [times]

    def press():
        if left[0]:
            left[0] -= 1
            os.kill(os.getpid(), signal.SIGINT)

    return lambda command, log: Scripted(looks=10**6, on_look=press, obeys=times == 1)


def test_ctrl_c_lets_every_training_end_in_its_own_way(tmp_path):
    launcher = ScriptedLauncher(interrupting(1))
    with pytest.raises(Interrupted, match=r"stopped, 0 of 3 runs are done.*the same command goes on"):
        Queue(tmp_path, launcher, Listening()).run(cells(tmp_path, 3))
    assert [job.stopped for job in launcher.jobs] == [[False], [False]]


def test_a_second_ctrl_c_stops_them_at_once(tmp_path):
    launcher = ScriptedLauncher(interrupting(2), parallel=1)
    with pytest.raises(Interrupted):
        Queue(tmp_path, launcher, Listening()).run(cells(tmp_path, 3))
    assert [job.stopped for job in launcher.jobs] == [[False, True]]


def test_no_training_outlives_a_fault_of_ours(tmp_path):
    launcher = ScriptedLauncher(lambda command, log: Scripted(looks=10**6))

    class Broken(Listening):
        def progress(self, task, done, total):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Queue(tmp_path, launcher, Broken()).run(cells(tmp_path, 2))
    assert all(job.stopped == [False] for job in launcher.jobs)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("longtail: error: no such file\n", 2, "no such file"),
        ("a\n  CUDA out of memory  \n\n", 1, "CUDA out of memory"),
        ("", 3, "ended with exit code 3 and without a word"),
        ("a\n", -11, "ended by signal 11"),
        (
            "a\n",
            -9,
            "killed (signal 9), perhaps for want of memory; try a smaller --parallel or --batch-size",
        ),
        (None, 1, "ended with exit code 1 and without a word"),
    ],
)
def test_the_last_words_of_a_process(tmp_path, text, code, words):
    if text is not None:
        (tmp_path / "a.err").write_text(text)
    assert last_words(tmp_path / "a.err", code) == words


def test_the_larger_peak_of_a_resumed_run_counts(tmp_path):
    keep_cost(tmp_path, 5)
    assert peak_memory(tmp_path) is None  # no run there
    (tmp_path / "config.json").touch()
    for peak, kept in ((None, None), (5, 5), (7, 7), (6, 7), (None, 7)):
        keep_cost(tmp_path, peak)
        assert peak_memory(tmp_path) == kept


def epoch(number, balanced):
    """What is known of an epoch, with a class-balanced accuracy on validation images or without them."""
    validation = None if balanced is None else Metrics(balanced, 0.5, 0.5, 0.5, None, None, None)
    return EpochRecord(
        epoch=number,
        step=number,
        learning_rate=0.1,
        seconds=1.0,
        images_per_second=1.0,
        input_wait_share=0.0,
        loss={"total": 1.0},
        validation=validation,
    )


def test_the_judged_validation_is_the_one_that_counts(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    EPOCHS.write_lines(metrics, [epoch(1, 0.9), epoch(2, 0.4)])
    for keep, value in (("last", 0.4), ("best", 0.9)):
        CONFIG.write(tmp_path / "config.json", TrainConfig(data="digits", keep=keep))
        assert judged_validation(tmp_path) == value
    EPOCHS.write_lines(metrics, [epoch(1, None)])
    assert judged_validation(tmp_path) is None
    metrics.unlink()
    with pytest.raises(InputError, match=r"no epochs in metrics\.jsonl"):
        judged_validation(tmp_path)
    metrics.write_text("{}\n")
    with pytest.raises(InputError, match=r"metrics.jsonl, line 1: not valid records of epochs"):
        judged_validation(tmp_path)
