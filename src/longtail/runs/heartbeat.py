"""Processes that wait for each other notice when one of them is gone or stands still.

A process that was killed breaks the connections of the others, which then end with an error that does not
name it. One that was stopped, or whose machine is gone, breaks nothing: the others would wait for ever.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from subprocess import Popen
from typing import NoReturn

from torch.distributed import Store, TCPStore, broadcast_object_list  # pyright: ignore[reportPrivateImportUsage]

PERIOD = 2.0
"""Seconds between two signs of life."""

SILENCE = 30.0
"""Seconds without one after which a process counts as gone."""

GONE = 75
"""Exit code of the processes that are left: the job failed, starting it again may help."""


class Heartbeat:
    """Signs of life of all processes of a job: a thread of each gives and reads them, another looks at them.

    The first process holds the store. Where it stands still, calls to the store never return.

    Args:
        store: that all processes share.
        rank: of this process.
        world: how many there are.
        lost: called once with the number of a process that is gone.
        period: seconds between two signs.
        silence: seconds without one that are too many.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        world: int,
        lost: Callable[[int], None],
        *,
        period: float = PERIOD,
        silence: float = SILENCE,
    ) -> None:
        self._store, self._rank, self._world, self._lost = store, rank, world, lost
        self._period, self._silence = period, silence
        self._over = threading.Event()
        self._beats = [0] * world
        self._heard = [time.monotonic()] * world
        self._threads = [threading.Thread(target=act, daemon=True) for act in (self._beat, self._watch)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """The job is over: silence means nothing any more."""
        self._over.set()

    def wait(self, seconds: float) -> None:
        """Give it time to find out who is gone."""
        self._threads[-1].join(seconds)

    def _beat(self) -> None:
        while not self._over.wait(self._period):
            for rank in range(self._world):
                try:
                    found = self._store.add(f"beat {rank}", int(rank == self._rank))
                except (RuntimeError, OSError):
                    break  # with its holder, who is then not heard of any more
                if found != self._beats[rank]:
                    self._beats[rank], self._heard[rank] = found, time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(self._period):
            # whoever has lost the store is soon not heard of by itself either
            if not any(self._silent()) or self._over.wait(2 * self._period):
                continue
            silent = self._silent()
            if any(silent):
                self._lost(0 if silent[self._rank] else silent.index(True))
                return

    def _silent(self) -> list[bool]:
        return [time.monotonic() - heard > self._silence for heard in self._heard]


@dataclass(frozen=True, eq=False)
class Company:
    """The processes of a job, as one of them sees them.

    Attributes:
        rank: of this one.
        world: how many there are.
        children: those that this process started, number 1 first.
        heartbeat: of all.
    """

    rank: int
    world: int
    children: Sequence[Popen[bytes]]
    heartbeat: Heartbeat

    def explain(self, error: RuntimeError) -> None:
        """Where the connection to another process broke, end with a line that names it; else do nothing."""
        if not any(word in str(error) for word in ("Connection", "gloo", "NCCL", "Socket")):
            return
        for _ in range(10):  # whoever started the processes would be killed before the heartbeat tells
            ended = [number for number, child in enumerate(self.children, 1) if child.poll()]
            if ended:
                leave(self.rank, self.world, ended[0], self.children)
            time.sleep(0.1)
        self.heartbeat.wait(2 * SILENCE)


def watch_processes(rank: int, world: int, children: Sequence[Popen[bytes]] = ()) -> Company:
    """Watch over all processes of a job, and end this one when another is gone.

    Args:
        rank: of this process.
        world: how many there are.
        children: those that this process started.
    """
    host = os.environ.get("MASTER_ADDR", "127.0.0.1")
    limit = timedelta(seconds=SILENCE / 2)
    port, store = [0], None
    if rank == 0:
        store = TCPStore(host, 0, is_master=True, timeout=limit, wait_for_workers=False)
        port = [store.port]
    broadcast_object_list(port)
    store = store or TCPStore(host, port[0], is_master=False, timeout=limit, wait_for_workers=False)
    found = Heartbeat(store, rank, world, lambda gone: leave(rank, world, gone, children))
    found.start()
    atexit.register(found.stop)
    return Company(rank, world, children, found)


def leave(rank: int, world: int, gone: int, children: Sequence[Popen[bytes]]) -> NoReturn:
    """Say which process is gone, and end this one and its children, whatever their threads wait for."""
    print(
        f"longtail: error: process {gone} of {world} is gone or stands still; process {rank} ends too. If it "
        "says nothing itself, it was killed, stopped or ran out of memory; --resume goes on",
        file=sys.stderr,
        flush=True,
    )
    for child in children:
        child.kill()
    os._exit(GONE)
