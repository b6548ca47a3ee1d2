"""What stops a job without being a fault of the program."""

from __future__ import annotations

import signal

LONGEST = 200
"""Characters of an error of another library in a message of ours."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its message is one line: it names the file, row, column or flag, says what was expected, and
    what to do. The command line prints that line and exits with code 2; nobody sees a traceback.

    Example::

        try:
            longtail.load("runs/nowhere")
        except longtail.InputError as error:
            print(error)
    """


class Interrupted(Exception):
    """A signal stopped a job; the message says what was kept and how to go on.

    The command line exits with 128 and the number of the signal: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, number: signal.Signals = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


class Terminated(KeyboardInterrupt):
    """SIGTERM where nothing waits for it: what catches Ctrl-C cleans up after it, too."""


class Incomplete(Exception):
    """A job was done in part; the message says what is missing. The command line exits with code 1."""


class Unfinished(Exception):
    """The model of a training that is not finished was used. The command line exits with code 3."""


def first_line(error: BaseException) -> str:
    """What an error of another library says first, or its kind where it says nothing.

    Example:
        >>> first_line(KeyError()), first_line(OSError("full\\nTraceback"))
        ('KeyError', 'full')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:LONGEST]
