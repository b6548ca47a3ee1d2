"""The fixtures of runs: a training of a second, a folder of images, a watcher that keeps what it is told."""

from ..runs.conftest import Listening, config, folder, watcher

__all__ = ["Listening", "config", "folder", "watcher"]
