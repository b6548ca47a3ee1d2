"""A process that is gone or stands still is noticed by the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from torch.distributed import HashStore

from longtail.runs.heartbeat import GONE, Heartbeat

WAITING = """
import os, sys, time
import torch
import torch.distributed as dist
from longtail.runs import heartbeat

heartbeat.PERIOD, heartbeat.SILENCE = 0.1, 1.0
heartbeat.Heartbeat.__init__.__kwdefaults__.update(period=0.1, silence=1.0)
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=3)
heartbeat.watch_processes(rank, 3)
print("ready", flush=True)
ones = torch.ones(1)
while True:
    try:
        dist.all_reduce(ones)
    except RuntimeError:  # the connection of a killed process is broken at once
        time.sleep(60)
    time.sleep(0.01)
"""


def beating(store, rank, world, lost, **times):
    found = Heartbeat(store, rank, world, lost.append, period=0.02, silence=0.3)
    found.start()
    return found


def test_the_one_that_is_silent_is_named_once():
    store, lost = HashStore(), []
    first, second = (beating(store, rank, 3, lost) for rank in (0, 1))
    for thread in (first, second):  # nobody beats for the third
        thread.wait(5)
    assert lost == [2, 2], "each names it, once"


def test_nobody_is_named_while_all_are_alive_or_when_the_job_is_over():
    store, lost = HashStore(), []
    both = [beating(store, rank, 2, lost) for rank in (0, 1)]
    time.sleep(0.6)
    assert lost == []
    both[0].stop()
    both[1].stop()
    time.sleep(0.6)
    assert lost == []


def test_a_store_that_is_gone_is_its_holder_that_is_gone():
    class Broken:
        def add(self, *_):
            raise RuntimeError("Connection reset by peer")

    lost = []
    Heartbeat(Broken(), 1, 2, lost.append, period=0.01, silence=0.1).start()
    time.sleep(0.5)
    assert lost == [0]


@pytest.mark.parametrize(("number", "blow"), [(0, "SIGKILL"), (0, "SIGSTOP"), (2, "SIGKILL"), (1, "SIGSTOP")])
def test_all_end_with_a_line_that_names_it(tmp_path, number, blow):
    words = [sys.executable, "-c", WAITING]
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        outputs = [stack.enter_context((tmp_path / str(rank)).open("w+")) for rank in range(3)]
        all_ = [
            subprocess.Popen(
                [*words, str(rank), str(tmp_path / "meet")], stdout=output, stderr=output, text=True, env=own
            )
            for rank, output in enumerate(outputs)
        ]
        for process in all_:
            stack.callback(process.wait)
            stack.callback(process.kill)
        while not all("ready" in (tmp_path / str(rank)).read_text() for rank in range(3)):
            assert all(process.poll() is None for process in all_)
            time.sleep(0.1)
        all_[number].send_signal(getattr(signal, blow))
        others = [rank for rank in range(3) if rank != number]
        assert [all_[rank].wait(timeout=30) for rank in others] == [GONE, GONE]
    for rank in others:
        assert f"process {number} of 3 is gone or stands still" in (tmp_path / str(rank)).read_text()
