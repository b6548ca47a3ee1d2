"""What a job says while it runs in a Python program."""

from __future__ import annotations

import sys

from longtail.cli.progress import display
from longtail.training.watcher import Watcher


def watching(progress: bool) -> Watcher:
    """Progress and notes on standard error, or nothing."""
    return display(sys.stderr, quiet=not progress)
