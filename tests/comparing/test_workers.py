"""Workers as the launcher sees them; test_compare.py has a real one."""

import json
import os
import signal
import sys
import time

import pytest

from longtail.comparing import workers
from longtail.comparing.cells import PROGRAM
from longtail.comparing.launcher import Ended, LocalLauncher
from longtail.comparing.workers import WorkerLauncher
from longtail.training.config import TrainConfig

CONFIG = TrainConfig(data="digits", accelerator="cpu")

FAKE = """
import json, os, sys, time
print("began", file=sys.stderr, flush=True)
for line in sys.stdin:
    order = json.loads(line)
    exec(order["arguments"][0])
    with open(order["log"], "a") as log:
        log.write(f"{os.getpid()} {order['arguments'][0]}\\n")
    print(json.dumps({"code": code, "peak_memory_bytes": 5}), flush=True)
"""


@pytest.fixture
def launcher(monkeypatch):
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", FAKE))
    launcher = WorkerLauncher(LocalLauncher(2, 9, CONFIG))
    yield launcher
    launcher.close()


def ended(job):
    for _ in range(400):
        if job.poll():
            return job.poll()
        time.sleep(0.01)
    raise AssertionError("it did not end")


def started(launcher, code, log):
    return launcher.start([*PROGRAM, code], log)


def process_of(job):
    return job.worker.job.process.pid


def test_trainings_take_turns_in_as_many_processes_as_run_at_a_time(launcher, tmp_path):
    first, second = (started(launcher, "code = 0", tmp_path / f"{n}.log") for n in "ab")
    assert ended(first) == ended(second) == Ended(0, 5)
    third, fourth = (started(launcher, "code = 0", tmp_path / f"{n}.log") for n in "cd")
    assert process_of(first) != process_of(second)
    assert {process_of(third), process_of(fourth)} == {process_of(first), process_of(second)}
    assert ended(third).code == ended(fourth).code == 0
    assert (tmp_path / "c.log").read_text() == f"{process_of(third)} code = 0\n"


def test_a_training_that_failed_leaves_its_process_to_nobody(launcher, tmp_path):
    failed = started(launcher, "code = 2", tmp_path / "a.log")
    assert ended(failed).code == 2
    after = started(launcher, "code = 0", tmp_path / "b.log")
    assert ended(after).code == 0
    assert process_of(after) != process_of(failed)
    with pytest.raises(ProcessLookupError):
        os.kill(process_of(failed), 0)


def test_a_process_that_dies_fails_its_training_alone(launcher, tmp_path):
    dead = started(launcher, "os.kill(os.getpid(), 9)", tmp_path / "a.log")
    other = started(launcher, "code = 0", tmp_path / "b.log")
    assert (ended(dead).code, ended(other).code) == (-9, 0)
    assert ended(started(launcher, "code = 0", tmp_path / "c.log")).code == 0


def test_a_process_that_died_between_two_trainings_is_replaced(launcher, tmp_path):
    before = started(launcher, "code = 0", tmp_path / "a.log")
    ended(before)
    os.kill(process_of(before), signal.SIGKILL)
    while before.worker.job.poll() is None:
        time.sleep(0.01)
    assert ended(started(launcher, "code = 0", tmp_path / "b.log")).code == 0


def test_what_a_process_said_before_it_died_counts(launcher, tmp_path):
    code = 'print(json.dumps({"code": 0, "peak_memory_bytes": 7}), flush=True); os._exit(3)'
    job = started(launcher, code, tmp_path / "a.log")
    while job.worker.job.poll() is None:
        time.sleep(0.01)
    assert ended(job) == Ended(0, 7)


def test_a_process_that_cannot_begin_says_why_in_the_place_of_the_training(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", "raise ImportError('no torch')"))
    launcher = WorkerLauncher(LocalLauncher(1, 1, CONFIG))
    job = started(launcher, "", tmp_path / "a.log")
    assert ended(job).code == 1
    assert (tmp_path / "a.err").read_text().endswith("ImportError: no torch\n")
    launcher.close()


def test_a_training_is_asked_to_end_or_ended_at_once(launcher, tmp_path):
    asked = "import signal; signal.signal(15, lambda *_: None); open('{}', 'w').close(); time.sleep(60)"
    jobs = [started(launcher, asked.format(tmp_path / n), tmp_path / f"{n}.log") for n in "ab"]
    while not all((tmp_path / n).exists() for n in "ab"):
        time.sleep(0.01)
    jobs[0].stop()
    time.sleep(0.05)
    assert jobs[0].poll() is None
    jobs[0].stop(at_once=True)
    assert ended(jobs[0]).code == -9
    jobs[0].stop()  # of what has ended is nothing to stop
    launcher.close()
    assert ended(jobs[1]).code == -9


def test_the_log_is_that_of_the_training(launcher, tmp_path):
    ended(started(launcher, "code = 0", tmp_path / "a.log"))
    assert json.loads(f'"{(tmp_path / "a.err").read_text().strip()}"') == "began"
    with pytest.raises(ValueError, match="expected a command of longtail"):
        launcher.start(["rm"], tmp_path / "a.log")
