"""The command line: which commands there are, and how a mistake ends.

What a command needs is imported when it is called: `longtail --version` and `--help` answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from longtail import __version__
from longtail.errors import Incomplete, InputError, Interrupted, Terminated, Unfinished
from longtail.words import shown

INCOMPLETE, MISTAKE, UNFINISHED, INTERRUPTED, BROKEN_PIPE, TERMINATED = 1, 2, 3, 130, 141, 143
"""Exit codes; what nobody foresaw keeps its traceback and Python's code 1."""

NO_MEMORY = "the machine ran out of memory; close other programs, or try smaller images or batches"

HELP, HELP_ALL = ("--help", "-h"), "--help-all"

COMMANDS = {
    "train": "Train on a data set, evaluate on its test images, and write a report.",
    "compare": "Train several methods on the same data with paired seeds, and compare them.",
    "evaluate": "Evaluate a trained model and show the results per class.",
    "predict": "Classify images with a trained model.",
    "export": "Export a trained model as one file that decides like longtail predict.",
    "diagnose": "Report on a data set before you train on it.",
    "cache": "List the image features that are cached on disk, or remove them.",
    "methods": "List the methods to train with, the decisions, and the backbones.",
    "data": "List the built-in data sets and the supported data layouts.",
}
"""The commands; `longtail.cli.parsing.Command` knows the rest of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default that of the process, and return the exit code.

    It is 0, 1 for what was done in part, 2 for a mistake in what was given, 3 for what was done with the
    model of a training that is not finished, 130 when stopped by Ctrl-C, 143 by SIGTERM.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as services do
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    try:
        with _terminated():
            _run(tokens)
        sys.stdout.flush()
    except InputError as error:
        return _failed(str(error))
    except Incomplete as found:
        print(f"longtail: {shown(str(found))}", file=sys.stderr)
        return INCOMPLETE
    except Unfinished as found:
        print(f"longtail: {found}", file=sys.stderr)
        return UNFINISHED
    except Interrupted as stopped:
        print(f"longtail: {stopped}", file=sys.stderr)
        return 128 + stopped.number
    except Terminated:
        print("longtail: stopped by SIGTERM", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        print("longtail: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader has what it wanted; what is still buffered must not raise once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MemoryError:
        return _failed(NO_MEMORY)
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):  # what torch says of it
            raise
        return _failed(NO_MEMORY)
    except OSError as error:
        reason = error.strerror or str(error)
        return _failed(f"{error.filename}: {reason}" if error.filename else reason)
    return 0


@contextmanager
def _terminated() -> Generator[None]:
    """SIGTERM ends the command as Ctrl-C does, with a message and everything cleaned up."""
    if threading.current_thread() is not threading.main_thread():  # handlers can be set nowhere else
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_terminated(*_: object) -> None:
    raise Terminated


def _run(tokens: list[str]) -> None:
    if tokens == ["--version"]:
        print(f"longtail {__version__}")
        return
    _keep_terminal_clean()
    before = tokens[: tokens.index("--")] if "--" in tokens else tokens
    helps = [token for token in before if token in (*HELP, HELP_ALL)]
    words = [token for token in tokens if token not in helps]
    if words:
        _expect_command(words[0])
    if helps or not words:
        _help(words[0] if words else None, everything=HELP_ALL in helps)
        return
    from longtail.cli.parsing import Command

    command = Command.named(words[0])
    bound = command.bind(words[1:])
    command.function(*bound.args, **bound.kwargs)


def _help(name: str | None, *, everything: bool) -> None:
    from longtail.cli.page import command_page, program_page

    if name is None:
        print(program_page(COMMANDS))
        return
    from longtail.cli.parsing import Command

    print(command_page(Command.named(name), everything=everything))


def _expect_command(word: str) -> None:
    if word == "--version":
        raise InputError("--version: stands alone; leave out the other words")
    if word not in COMMANDS:
        from longtail.words import did_you_mean

        near = did_you_mean(word, [*COMMANDS, *HELP, HELP_ALL, "--version"])
        raise InputError(f"expected a command ({', '.join(COMMANDS)}), got {word!r}{near and '.' + near}")


def _failed(message: str) -> int:
    """Print the one line that says why the command stopped, and which process where there are several."""
    line = shown(" ".join(message.split()))
    rank = os.environ.get("LOCAL_RANK", "0")
    print(f"longtail: {'' if rank == '0' else f'process {rank}: '}error: {line}", file=sys.stderr)
    return MISTAKE


def _keep_terminal_clean() -> None:
    """Keep what libraries remark off the terminal, and names that it cannot show from stopping us."""
    import logging
    import warnings

    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for the processes that are started
    logging.disable(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
