"""The Class Rectification Loss: profile minorities, mine hard pairs for them, compare the pairs."""

from longtail.rectification.comparison import HardPairs
from longtail.rectification.loss import (
    ClassRectificationLoss,
    Rectification,
    balanced_loss,
    tpami_alpha,
    training_imbalance,
)
from longtail.rectification.profiling import MinorityProfile, minority_classes, profile_minorities

__all__ = [
    "ClassRectificationLoss",
    "HardPairs",
    "MinorityProfile",
    "Rectification",
    "balanced_loss",
    "minority_classes",
    "profile_minorities",
    "tpami_alpha",
    "training_imbalance",
]
