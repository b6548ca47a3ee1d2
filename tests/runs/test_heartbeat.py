"""A process that is gone or stands still is noticed by the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import ExitStack, suppress

import pytest
import torch
import torch.distributed as dist
from torch.distributed import HashStore

from longtail.runs import heartbeat
from longtail.runs.heartbeat import GONE, Heartbeat

from ..together import METHOD

WORLD = 3


def waiting(rank, folder):
    """What a process does whose only company are two others."""
    out = os.open(folder / str(rank), os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    torch.set_num_threads(1)
    heartbeat.PERIOD, heartbeat.SILENCE = 0.1, 1.0
    Heartbeat.__init__.__kwdefaults__.update(period=0.1, silence=1.0)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=WORLD)
    heartbeat.watch_processes(rank, WORLD)
    (folder / f"{rank}-ready").touch()
    while True:
        with suppress(RuntimeError):  # the connection of a killed process is broken at once
            dist.all_reduce(torch.ones(1))
        time.sleep(0.01)


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
    beginning = multiprocessing.get_context(METHOD)
    all_ = [beginning.Process(target=waiting, args=(rank, tmp_path)) for rank in range(WORLD)]
    with ExitStack() as stack:
        for process in all_:
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
        while not all((tmp_path / f"{rank}-ready").exists() for rank in range(WORLD)):
            assert all(process.is_alive() for process in all_)
            time.sleep(0.05)
        os.kill(all_[number].pid, getattr(signal, blow))
        others = [rank for rank in range(WORLD) if rank != number]
        for rank in others:
            all_[rank].join(30)
        assert [all_[rank].exitcode for rank in others] == [GONE, GONE]
    for rank in others:
        assert f"process {number} of 3 is gone or stands still" in (tmp_path / str(rank)).read_text()
