"""Train image classifiers that keep their rare classes.

    import longtail

    model = longtail.train("photos/")
    model.predict("new-photos/")

What needs torch is imported when it is asked for, so that the command line answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtail.api.jobs import compare, diagnose, resume, train
    from longtail.api.model import Model, load
    from longtail.api.shown import table
    from longtail.errors import InputError, Interrupted
    from longtail.ranks import gather_ranks, one_batch
    from longtail.rectification import (
        ClassRectificationLoss,
        Rectification,
        balanced_loss,
        tpami_alpha,
        training_imbalance,
    )
    from longtail.schema import from_binary

__version__ = "0.1.0"

__all__ = [
    "ClassRectificationLoss",
    "InputError",
    "Interrupted",
    "Model",
    "Rectification",
    "__version__",
    "balanced_loss",
    "compare",
    "diagnose",
    "from_binary",
    "gather_ranks",
    "load",
    "one_batch",
    "resume",
    "table",
    "tpami_alpha",
    "train",
    "training_imbalance",
]

_PLACES = {
    "longtail.api.jobs": ("compare", "diagnose", "resume", "train"),
    "longtail.api.model": ("Model", "load"),
    "longtail.api.shown": ("table",),
    "longtail.errors": ("InputError", "Interrupted"),
    "longtail.ranks": ("gather_ranks", "one_batch"),
    "longtail.schema": ("from_binary",),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'longtail' has no attribute {name!r}")
    place = next((module for module, names in _PLACES.items() if name in names), "longtail.rectification")
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted(__all__)
