"""The command line: which commands there are, and how a mistake ends."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnusedCliTokensError,
)

from longtail import __version__
from longtail.cli import compare, data, diagnose, evaluate, methods, predict, train
from longtail.cli.page import help_page
from longtail.cli.stdio import fail
from longtail.errors import InputError, Interrupted
from longtail.words import did_you_mean

MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
"""Exit codes; what nobody foresaw keeps its traceback and Python's code 1."""

HELP = ("--help", "-h")

SUMMARY = """Train image classifiers that keep their rare classes.

One label or many attributes an image, from folders, a CSV or an archive, with the Class Rectification
Loss or the baselines it is compared with."""

EXAMPLES = """
longtail data
longtail diagnose photos/
longtail train photos/ --method crl --epochs 20 --output runs/first
longtail predict runs/first new-photos/ --output predictions.csv
"""

COMMANDS: tuple[tuple[Callable[..., None], str, str], ...] = (
    (train.train, train.USAGE, train.EXAMPLES),
    (compare.compare, compare.USAGE, compare.EXAMPLES),
    (evaluate.evaluate, evaluate.USAGE, evaluate.EXAMPLES),
    (predict.predict, predict.USAGE, predict.EXAMPLES),
    (diagnose.diagnose, diagnose.USAGE, diagnose.EXAMPLES),
    (methods.methods, methods.USAGE, methods.EXAMPLES),
    (data.data, data.USAGE, data.EXAMPLES),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code: 0, 2 for a mistake in what was given, 130 when stopped.

    Args:
        arguments: without the program's name; by default those of the process.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _keep_terminal_clean()
    try:
        _run(tokens)
        sys.stdout.flush()
    except (InputError, CycloptsError) as error:
        fail(_explained(error))
        return MISTAKE
    except Interrupted as stopped:
        print(f"longtail: {stopped}", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("longtail: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader has what it wanted; what is still buffered must not raise once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        reason = error.strerror or str(error)
        fail(f"{error.filename}: {reason}" if error.filename else reason)
        return MISTAKE
    return 0


def build_app() -> App:
    """The commands and their flags."""
    app = App(
        name="longtail",
        help=SUMMARY,
        usage="longtail COMMAND [OPTIONS]",
        help_epilogue=EXAMPLES,
        help_flags=[],
        version_flags=[],
    )
    for command, usage, examples in COMMANDS:
        app.command(command, usage=usage, help_epilogue=examples)
    return app


def _run(tokens: list[str]) -> None:
    if tokens == ["--version"]:
        print(f"longtail {__version__}")
        return
    app = build_app()
    helps = not tokens or _asks_for_help(tokens)
    words = [token for token in tokens if token not in HELP] if helps else tokens
    if words:
        _expect_command(app, words[0])
    if helps:
        print(help_page(app, words[0] if words else None), end="")
        return
    command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    command(*bound.args, **bound.kwargs)


def _asks_for_help(tokens: list[str]) -> bool:
    before = tokens[: tokens.index("--")] if "--" in tokens else tokens
    return any(flag in before for flag in HELP)


def _expect_command(app: App, word: str) -> None:
    if word in app:
        return
    near = did_you_mean(word, [*app, *HELP, "--version"])
    raise InputError(f"expected a command ({', '.join(app)}), got {word!r}{near and '.' + near}")


def _explained(error: InputError | CycloptsError) -> str:
    """One line in the words of the other messages."""
    match error:
        case CoercionError(token=token, __cause__=ValueError() as cause) if token and token.keyword:
            return f"{token.keyword}: {cause}"
        case MissingArgumentError(argument=argument) if argument:
            given = error.keyword or next((token.keyword for token in argument.tokens if token.keyword), None)
            name = given or argument.field_info.name.upper()
            return f"{name}: expected a value" if given else f"{name} is missing; {_help_of(error)}"
        case UnusedCliTokensError(unused_tokens=tokens) if tokens:
            return f"unexpected {', '.join(map(repr, tokens))}; {_help_of(error)}"
        case RepeatArgumentError(token=token):
            return f"{token.keyword}: expected once, given more than once"
        case CycloptsError():
            message = str(error)
            return message[:1].lower() + message[1:]
        case _:
            return str(error)


def _help_of(error: CycloptsError) -> str:
    return f"see longtail {' '.join(error.command_chain or ())} --help"


def _keep_terminal_clean() -> None:
    """Keep what libraries remark off the terminal, and names that it cannot show from stopping us."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for the processes that are started
    logging.disable(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
