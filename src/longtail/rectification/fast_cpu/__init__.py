"""What numpy does faster than torch: searching and counting in float32 on a CPU.

Where `serves` says so, `hardest` takes the place of `torch.topk`, and `relative_at_class_level` that of
`mine_class_level` and `hinges`. Values and gradients are those of the general way except for rounding;
float64 and other devices go that way. Both are custom operators, which `torch.compile` does not open.
"""

import torch
from torch import Tensor

from longtail.rectification.fast_cpu.class_slopes import relative_at_class_level
from longtail.rectification.fast_cpu.selection import hardest

__all__ = ["hardest", "relative_at_class_level", "serves"]


def serves(values: Tensor) -> bool:
    """Whether these values are read here: float32 on a CPU."""
    return values.device.type == "cpu" and values.dtype == torch.float32
