"""Where the code departs from the authors' poster, by how much."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch

from longtail.rectification.comparison import HardPairs, distribution


def printed(distances: Sequence[float], nodes: int) -> list[float]:
    """h_t with the kernel ς as printed, d - b_{t-1} and b_{t+1} - d without 1/Δ, on nodes over [-1, 1]."""
    spacing = 2 / (nodes - 1)
    b = [-1 + t * spacing for t in range(-1, nodes + 1)]  # b[t + 1] is b_t
    h = []
    for t in range(1, nodes + 1):
        rising = [d - b[t - 1] for d in distances if b[t - 1] <= d <= b[t]]
        falling = [b[t + 1] - d for d in distances if b[t] < d <= b[t + 1]]
        h.append((sum(rising) + sum(falling)) / len(distances))
    return h


@pytest.mark.parametrize(("nodes", "factor"), [(11, 0.04), (21, 0.01), (51, 0.0016)])
def test_the_value_as_printed_is_that_of_the_code_times_the_square_of_the_spacing(nodes: int, factor: float):
    draw = random.Random(nodes)
    positive, negative = ([draw.uniform(-1, 1) for _ in range(40)] for _ in range(2))
    sides = [torch.tensor(side, dtype=torch.float64)[None, None] for side in (positive, negative)]
    masks = [torch.ones_like(side, dtype=torch.bool) for side in sides]
    one = torch.ones((), dtype=torch.float64)
    ours = distribution(HardPairs(*sides, *masks), -one, one, nodes, (masks[0].sum(), masks[1].sum()))
    above, below = printed(positive, nodes), printed(negative, nodes)
    total = sum(above[t] * below[k] for t in range(nodes) for k in range(t + 1))
    assert total == pytest.approx(factor * float(ours), rel=1e-9)
