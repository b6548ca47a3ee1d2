"""Work in threads, for what waits for files or gives the interpreter back while it computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

BLOCK = 64
"""Items that one thread works on before it takes others."""

Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(work: Callable[[int], T], total: int, on_progress: Progress | None = None) -> Iterator[T]:
    """What `work` gives for 0 … total - 1, in this order, in as many threads as there are cores.

    Who stops early waits for the blocks at work, not for all that follow.

    Example:
        >>> [*each(abs, 3)]
        [0, 1, 2]
    """
    blocks = [range(start, min(start + BLOCK, total)) for start in range(0, total, BLOCK)]

    def done(block: range) -> list[T]:
        return [work(item) for item in block]

    pool = ThreadPoolExecutor(cores())
    try:
        for block, results in zip(blocks, pool.map(done, blocks)):
            yield from results
            if on_progress is not None:
                on_progress(block.stop, total)
    finally:
        pool.shutdown(cancel_futures=True)
