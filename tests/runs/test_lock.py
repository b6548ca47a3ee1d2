"""One training at a time in a folder; the others are told who holds it."""

import os
import signal
import subprocess
import sys

import pytest

from longtail.errors import InputError
from longtail.runs.lock import RunLock
from longtail.runs.train import train

HOLD = """if True:
    import sys, time
    from pathlib import Path
    from longtail.runs.lock import RunLock
    with RunLock(Path(sys.argv[1])) as lock:
        lock.take("--output x")
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of a folder `run`."""
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run" / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_training_is_refused_with_the_name_of_the_first(config, holder, watcher):
    with pytest.raises(
        InputError, match=rf"--output .*run: is in use by a training \(process {holder.pid} on "
    ):
        train(config, watcher=watcher)
    assert not [line for line in watcher.lines if "parameters" in line], "it is said before the work"
    with pytest.raises(
        InputError, match=rf"--resume .*run: is in use by a training \(process {holder.pid} on "
    ):
        train(config, resume=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_was_killed_holds_no_lock(holder, tmp_path, number):
    os.kill(holder.pid, number)
    holder.wait()
    path = tmp_path / "run" / ".lock"
    with RunLock(path) as lock:
        lock.take("--output run")
        assert f"process {os.getpid()} on " in path.read_text()
    assert not path.exists()


def test_a_lock_that_was_removed_while_it_was_waited_for_is_made_anew(tmp_path, monkeypatch):
    opened = RunLock._opened

    def late(lock, asked):
        file = opened(lock, asked)
        monkeypatch.setattr(RunLock, "_opened", opened)
        (tmp_path / "lock").unlink()
        return file

    monkeypatch.setattr(RunLock, "_opened", late)
    with RunLock(tmp_path / "lock") as lock:
        lock.take("--output run")
        assert (tmp_path / "lock").exists()
