"""The learning rate as a function of the step."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """A linear rise over the first `warmup · steps` steps, then half a cosine down to 0.

        η(s) = peak · (s + 1) / w                               s < w = ⌈warmup · steps⌉
        η(s) = peak · ½ (1 + cos(π (s - w) / (steps - w)))      otherwise

    Example:
        >>> [round(learning_rate(s, steps=5, peak=1.0, warmup=0.2), 2) for s in range(5)]
        [1.0, 1.0, 0.85, 0.5, 0.15]
    """
    rise = math.ceil(warmup * steps)
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))
