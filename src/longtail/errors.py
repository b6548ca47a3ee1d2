"""What stops a job without being a fault of the program."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    Its message is one line: it names the file, row, column or flag, says what was expected, and
    what to do. The command line prints that line and exits with code 2; nobody sees a traceback.
    """


class Interrupted(Exception):
    """The user stopped a job; the message says what was kept and how to go on."""


class Incomplete(Exception):
    """A job was done in part; the message says what is missing. The command line exits with code 1."""
