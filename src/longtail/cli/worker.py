"""A process that trains cells one after another, so that what all of them import is paid for once.

Orders come in on standard input and replies go out on standard output, one line of JSON each; the process
ends when there is nobody left to give orders.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from longtail.cli import main as longtail
from longtail.comparing.workers import Order, Reply

_OUTPUT, _ERRORS = 1, 2
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # see proc(5)


def main() -> None:
    """Carry out orders until there are no more."""
    # trainings find an empty input, and an output that is not ours
    orders, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(_OUTPUT), "wb", buffering=0)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(_ERRORS, _OUTPUT)
    with orders, replies, suppress(BrokenPipeError):
        for line in orders:
            replies.write(msgspec.json.encode(carry_out(msgspec.json.decode(line, type=Order))) + b"\n")


def carry_out(order: Order) -> Reply:
    """Run the command line of an order in this process."""
    forgotten = _forget_peak()
    with written_to(Path(order.log)):
        code = _run(order.arguments)
    return Reply(code, _peak() if forgotten else None)


@contextmanager
def written_to(log: Path) -> Generator[None]:
    """Standard output is added to `log`; standard error replaces the file of the same name with .err."""
    before = [os.dup(number) for number in (_OUTPUT, _ERRORS)]
    try:
        with log.open("ab") as output, log.with_suffix(".err").open("wb") as errors:
            os.dup2(output.fileno(), _OUTPUT)
            os.dup2(errors.fileno(), _ERRORS)
            try:
                yield
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
    finally:
        for number, own in zip((_OUTPUT, _ERRORS), before, strict=True):
            os.dup2(own, number)
            os.close(own)


def _run(arguments: Sequence[str]) -> int:
    try:
        return longtail(arguments)
    except Exception:  # what a process of its own would have ended with
        traceback.print_exc()
        return 1


def _forget_peak() -> bool:
    """Give back what the command before left free, and begin to measure anew; whether that can be done."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is None:
        return False
    trim(0)
    try:
        _FORGET.write_text(_FORGET_PEAK)
    except OSError:
        return False
    return True


def _peak() -> int | None:
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    return None if found is None else int(found[1]) * 1024


if __name__ == "__main__":
    main()
