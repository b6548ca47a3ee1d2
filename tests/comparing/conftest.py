"""The fixtures of runs: a short training, a folder of images, a watcher, pages that are not drawn."""

from ..runs.conftest import Listening, config, folder, undrawn, watcher

__all__ = ["Listening", "config", "folder", "undrawn", "watcher"]
