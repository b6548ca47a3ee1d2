"""A training of two processes, of which one or both are killed or stopped at a chosen moment.

    python benchmarks/faults.py --only ranks [--long]        the suite
    python benchmarks/rank_faults.py PLACES train DATA …     one training: what the suite starts

PLACES names ranks, signal, place and how often it is passed before, as 1:KILL:step:3 or 0,1:KILL:step:3. The
process whose turn it is sends itself the signal there. A process that is stopped stands still for good, as on
a machine that hangs.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

STRUCK = "STRUCK"
"""Variable with the file that a process writes before it sends itself the signal."""

LIMIT = 60.0
"""Seconds within which the others must have ended."""

PLACES = {
    "step": ("longtail.training.fit", "_agree"),
    "checkpoint": ("longtail.training.state", "written_aside"),
    "evaluation": ("longtail.runs.train", "judge"),
    "clustering": ("longtail.methods.lmle", "cluster_classes"),
    "caching": ("longtail.features.cache", "_save"),
}
"""Where a process may be struck: functions, as the module that calls them knows them."""


@dataclass(frozen=True)
class Strike:
    """What happens to which processes.

    Attributes:
        ranks: struck.
        signal: KILL or STOP.
        place: a key of `PLACES`.
        before: times that the place is passed.
    """

    ranks: tuple[int, ...]
    signal: str
    place: str
    before: int = 0

    @classmethod
    def read(cls, text: str) -> Strike:
        """From the command line."""
        ranks, name, place, before = text.split(":")
        return cls(tuple(map(int, ranks.split(","))), name, place, int(before))

    def __str__(self) -> str:
        return f"{','.join(map(str, self.ranks))}:{self.signal}:{self.place}:{self.before}"


def main() -> int:
    """Train, and be struck."""
    strike, *words = sys.argv[1:]
    arm(Strike.read(strike))
    from longtail.cli import main as longtail

    return longtail(words)


def arm(strike: Strike) -> None:
    """Put the strike where it belongs, if it is this process's."""
    if int(os.environ.get("LOCAL_RANK", "0")) not in strike.ranks:
        return
    module, name = PLACES[strike.place]
    real, left = getattr(import_module(module), name), [strike.before]

    def due() -> None:
        left[0] -= 1
        if left[0] < 0:
            Path(os.environ[STRUCK]).touch()
            os.kill(os.getpid(), getattr(signal, f"SIG{strike.signal}"))

    def struck(*arguments: object, **options: object) -> object:
        due()
        return real(*arguments, **options)

    @contextmanager
    def struck_within(path: Path):
        with real(path) as aside:
            yield aside
            due()  # written, and not yet in its place

    within = strike.place == "checkpoint"
    setattr(import_module(module), name, struck_within if within else struck)


@dataclass(frozen=True)
class Ended:
    """How a struck training ended.

    Attributes:
        seconds: from the signal until no process was left that runs; None where it was never sent.
        said: by all processes.
    """

    seconds: float | None
    said: str


def started(root: Path, strike: Strike, words: list[str]) -> Ended:
    """Start a training, and wait until all processes that can end have ended, or `LIMIT` is over."""
    struck, said = root / "struck", root / "said"
    struck.unlink(missing_ok=True)
    own = {**os.environ, STRUCK: str(struck), "LONGTAIL_CACHE": str(root / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), str(strike), *words]
    with said.open("w") as file:
        # a session of their own: what was stopped can be ended with it, and nothing else
        job = subprocess.Popen(command, env=own, stdout=file, stderr=file, start_new_session=True)
    try:
        while running(job.pid):
            job.poll()
            if struck.exists() and time.time() - struck.stat().st_mtime > LIMIT:
                break
            time.sleep(0.1)
        seconds = time.time() - struck.stat().st_mtime if struck.exists() else None
    finally:
        for left in members(job.pid):
            os.kill(left, signal.SIGKILL)
        job.wait()
    return Ended(seconds, said.read_text())


def members(session: int) -> list[int]:
    """Processes of a session that are not over (Linux)."""
    return [pid for pid, state in _states(session) if state != "Z"]


def running(session: int) -> list[int]:
    """Those of them that are not stopped."""
    return [pid for pid, state in _states(session) if state not in "ZT"]


def _states(session: int) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, own = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(own) == session:
            found.append((int(folder.name), state))
    return found


def strikes(chance: random.Random, *, long: bool) -> list[tuple[str, Strike]]:
    """Method and strike of each case."""
    together = [
        ("ce", Strike((0, 1), "KILL", "step", chance.randrange(1, 15))) for _ in range(21 if long else 1)
    ]
    if not long:
        return [*together, ("ce", Strike((1,), "STOP", "step", chance.randrange(1, 15)))]
    one = [
        ("ce", Strike((rank,), name, "step", chance.randrange(1, 15)))
        for rank in (0, 1)
        for name in ("KILL", "STOP")
        for _ in range(3)
    ]
    elsewhere = [
        ("ce", Strike((0,), "KILL", "checkpoint", chance.randrange(1, 4))),
        ("ce", Strike((0,), "KILL", "checkpoint", 0)),
        *[("ce", Strike((rank,), "KILL", "evaluation")) for rank in (0, 1)],
        *[("lmle", Strike((rank,), name, "clustering", 1)) for rank in (0, 1) for name in ("KILL", "STOP")],
        *[("linear", Strike((0,), "KILL", "caching", before)) for before in (0, 1)],
    ]
    return [*together, *one, *elsewhere]


def judged(
    root: Path, data: list[str], method: str, strike: Strike, differ: Callable[[Path, Path], bool]
) -> tuple[str, str | None]:
    """What happened in a case, and the fault in it, if there is one."""
    whole, run = root / f"whole-{method}", root / "struck-run"
    if not (whole / "results.json").exists():
        never = Strike((0,), "KILL", "step", 10**9)
        found = started(root, never, ["train", *data, *_of(method), "--output", str(whole)])
        if not (whole / "results.json").exists():
            return "not trained", found.said[-300:]
        shutil.rmtree(root / "cache", ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)
    found = started(root, strike, ["train", *data, *_of(method), "--output", str(run)])
    if found.seconds is None:
        return "not struck", found.said[-300:]
    if found.seconds > LIMIT:
        return "went on", f"the others went on for {LIMIT:.0f} s"
    named = [f"process {rank} of 2 is gone or stands still" in found.said for rank in strike.ranks]
    if len(strike.ranks) == 1 and not named[0]:
        return "not named", found.said[-300:]
    never = Strike((0,), "KILL", "step", 10**9)
    again = ["train", *data, *_of(method), "--output", str(run), "--resume", "auto"]
    went_on = started(root, never, again)
    if not (run / "results.json").exists():
        return "lost", went_on.said[-300:]
    if differ(run, whole):
        return "different", "ended with other weights"
    return f"ended in {10 * round(found.seconds / 10 + 0.5):.0f} s, went on to the same weights", None


def _of(method: str) -> list[str]:
    network = ["--freeze"] if method == "linear" else ["--backbone", "convnet"]
    longer = [] if method == "linear" else ["--epochs", "3", "--batch-size", "8", "--features", "8"]
    often = ["--checkpoint-every", "0.01s"]  # so that there is a state to go on from
    two = ["--devices", "2", "--accelerator", "cpu", "--quiet"]
    return ["--method", method, *network, *longer, *often, *two]


if __name__ == "__main__":
    sys.exit(main())
