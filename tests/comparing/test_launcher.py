import resource
import sys
import time
from pathlib import Path

import pytest

from longtail.comparing import launcher
from longtail.comparing.launcher import LocalLauncher, claimed
from longtail.errors import InputError
from longtail.training.config import TrainConfig

CONFIG = TrainConfig(data="digits", accelerator="cpu")


def python(code):
    return [sys.executable, "-c", code]


def ended(job):
    for _ in range(400):
        if job.poll():
            return job.poll()
        time.sleep(0.02)
    raise AssertionError("it did not end")


def test_a_process_says_how_it_ended_and_what_it_wrote(tmp_path):
    local, log = LocalLauncher(1, 1, CONFIG), tmp_path / "a.log"
    job = local.start(python("import sys; print('out'); print('bad', file=sys.stderr); sys.exit(3)"), log)
    assert ended(job).code == 3
    assert (log.read_text(), (tmp_path / "a.err").read_text()) == ("out\n", "bad\n")
    assert ended(local.start(python("print('more')"), log)).code == 0  # the slot is free again
    assert (log.read_text(), (tmp_path / "a.err").read_text()) == ("out\nmore\n", "")


def test_the_peak_memory_is_that_of_the_process_itself(tmp_path):
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = own + 2**26
    big = ended(LocalLauncher(1, 1, CONFIG).start(python(f"x = b'x' * {size}"), tmp_path / "a.log"))
    small = ended(LocalLauncher(1, 1, CONFIG).start(python(""), tmp_path / "b.log"))
    assert size <= big.peak_memory_bytes < size + 2**26
    assert small.peak_memory_bytes < size


def test_a_process_is_stopped_with_those_that_it_started(tmp_path):
    log = tmp_path / "a.log"
    inner = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    job = LocalLauncher(1, 1, CONFIG).start(python(code), log)
    while not log.read_text().endswith("\n"):
        time.sleep(0.02)
    job.stop()
    assert ended(job).code == -15
    job.stop()  # of what has ended is nothing to stop
    for _ in range(100):
        if not is_running(int(log.read_text())):
            return
        time.sleep(0.02)
    raise AssertionError("the inner process outlived the outer one")


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


def test_a_process_that_does_not_listen_is_stopped_at_once(tmp_path):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    job = LocalLauncher(1, 1, CONFIG).start(python(code), tmp_path / "a.log")
    while "deaf" not in (tmp_path / "a.log").read_text():
        time.sleep(0.02)
    job.stop()
    time.sleep(0.1)
    assert job.poll() is None
    job.stop(at_once=True)
    assert ended(job).code == -9


@pytest.mark.parametrize(
    ("parallel", "cells", "slots", "threads"), [(None, 9, 8, 1), (2, 9, 2, 4), (None, 3, 3, 2), (99, 4, 4, 2)]
)
def test_cores_are_shared_out(monkeypatch, parallel, cells, slots, threads):
    monkeypatch.setattr(launcher, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    local = LocalLauncher(parallel, cells, CONFIG)
    assert local.parallel == slots
    assert local.environment(0) == {"OMP_NUM_THREADS": str(threads)}


def test_the_threads_that_the_user_asks_for_stay(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert LocalLauncher(2, 9, CONFIG).environment(0) == {"OMP_NUM_THREADS": "3"}


@pytest.mark.parametrize(
    ("parallel", "devices", "accelerator", "shares"),
    [
        (None, 1, "auto", ["4", "5", "7"]),
        (None, 2, "cuda", ["4,5"]),
        (2, 2, "auto", ["4,5", "7,4"]),
        (5, 1, "auto", ["4", "5", "7", "4", "5"]),
        (2, 1, "cpu", [None, None]),
    ],
)
def test_gpus_are_shared_out(monkeypatch, parallel, devices, accelerator, shares):
    monkeypatch.setattr(launcher, "visible_gpus", lambda: ["4", "5", "7"])
    config = TrainConfig(data="digits", accelerator=accelerator, devices=devices)
    local = LocalLauncher(parallel, 99, config)
    found = [local.environment(slot).get("CUDA_VISIBLE_DEVICES") for slot in range(local.parallel)]
    assert found == shares


def test_gpus_are_named_as_the_environment_does(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert launcher.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,6")
    assert launcher.visible_gpus() == ["3", "6"]


def test_two_comparisons_do_not_work_in_one_folder(tmp_path):
    folder = tmp_path / "new"
    with claimed(folder), pytest.raises(InputError, match="still works there"), claimed(folder):
        pass
    with claimed(folder):
        pass


def test_a_training_left_behind_keeps_the_folder(tmp_path):
    with claimed(tmp_path / "new") as lock:
        local = LocalLauncher(1, 1, CONFIG, [lock])
        job = local.start(python("import time; time.sleep(60)"), tmp_path / "a.log")
    with pytest.raises(InputError, match="training it left behind"), claimed(tmp_path / "new"):
        pass
    job.stop(at_once=True)
    ended(job)
    with claimed(tmp_path / "new"):
        pass


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds other files; choose another --output"), claimed(tmp_path):
        pass
    with pytest.raises(InputError, match="expected a folder"), claimed(tmp_path / "thesis.tex"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
