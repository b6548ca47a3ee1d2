"""What all benchmarks share: taking turns, medians and quartiles, and one form of the results.

A benchmark measures *cases* (a shape, a data set), in each of them several *contenders*, of which "ours" is
one. Contenders take turns in one process, so that what else the machine does hits all of them alike; what is
read is how many times as long another takes as ours.
"""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import UNSET, Meta, UnsetType, convert

from longtail.documents import Part

Json = dict[str, Any]

OURS = "ours"
SHORTEST = 0.05
"""Seconds that a turn takes about: what is faster is repeated in it. A turn begins with cold caches."""

Positive = Annotated[float, Meta(gt=0)]
Number = Annotated[int, Meta(ge=1)]


class Machine(Part, frozen=True):
    """What it ran on."""

    processor: str
    cores: Number
    threads: Number
    gpu: str | None


class Quartiles(Part, frozen=True):
    """Seconds of one call."""

    lower: Positive
    median: Positive
    upper: Positive


class Case(Part, frozen=True):
    """One shape or data set; by contender the seconds, how many times as long as ours, memory, or why not."""

    name: str
    seconds: dict[str, Quartiles]
    ratios: dict[str, Positive]
    bytes: dict[str, int] | UnsetType = UNSET
    failed: dict[str, str] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if OURS not in self.seconds:
            raise ValueError(f"seconds: expected those of {OURS!r}, got {', '.join(self.seconds)}")


class Document(Part, frozen=True):
    """What a benchmark writes."""

    benchmark: str
    command: str
    machine: Machine
    versions: dict[str, str]
    seed: int
    repeats: Number
    cases: tuple[Case, ...]


def take_turns(
    contenders: Mapping[str, Callable[[], object]], repeats: int, shortest: float = SHORTEST
) -> dict[str, list[float]]:
    """Seconds of one call of every contender, `repeats` times, after a call that warms up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    calls = dict.fromkeys(contenders, 1)
    for name, run in contenders.items():
        if _seconds(run, 1) < 1:  # a first call does more than others: of fast ones the second counts
            calls[name] = max(1, math.ceil(shortest / _seconds(run, 1)))
    for _ in range(repeats):
        for name, run in contenders.items():
            times[name].append(_seconds(run, calls[name]))
    return times


def _seconds(run: Callable[[], object], calls: int) -> float:
    gc.collect()
    _wait()
    began = time.perf_counter()
    for _ in range(calls):
        run()
    _wait()
    return (time.perf_counter() - began) / calls


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def case(name: str, times: Mapping[str, Sequence[float]], **facts: Any) -> Json:
    """A case of the results: seconds of every contender, and how many times as long as ours each takes.

    Args:
        name: unlike that of any other case.
        times: of the contenders, turn by turn.
        facts: more numbers of the case, as bytes.
    """
    ours = times[OURS]
    ratios = {
        other: statistics.median(theirs / own for theirs, own in zip(values, ours, strict=True))
        for other, values in times.items()
        if other != OURS
    }
    return {"name": name, "seconds": {n: _summary(v) for n, v in times.items()}, "ratios": ratios, **facts}


def _summary(values: Sequence[float]) -> Json:
    ordered = sorted(values)
    quartiles = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    return {"lower": quartiles[0], "median": quartiles[1], "upper": quartiles[2]}


def peak_bytes(run: Callable[[], object]) -> int:
    """Most memory that tensors of this process hold at a time during a call, beyond what they held before.

    On a CPU torch's profiler tells every allocation, and the most that numpy and Python hold in a second call
    is added; on a GPU its allocator keeps the peak. What was held before and is freed within counts as
    negative: clear old gradients first.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        _wait()
        return torch.cuda.max_memory_allocated() - before
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    held = peak = 0
    changes = (e for e in found.profiler.kineto_results.events() if e.name() == "[memory]")
    for event in sorted(changes, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    tracemalloc.start()
    run()
    beside = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak + beside


class ResidentPeak:
    """The largest resident memory of this process within a `with` block, beyond that at its start."""

    def __enter__(self) -> ResidentPeak:
        self.bytes = 0
        self._before, self._over = resident_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.bytes = max(self.bytes, resident_bytes() - self._before)


def resident_bytes() -> int:
    """Memory that this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def results(benchmark: str, command: str, cases: Sequence[Json], repeats: int, seed: int = 0) -> Json:
    """The document of a benchmark.

    Args:
        benchmark: its name, that of its file.
        command: which makes it again.
        cases: see `case`.
        repeats: turns of every contender.
        seed: of random inputs.
    """
    names = ("torch", "numpy", "pillow", "pytorch-metric-learning", "torchvision")
    versions = {name: found for name in names if (found := _version(name)) is not None}
    return {
        "benchmark": benchmark,
        "command": command,
        "machine": {
            "processor": platform.machine(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {"python": platform.python_version(), **versions},
        "seed": seed,
        "repeats": repeats,
        "cases": list(cases),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(path: Path, document: Json) -> None:
    """Write what fits `Document`, aside first, then renamed."""
    convert(document, Document)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)


def show(document: Json) -> None:
    """One line for every case: ours in milliseconds, the others as multiples of it."""
    for found in document["cases"]:
        ours = found["seconds"][OURS]["median"]
        others = ", ".join(f"{name} {ratio:.3g} x" for name, ratio in found["ratios"].items())
        print(f"{found['name']}: ours {1000 * ours:.3g} ms; {others}")
