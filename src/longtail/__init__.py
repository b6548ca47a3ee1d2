"""Train image classifiers that keep their rare classes.

    from longtail import ClassRectificationLoss

What needs torch is imported when it is asked for, so that the command line answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtail.rectification import (
        ClassRectificationLoss,
        Rectification,
        balanced_loss,
        tpami_alpha,
        training_imbalance,
    )

__version__ = "0.1.0"

__all__ = [
    "ClassRectificationLoss",
    "Rectification",
    "__version__",
    "balanced_loss",
    "tpami_alpha",
    "training_imbalance",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from longtail import rectification

        return getattr(rectification, name)
    raise AttributeError(f"module 'longtail' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
